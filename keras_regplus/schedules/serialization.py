"""Schedules as configs, and what a user may pass as a schedule."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_regplus._checks import error_text
from keras_regplus._warnings import warn_once
from keras_regplus.schedules.functions import is_function, is_registered, name_of
from keras_regplus.schedules.schedule import Schedule
from keras_regplus.schedules.shapes import Constant

__all__ = [
    "MOST_LEVELS",
    "PartLike",
    "Schedule",
    "ScheduleLike",
    "checked_part",
    "checked_schedule",
    "describe",
    "deserialize",
    "equality_key",
    "get",
    "is_schedule",
    "serialize",
]

# How deep schedules may be made of schedules. Python itself gives up at a few hundred levels.
MOST_LEVELS = 32

# What the schedules of Keras call their values, and what makes them grow.
_RATES = ("initial_learning_rate", "warmup_target", "end_learning_rate", "values")
_GROWTH = ("decay_rate", "m_mul")
_LOWEST_FACTOR = 0.1

_BY_NAME = {"constant": Constant, "Constant": Constant}

PartLike: TypeAlias = (
    Schedule
    | keras.optimizers.schedules.LearningRateSchedule
    | Callable[[Any], Any]
    | str
    | dict[str, Any]
)
"""What other schedules, such as `Join`, may be made of: a `ScheduleLike` other than None."""

ScheduleLike: TypeAlias = PartLike | None
"""What a `schedule` argument may be; `get` turns it into a schedule.

None (the constant 1), a `Schedule`, a Keras `LearningRateSchedule` (its value is used as a
factor), a function of one argument, the name of a schedule, or a config.
"""


def serialize(
    schedule: Schedule
    | keras.optimizers.schedules.LearningRateSchedule
    | Callable[[Any], Any]
    | None,
) -> dict[str, Any] | None:
    """The config of a schedule, as plain JSON.

    Use it in the `get_config` of a class of yours that holds a schedule.

    Args:
        schedule: A `Schedule`, a Keras `LearningRateSchedule`, a function that is
            registered with Keras, or None.

    Returns:
        A dictionary that `deserialize` takes, or None for None.

    Raises:
        ValueError: If `schedule` is a function that is not registered, or a lambda.

    Example:
        >>> from keras_regplus import schedules
        >>> schedules.serialize(schedules.LinearWarmup(10))["registered_name"]
        'keras_regplus>LinearWarmup'
    """
    if schedule is None:
        return None
    if is_function(schedule) and not is_registered(schedule):
        raise ValueError(
            f"{name_of(schedule)}: a function that is used as a schedule must be registered to be "
            f"saved, got {schedule!r}. Define it with `def` and decorate it with "
            "`@keras.saving.register_keras_serializable()`, or subclass `schedules.Schedule`."
        )
    return keras.saving.serialize_keras_object(schedule)


def deserialize(config: dict[str, Any] | None, custom_objects: dict[str, Any] | None = None) -> Any:
    """A schedule from its config.

    Use it in the `from_config` of a class of yours that holds a schedule.

    Args:
        config: A dictionary made by `serialize`, or None. Schedules may be made of
            schedules up to 32 levels deep.
        custom_objects: Classes by name, where they are not registered. Defaults to None.

    Returns:
        A schedule, or None for None.

    Raises:
        TypeError: If `config` is not a dictionary.
        ValueError: If `config` is not that of a schedule, or is too deep.

    Example:
        >>> from keras_regplus import schedules
        >>> schedules.deserialize(schedules.serialize(schedules.LinearWarmup(10)))
        LinearWarmup(duration=10, unit='step')
    """
    if config is None:
        return None
    if not isinstance(config, dict):
        raise TypeError(
            "deserialize: `config` must be a dictionary made by `serialize`, "
            f"got {config!r}. Pass objects to `schedules.get`."
        )
    _check_depth(config)
    schedule = keras.saving.deserialize_keras_object(config, custom_objects=custom_objects)
    # Keras returns whatever the config names, such as a layer or one of its own functions.
    if not is_schedule(schedule) or (is_function(schedule) and not is_registered(schedule)):
        raise ValueError(
            "deserialize: `config` must be the config of a schedule, "
            f"got one of {name_of(schedule)}. Check the file it came from."
        )
    return schedule


def get(identifier: ScheduleLike) -> Any:
    """Turn what a user passed as a schedule into a schedule.

    Use it in a class of yours that has a `schedule` argument.

    A function is a schedule as it is: it takes the number of optimizer updates
    finished, a float32 scalar, and returns a factor, computed with `keras.ops`. For a
    schedule that counts epochs, subclass `Schedule`. To save a model that holds a function,
    decorate the function with `@keras.saving.register_keras_serializable()`; a lambda
    cannot be saved.

    Args:
        identifier: None (the constant 1), a `Schedule`, a Keras
            `LearningRateSchedule` (it counts steps, and its value is used as a
            factor, not as a learning rate), a function of one argument, the name of a
            schedule that needs no arguments, or a dictionary made by `serialize`.

    Returns:
        A schedule, or None for None.

    Raises:
        TypeError: If `identifier` is none of these.
        ValueError: If `identifier` is a dictionary that is not the config of a schedule, or
            a name other than that of a schedule without required arguments.

    Example:
        >>> import keras
        >>> from keras_regplus import schedules
        >>> schedules.get(schedules.LinearWarmup(10))
        LinearWarmup(duration=10, unit='step')
        >>> schedules.get("constant")
        Constant(value=1.0)
        >>> schedules.get(None) is None
        True
        >>> cosine = keras.optimizers.schedules.CosineDecay(1.0, decay_steps=100)
        >>> schedules.get(cosine) is cosine
        True
        >>> halving = schedules.get(lambda step: 0.5 ** (step / 1000))
        >>> float(halving(1000))
        0.5
    """
    return checked_schedule("get", identifier)


def checked_schedule(owner: str, schedule: Any) -> Any:
    """What `get` gives for the argument `schedule` of `owner`."""
    if schedule is None:
        return None
    checked = checked_part(owner, "schedule", schedule, "None, ")
    if type(checked).__module__.startswith("keras."):
        _warn_of_learning_rates(owner, checked)
    return checked


def _warn_of_learning_rates(owner: str, schedule: Any) -> None:
    """Warn of a schedule of Keras whose values are learning rates and no factors."""
    # Not computed: on JAX that would compile for seconds.
    config = schedule.get_config()
    rates = [rate for name in _RATES for rate in np.ravel(config.get(name) or 0.0)]
    grows = any((config.get(name) or 0.0) > 1.0 for name in _GROWTH)
    if 0.0 < max(rates) < _LOWEST_FACTOR and not grows:
        kind = type(schedule).__name__
        warn_once(
            f"{owner}: `schedule` is a {kind} that never rises above {max(rates):.2g}. Its value "
            "is a factor of the strength or rate, not a learning rate: let it begin or end at 1, "
            f"as `{kind}(1.0, ...)` does.",
            cause=(owner, "learning rate"),
        )


def checked_part(owner: str, name: str, part: Any, also: str = "") -> Any:
    """The schedule passed as argument `name` of `owner`; `also` names what else is allowed."""
    if isinstance(part, str):
        return _by_name(owner, name, part)
    if isinstance(part, dict):
        return deserialize(part)
    if is_schedule(part):
        return part
    rule = (
        f"{also}a schedule of `keras_regplus.schedules`, a Keras `LearningRateSchedule`, the "
        "config of one, or a function of one argument"
    )
    advice = "Use for example `schedules.LinearWarmup(1000)`, or subclass `schedules.Schedule`."
    raise TypeError(error_text(owner, name, rule, part, advice))


def _by_name(owner: str, argument: str, name: str) -> Schedule:
    """The schedule of that name; only one needs no arguments."""
    if name not in _BY_NAME:
        rule = "'constant', the one schedule that needs no arguments, or an object"
        advice = "Use for example `schedules.LinearWarmup(1000)`."
        raise ValueError(error_text(owner, argument, rule, name, advice))
    return _BY_NAME[name]()


def is_schedule(value: Any) -> bool:
    """Whether `value` can be called with a time."""
    kinds = (Schedule, keras.optimizers.schedules.LearningRateSchedule)
    return isinstance(value, kinds) or is_function(value)


def equality_key(schedule: Any) -> Hashable:
    """A hashable value, equal for equal schedules; those of Keras compare by identity."""
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return json.dumps(serialize(schedule), sort_keys=True)
    return schedule


def describe(schedule: Any) -> str:
    """`repr` of a schedule; a function by its name, a schedule of Keras by its config."""
    if is_function(schedule):
        return name_of(schedule)
    return repr(schedule if isinstance(schedule, Schedule) else serialize(schedule))


def _check_depth(config: dict[str, Any]) -> None:
    """Raise if a config is too deep for Python to read."""
    level: list[Any] = [config]
    # Each schedule adds up to three levels: its dictionary, its arguments, and a list there.
    for _ in range(3 * MOST_LEVELS):
        children = (c for box in level for c in (box.values() if isinstance(box, dict) else box))
        level = [child for child in children if isinstance(child, (dict, list, tuple))]
        if not level:
            return
    raise ValueError(
        f"deserialize: `config` must be at most {MOST_LEVELS} levels of schedules deep, got more. "
        "Check the file it came from."
    )
