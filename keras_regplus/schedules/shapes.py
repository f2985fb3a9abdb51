"""The shapes a factor can take over time."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_regplus.schedules._arguments import above_zero, checked_factor, checked_time
from keras_regplus.schedules.schedule import Schedule
from keras_regplus.schedules.units import Unit, check_unit


@keras.saving.register_keras_serializable(package="keras_regplus")
class Constant(Schedule):
    """The same factor at all times.

    Use it to scale a base value, or to stand for "no schedule" in a comparison.

    `value(t) = value`, so with `value=0.5`:

    | t | 0 | 1 | 1000 |
    | --- | --- | --- | --- |
    | value | 0.5 | 0.5 | 0.5 |

    Args:
        value: The factor, a finite number of at least 0. Defaults to 1.0.

    Raises:
        TypeError: If `value` is not a number.
        ValueError: If `value` is negative, infinite or NaN.

    Example:
        >>> from keras_regplus import schedules
        >>> float(schedules.Constant(0.5)(1000))
        0.5
    """

    unit = None
    ends_at = 0

    def __init__(self, value: float = 1.0):
        self.value = checked_factor("Constant", "value", value)

    def __call__(self, t: Any) -> Any:
        return ops.convert_to_tensor(self.value, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value}


@keras.saving.register_keras_serializable(package="keras_regplus")
class LinearWarmup(Schedule):
    """Rises in a straight line from 0 to 1, then stays there.

    Use it to let a network learn freely before a penalty or dropout takes full effect.

    `value(t) = min(t / duration, 1)`, so with `duration=4`:

    | t | 0 | 1 | 3 | 4 | 5 |
    | --- | --- | --- | --- | --- | --- |
    | value | 0 | 0.25 | 0.75 | 1 | 1 |

    Args:
        duration: Steps or epochs until the factor is 1, a whole number of at least 1.
        unit: What `t` counts: `"step"` (optimizer updates finished) or `"epoch"`
            (epochs finished). Defaults to `"step"`.

    Raises:
        TypeError: If `duration` is not a number.
        ValueError: If `duration` is not a whole number of at least 1, or `unit` is unknown.

    Example:
        >>> from keras_regplus import schedules
        >>> warmup = schedules.LinearWarmup(4)
        >>> [float(warmup(t)) for t in (0, 1, 3, 4, 5)]
        [0.0, 0.25, 0.75, 1.0, 1.0]
    """

    def __init__(self, duration: int, unit: Unit = "step"):
        self.duration = self.ends_at = checked_time(
            "LinearWarmup",
            "duration",
            duration,
            advice="Use the number of steps (or epochs) until full strength, such as 1000.",
        )
        self.unit = check_unit("LinearWarmup", unit)

    def __call__(self, t: Any) -> Any:
        return _progress(t, self.duration)

    def get_config(self) -> dict[str, Any]:
        return {"duration": self.duration, "unit": self.unit}


class _Shape(Schedule):
    """The base of the shapes between two ends: `start * (1 - share) + end * share`.

    A subclass defines `_share`.
    """

    shortest = 1

    def __init__(self, duration: int, start: float, end: float, unit: Unit):
        owner = type(self).__name__
        self.duration = self.ends_at = checked_time(
            owner,
            "duration",
            duration,
            minimum=self.shortest,
            advice="Use the number of steps (or epochs) that it takes, such as 1000.",
        )
        self.start = checked_factor(owner, "start", start)
        self.end = checked_factor(owner, "end", end)
        self.unit = check_unit(owner, unit)

    def __call__(self, t: Any) -> Any:
        share = self._share(t)
        return self.start * (1 - share) + self.end * share

    def _share(self, t: Any) -> Any:
        """How far from `start` to `end` the factor is at time `t`; each shape defines its own."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {
            "duration": self.duration,
            "start": self.start,
            "end": self.end,
            "unit": self.unit,
        }


@keras.saving.register_keras_serializable(package="keras_regplus")
class Linear(_Shape):
    """Goes in a straight line from `start` to `end`, then stays there.

    Use it for a plain rise or fall; `LinearWarmup` is the short name of its default.

    `value(t) = start + (end - start) * min(t / duration, 1)`, so for `Linear(4, 1.0, 0.5)`:

    | t | 0 | 1 | 3 | 4 | 5 |
    | --- | --- | --- | --- | --- | --- |
    | value | 1 | 0.875 | 0.625 | 0.5 | 0.5 |

    Args:
        duration: Steps or epochs from `start` to `end`, a whole number of at least 1.
        start: The factor at t = 0, a finite number of at least 0. Defaults to 0.0.
        end: The factor from `duration` on, a finite number of at least 0. Defaults to 1.0.
        unit: What `t` counts: `"step"` (optimizer updates finished) or `"epoch"`
            (epochs finished). Defaults to `"step"`.

    Raises:
        TypeError: If `duration`, `start` or `end` is not a number.
        ValueError: If `duration`, `start` or `end` is out of its range, or `unit`
            is unknown.

    Example:
        >>> from keras_regplus import schedules
        >>> schedules.Linear(4, 1.0, 0.5).preview(6).tolist()
        [1.0, 0.875, 0.75, 0.625, 0.5, 0.5]
    """

    def __init__(self, duration: int, start: float = 0.0, end: float = 1.0, *, unit: Unit = "step"):
        super().__init__(duration, start, end, unit)

    def _share(self, t: Any) -> Any:
        return _progress(t, self.duration)


@keras.saving.register_keras_serializable(package="keras_regplus")
class Polynomial(_Shape):
    """Goes from `start` to `end` fast at first and ever slower, then stays there.

    Use it where most of the change should come early. It has the form of Keras's
    `PolynomialDecay`; a `power` below 1 is slow at first instead.

    `value(t) = end + (start - end) * (1 - min(t / duration, 1)) ** power`, so with
    `duration=4` and the defaults:

    | t | 0 | 1 | 2 | 3 | 4 | 5 |
    | --- | --- | --- | --- | --- | --- | --- |
    | value | 0 | 0.4375 | 0.75 | 0.9375 | 1 | 1 |

    Args:
        duration: Steps or epochs from `start` to `end`, a whole number of at least 1.
        start: The factor at t = 0, a finite number of at least 0. Defaults to 0.0.
        end: The factor from `duration` on, a finite number of at least 0. Defaults to 1.0.
        power: The exponent, a finite number above 0; 1 is a straight line. Defaults to 2.0.
        unit: What `t` counts: `"step"` (optimizer updates finished) or `"epoch"`
            (epochs finished). Defaults to `"step"`.

    Raises:
        TypeError: If `duration`, `start`, `end` or `power` is not a number.
        ValueError: If `duration`, `start`, `end` or `power` is out of its range, or `unit`
            is unknown.

    Example:
        >>> from keras_regplus import schedules
        >>> schedules.Polynomial(4).preview(6).tolist()
        [0.0, 0.4375, 0.75, 0.9375, 1.0, 1.0]
    """

    def __init__(
        self,
        duration: int,
        start: float = 0.0,
        end: float = 1.0,
        *,
        power: float = 2.0,
        unit: Unit = "step",
    ):
        super().__init__(duration, start, end, unit)
        self.power = above_zero("Polynomial", "power", power, advice="Use 1.0 for a line.")

    def _share(self, t: Any) -> Any:
        return 1 - ops.power(1 - _progress(t, self.duration), self.power)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "power": self.power}


@keras.saving.register_keras_serializable(package="keras_regplus")
class Cosine(_Shape):
    """Goes from `start` to `end` along half a cosine, then stays there.

    Use it for a smooth change: slow at both ends, fast in the middle.

    `value(t) = end + (start - end) * (1 + cos(pi * min(t / duration, 1))) / 2`, so with
    `duration=4` and the defaults:

    | t | 0 | 1 | 2 | 3 | 4 | 5 |
    | --- | --- | --- | --- | --- | --- | --- |
    | value | 1 | 0.8536 | 0.5 | 0.1464 | 0 | 0 |

    Args:
        duration: Steps or epochs from `start` to `end`, a whole number of at least 1.
        start: The factor at t = 0, a finite number of at least 0. Defaults to 1.0.
        end: The factor from `duration` on, a finite number of at least 0. Defaults to 0.0.
        unit: What `t` counts: `"step"` (optimizer updates finished) or `"epoch"`
            (epochs finished). Defaults to `"step"`.

    Raises:
        TypeError: If `duration`, `start` or `end` is not a number.
        ValueError: If `duration`, `start` or `end` is out of its range, or `unit`
            is unknown.

    Example:
        >>> from keras_regplus import schedules
        >>> print(schedules.Cosine(4).preview(6).round(4))
        [1.     0.8536 0.5    0.1464 0.     0.    ]

    References:
        - [Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts"
          (2017)](https://arxiv.org/abs/1608.03983)
    """

    def __init__(self, duration: int, start: float = 1.0, end: float = 0.0, *, unit: Unit = "step"):
        super().__init__(duration, start, end, unit)

    def _share(self, t: Any) -> Any:
        return (1 - ops.cos(math.pi * _progress(t, self.duration))) / 2


@keras.saving.register_keras_serializable(package="keras_regplus")
class Exponential(_Shape):
    """Goes from `start` to `end` by the same ratio at each step, then stays there.

    Use it to cross orders of magnitude evenly.

    `value(t) = start * (end / start) ** min(t / duration, 1)`, so with
    `duration=2` and the defaults:

    | t | 0 | 1 | 2 | 3 |
    | --- | --- | --- | --- | --- |
    | value | 1 | 0.1 | 0.01 | 0.01 |

    Args:
        duration: Steps or epochs from `start` to `end`, a whole number of at least 1.
        start: The factor at t = 0, a finite number above 0. Defaults to 1.0.
        end: The factor from `duration` on, a finite number above 0. Defaults to 0.01.
        unit: What `t` counts: `"step"` (optimizer updates finished) or `"epoch"`
            (epochs finished). Defaults to `"step"`.

    Raises:
        TypeError: If `duration`, `start` or `end` is not a number.
        ValueError: If `duration`, `start` or `end` is out of its range, or `unit`
            is unknown.

    Example:
        >>> from keras_regplus import schedules
        >>> print(schedules.Exponential(2).preview(4).round(4))
        [1.   0.1  0.01 0.01]
    """

    def __init__(
        self, duration: int, start: float = 1.0, end: float = 0.01, *, unit: Unit = "step"
    ):
        super().__init__(duration, start, end, unit)
        for name, value in (("start", start), ("end", end)):
            above_zero("Exponential", name, value, advice="Use `Linear` to reach 0.")

    def __call__(self, t: Any) -> Any:
        # Each power is exact at its own end, and `end / start` could overflow.
        share = _progress(t, self.duration)
        return ops.power(self.start, 1 - share) * ops.power(self.end, share)


@keras.saving.register_keras_serializable(package="keras_regplus")
class Cyclic(_Shape):
    """Goes in straight lines from `start` to `end` and back, again and again.

    Use it to try a range of strengths in one training, or to relax a penalty now and then.
    If `duration` is odd, the turning point lies between two whole times.

    `value(t) = start + (end - start) * (1 - abs(1 - 2 * (t % duration) / duration))`, so
    with `duration=4` and the defaults:

    | t | 0 | 1 | 2 | 3 | 4 | 5 |
    | --- | --- | --- | --- | --- | --- | --- |
    | value | 0 | 0.5 | 1 | 0.5 | 0 | 0.5 |

    Args:
        duration: Steps or epochs of a whole cycle, a whole number of at least 2.
        start: The factor at t = 0, a finite number of at least 0. Defaults to 0.0.
        end: The factor in the middle of a cycle, a finite number of at least 0.
            Defaults to 1.0.
        unit: What `t` counts: `"step"` (optimizer updates finished) or `"epoch"`
            (epochs finished). Defaults to `"step"`.

    Raises:
        TypeError: If `duration`, `start` or `end` is not a number.
        ValueError: If `duration`, `start` or `end` is out of its range, or `unit`
            is unknown.

    Example:
        >>> from keras_regplus import schedules
        >>> schedules.Cyclic(4).preview(6).tolist()
        [0.0, 0.5, 1.0, 0.5, 0.0, 0.5]

    References:
        - [Smith, "Cyclical Learning Rates for Training Neural Networks"
          (2017)](https://arxiv.org/abs/1506.01186)
    """

    shortest = 2

    def __init__(self, duration: int, start: float = 0.0, end: float = 1.0, *, unit: Unit = "step"):
        super().__init__(duration, start, end, unit)
        self.ends_at = None

    def _share(self, t: Any) -> Any:
        # The remainder is exact at any time if it is taken of integers, not of float32.
        phase = _progress(ops.mod(t, self.duration), self.duration)
        return 1 - ops.abs(1 - 2 * phase)


def _progress(t: Any, duration: int) -> Any:
    """The part of `duration` that has passed, from 0 to 1."""
    return ops.clip(ops.cast(t, "float32") / float(duration), 0.0, 1.0)
