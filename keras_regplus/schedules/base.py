"""What a schedule is, and how one is told from a name, a config or an object."""

from __future__ import annotations

import functools
import json
from typing import Any

import keras
import numpy as np

from keras_regplus._checks import count, one_of

UNITS = ("step", "epoch")


class Schedule:
    """A factor that changes over a training: `value = schedule(t)`.

    Use one of its subclasses wherever this package takes a `schedule`; subclass
    it for a shape of your own. The strength of a penalty, or the rate of a layer,
    is its base value times `schedule(t)`. `t` counts optimizer updates finished
    (`unit="step"`) or epochs finished (`unit="epoch"`): the first step of a
    training sees `t = 0`.

    A subclass defines `__call__` with `keras.ops` alone, because `t` is a traced
    value inside a compiled step, and `get_config` with all constructor arguments.
    Register it with `keras.saving.register_keras_serializable`. Schedules are
    values: do not change one after construction; two with the same config are
    equal.

    Attributes:
        unit: `"step"`, `"epoch"`, or None for a schedule that does not depend on `t`.

    Example:
        >>> import keras
        >>> from keras_regplus import schedules
        >>> @keras.saving.register_keras_serializable(package="my_project")
        ... class HalfFrom(schedules.Schedule):
        ...     def __init__(self, start):
        ...         self.start = start
        ...
        ...     def __call__(self, t):
        ...         return keras.ops.where(t < self.start, 1.0, 0.5)
        ...
        ...     def get_config(self):
        ...         return {"start": self.start}
        >>> schedule = HalfFrom(100)
        >>> [float(schedule(t)) for t in (0, 99, 100)]
        [1.0, 1.0, 0.5]
        >>> schedule
        HalfFrom(start=100)
    """

    unit: str | None = "step"

    def __call__(self, t: Any) -> Any:
        """The factor at time `t`, a number or a tensor of any integer or float dtype."""
        raise NotImplementedError(f"{type(self).__name__} must define `__call__(self, t)`.")

    def preview(self, length: int) -> np.ndarray:
        """The factors at t = 0, 1, 2, ... before any training.

        Use it to look at a schedule, or to draw it. Each value is computed as a step
        would, so a length of 10,000 takes seconds.

        Args:
            length: How many, a whole number of at least 1.

        Returns:
            A float32 array of shape `(length,)`.

        Raises:
            TypeError: If `length` is not a number.
            ValueError: If it is not a whole number of at least 1.

        Example:
            >>> from keras_regplus import schedules
            >>> schedules.LinearWarmup(4).preview(6).tolist()
            [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
        """
        length = count("preview", "length", length, advice="Use a number of steps or epochs.")
        values = [keras.ops.convert_to_numpy(self(t)) for t in range(length)]
        return np.array(values, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain JSON values."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Schedule:
        """The schedule that `get_config` described."""
        return cls(**config)

    @functools.cached_property
    def _key(self) -> str:
        """What equality goes by; kept, because every weight asks for it at every eager step."""
        return json.dumps(self.get_config(), sort_keys=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and type(other) is type(self) and other._key == self._key

    def __hash__(self) -> int:
        return hash((type(self), self._key))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def check_unit(owner: str, unit: str) -> str:
    """Return `unit`, or raise if it is neither `"step"` nor `"epoch"`."""
    return one_of(
        owner,
        "unit",
        unit,
        UNITS,
        advice='Use "step" to count optimizer updates or "epoch" to count epochs.',
    )


def serialize(schedule: Any) -> dict[str, Any] | None:
    """A schedule as plain JSON.

    Use it in the `get_config` of a class of yours that holds a schedule.

    Args:
        schedule: A `Schedule`, a Keras `LearningRateSchedule`, or None.

    Returns:
        A dictionary that `deserialize` takes, or None for None.

    Example:
        >>> from keras_regplus import schedules
        >>> schedules.serialize(schedules.LinearWarmup(10))["registered_name"]
        'keras_regplus>LinearWarmup'
    """
    return None if schedule is None else keras.saving.serialize_keras_object(schedule)


def deserialize(config: dict[str, Any] | None, custom_objects: dict[str, Any] | None = None) -> Any:
    """The schedule that `serialize` described.

    Use it in the `from_config` of a class of yours that holds a schedule.

    Args:
        config: A dictionary made by `serialize`, or None.
        custom_objects: Classes by name, where they are not registered. Defaults to None.

    Returns:
        A schedule, or None for None.

    Raises:
        TypeError: If `config` is not a dictionary.
        ValueError: If it describes something that is no schedule.

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
    found = keras.saving.deserialize_keras_object(config, custom_objects=custom_objects)
    # Keras returns whatever the config names, a layer too.
    if not is_schedule(found):
        raise ValueError(
            "deserialize: `config` must be the config of a schedule, "
            f"got one of {type(found).__name__}. Check the file it came from."
        )
    return found


def get(identifier: Any) -> Any:
    """The schedule that `identifier` means.

    Use it where your own class takes a `schedule` argument.

    Args:
        identifier: None (the constant 1), a `Schedule`, a Keras
            `LearningRateSchedule` (it counts steps, and its value is used as a
            factor, not as a learning rate), or the dictionary of one.

    Returns:
        A schedule, or None for None.

    Raises:
        TypeError: If `identifier` is none of these.
        ValueError: If a dictionary describes no schedule.

    Example:
        >>> import keras
        >>> from keras_regplus import schedules
        >>> schedules.get(schedules.LinearWarmup(10))
        LinearWarmup(duration=10, unit='step')
        >>> schedules.get(None) is None
        True
        >>> cosine = keras.optimizers.schedules.CosineDecay(1.0, decay_steps=100)
        >>> schedules.get(cosine) is cosine
        True
    """
    return checked_schedule("get", identifier)


def checked_schedule(owner: str, schedule: Any) -> Any:
    """What `get` gives for the argument `schedule` of `owner`."""
    if schedule is None or is_schedule(schedule):
        return schedule
    if isinstance(schedule, dict):
        return deserialize(schedule)
    raise TypeError(
        f"{owner}: `schedule` must be None, a schedule of `keras_regplus.schedules`, a Keras "
        f"`LearningRateSchedule` or the config of one, got {schedule!r}. "
        "Use for example `schedules.LinearWarmup(1000)`, or subclass `schedules.Schedule`."
    )


def is_schedule(value: Any) -> bool:
    """Whether `value` can be called with a time and saved."""
    return isinstance(value, (Schedule, keras.optimizers.schedules.LearningRateSchedule))


def unit_of(schedule: Any) -> str | None:
    """What `schedule` counts; Keras's learning-rate schedules count steps."""
    return getattr(schedule, "unit", "step")
