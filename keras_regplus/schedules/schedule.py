"""What a schedule is."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from keras_regplus._checks import count, error_text
from keras_regplus.schedules.evaluation import values_at
from keras_regplus.schedules.units import Unit

__all__ = ["Schedule"]


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
        ends_at: The time from which the factor stays the same, or None if it never
            does or that is not known. Set it in your constructor if there is one: `preview`
            and `plots.plot_schedule` then know how far to go, and
            `RegularizationScheduler` warns if a training is shorter.

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

    unit: Unit | None = "step"
    ends_at: int | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__call__" in vars(cls):
            cls.__call__ = _refusing_weights(cls.__call__)  # type: ignore[assignment, method-assign]

    def __call__(self, t: Any) -> Any:
        """The factor at time `t`.

        Args:
            t: Steps or epochs finished: a number or a scalar of any integer or float dtype, or
                an array of whole numbers; at least 0.

        Returns:
            A float32 scalar of at least 0. For an array of times it may be an array of
            their shape, which makes `preview` fast.

        Raises:
            NotImplementedError: If the subclass does not define it.
            TypeError: If `t` is an array of floats, as the weights of a layer are: a
                schedule is no regularizer.

        Example:
            >>> from keras_regplus import schedules
            >>> float(schedules.LinearWarmup(4)(1))
            0.25
        """
        raise NotImplementedError(f"{type(self).__name__} must define `__call__(self, t)`.")

    def preview(self, length: int | None = None) -> np.ndarray:
        """The factors at t = 0, 1, 2, ... before any training.

        Use it to look at a schedule; `plots.plot_schedule` draws it.

        Args:
            length: How many factors, a whole number of at least 1. Defaults to None: up
                to and including the time at which the schedule ends.

        Returns:
            A float32 array of shape `(length,)`.

        Raises:
            TypeError: If `length` is not a number.
            ValueError: If `length` is not a whole number of at least 1, or is None for a
                schedule without an end.

        Example:
            >>> from keras_regplus import schedules
            >>> schedules.LinearWarmup(4).preview().tolist()
            [0.0, 0.25, 0.5, 0.75, 1.0]
            >>> schedules.LinearWarmup(4).preview(6).tolist()
            [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
        """
        advice = "Use a number of steps or epochs."
        if length is None:
            if self.ends_at is None:
                rule = "a whole number for a schedule without an end"
                raise ValueError(error_text("preview", "length", rule, None, advice))
            length = self.ends_at + 1
        return values_at(self, np.arange(count("preview", "length", length, advice=advice)))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, from which `from_config` makes an equal schedule.

        Returns:
            A dictionary of plain JSON values by the names of the arguments.

        Example:
            >>> from keras_regplus import schedules
            >>> schedules.LinearWarmup(4).get_config()
            {'duration': 4, 'unit': 'step'}
        """
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Schedule:
        """A schedule from what `get_config` returned.

        Args:
            config: A dictionary of the constructor's arguments.

        Returns:
            A new schedule of this class.

        Raises:
            TypeError: If `config` lacks an argument, or has one that is unknown.

        Example:
            >>> from keras_regplus import schedules
            >>> schedules.LinearWarmup.from_config({"duration": 4})
            LinearWarmup(duration=4, unit='step')
        """
        return cls(**config)

    @functools.cached_property
    def _key(self) -> Hashable:
        """What makes two schedules equal; kept, since each weight asks at each eager step."""
        return json.dumps(self.get_config(), sort_keys=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and type(other) is type(self) and other._key == self._key

    def __hash__(self) -> int:
        return hash((type(self), self._key))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def _refusing_weights(call: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    @functools.wraps(call)
    def run(self: Any, t: Any) -> Any:
        # Keras takes anything that can be called for a regularizer, and calls it with the weights.
        if len(getattr(t, "shape", ())) and "float" in str(getattr(t, "dtype", "")):
            raise TypeError(
                f"{type(self).__name__}: `t` must be a number, or whole numbers in an array, got "
                f"floats of shape {tuple(t.shape)}. A schedule is no regularizer, constraint or "
                f"initializer: for a penalty write `ScheduledL2(1e-3, {self!r})`."
            )
        return call(self, t)

    return run
