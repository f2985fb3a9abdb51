"""How a schedule is told from a name, a config, a function or an object, and saved."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from typing import Any

import keras

from keras_regplus._checks import error_text
from keras_regplus.schedules.evaluation import name_of, unit_of
from keras_regplus.schedules.functions import is_function, is_registered
from keras_regplus.schedules.schedule import Schedule, check_unit

__all__ = [
    "MOST_LEVELS",
    "Schedule",
    "check_unit",
    "checked_part",
    "checked_schedule",
    "common_unit",
    "describe",
    "deserialize",
    "end_of",
    "equality_key",
    "get",
    "is_schedule",
    "serialize",
    "unit_of",
]

# How deep schedules may be made of schedules. Python itself gives up at some hundred.
MOST_LEVELS = 32


def serialize(schedule: Any) -> dict[str, Any] | None:
    """A schedule as plain JSON.

    Use it in the `get_config` of a class of yours that holds a schedule.

    Args:
        schedule: A `Schedule`, a Keras `LearningRateSchedule`, a function that is
            registered with Keras, or None.

    Returns:
        A dictionary that `deserialize` takes, or None for None.

    Raises:
        ValueError: If it is a function that is not registered, or a lambda.

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
    """The schedule that `serialize` described.

    Use it in the `from_config` of a class of yours that holds a schedule.

    Args:
        config: A dictionary made by `serialize`, or None. Schedules may be made of
            schedules up to 32 levels deep.
        custom_objects: Classes by name, where they are not registered. Defaults to None.

    Returns:
        A schedule, or None for None.

    Raises:
        TypeError: If `config` is not a dictionary.
        ValueError: If it describes something that is no schedule, or is too deep.

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
    found = keras.saving.deserialize_keras_object(config, custom_objects=custom_objects)
    # Keras returns whatever the config names: a layer, or a function of its own.
    if not is_schedule(found) or (is_function(found) and not is_registered(found)):
        raise ValueError(
            "deserialize: `config` must be the config of a schedule, "
            f"got one of {name_of(found)}. Check the file it came from."
        )
    return found


def get(identifier: Any) -> Any:
    """The schedule that `identifier` means.

    Use it where your own class takes a `schedule` argument.

    A function is a schedule as it is: it takes the number of optimizer updates
    finished, a float32 scalar, and returns a factor, computed with `keras.ops`. For a schedule that
    counts epochs subclass `Schedule`. A function cannot be saved, so neither can a
    model that holds it, unless it is decorated with
    `@keras.saving.register_keras_serializable()`; a lambda never can.

    Args:
        identifier: None (the constant 1), a `Schedule`, a Keras
            `LearningRateSchedule` (it counts steps, and its value is used as a
            factor, not as a learning rate), a function of one argument, the name of a
            schedule that needs no arguments, or a dictionary made by `serialize`.

    Returns:
        A schedule, or None for None.

    Raises:
        TypeError: If `identifier` is none of these.
        ValueError: If a dictionary describes no schedule, a name is unknown, or it is
            that of a schedule that needs arguments.

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
    return checked_part(owner, "schedule", schedule, "None, ")


def checked_part(owner: str, name: str, part: Any, also: str = "") -> Any:
    """The schedule that the argument `name` of `owner` means; `also` is what else it may be."""
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
    """The schedule of that name: there is one that needs no arguments."""
    # The shapes stand above this file.
    from keras_regplus.schedules.shapes import Constant

    by_name = {"constant": Constant, "Constant": Constant}
    if name not in by_name:
        rule = "'constant', the one schedule that needs no arguments, or an object"
        advice = "Use for example `schedules.LinearWarmup(1000)`."
        raise ValueError(error_text(owner, argument, rule, name, advice))
    return by_name[name]()


def common_unit(owner: str, argument: str, parts: Iterable[Any], advice: str) -> str | None:
    """The one unit of all parts; those that do not depend on time fit to all."""
    units = sorted(filter(None, {unit_of(part) for part in parts}))
    if len(units) > 1:
        rule = "schedules of one unit"
        raise ValueError(error_text(owner, argument, rule, " and ".join(units), advice))
    return units[0] if units else None


def is_schedule(value: Any) -> bool:
    """Whether `value` can be called with a time."""
    return _is_object(value) or is_function(value)


def end_of(schedule: Any) -> int | None:
    """When `schedule` ends, 0 for what does not depend on time, None where nobody knows."""
    return 0 if unit_of(schedule) is None else getattr(schedule, "ends_at", None)


def equality_key(schedule: Any) -> Hashable:
    """What is equal and hashable for equal schedules; those of Keras compare by identity."""
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return json.dumps(serialize(schedule), sort_keys=True)
    return schedule


def describe(schedule: Any) -> str:
    """`repr`, with a name or a config for what has none that evaluates back."""
    if is_function(schedule):
        return name_of(schedule)
    return repr(schedule if isinstance(schedule, Schedule) else serialize(schedule))


def _is_object(value: Any) -> bool:
    return isinstance(value, (Schedule, keras.optimizers.schedules.LearningRateSchedule))


def _check_depth(config: dict[str, Any]) -> None:
    """Raise where a config is too deep for Python to read."""
    level: list[Any] = [config]
    # Each schedule adds a dictionary, its arguments, and a list in these.
    for _ in range(3 * MOST_LEVELS):
        children = (c for box in level for c in (box.values() if isinstance(box, dict) else box))
        level = [child for child in children if isinstance(child, (dict, list, tuple))]
        if not level:
            return
    raise ValueError(
        f"deserialize: `config` must be at most {MOST_LEVELS} levels of schedules deep, got more. "
        "Check the file it came from."
    )
