"""The shapes a factor can take over time."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_regplus._checks import count, finite_number
from keras_regplus.schedules.base import Schedule, check_unit


@keras.saving.register_keras_serializable(package="keras_regplus")
class Constant(Schedule):
    """The same factor at all times.

    Use it to scale a base value, or to stand for "no schedule" in a comparison.

    `value(t) = value`

    Args:
        value: The factor, a finite number of at least 0. Defaults to 1.0.

    Raises:
        TypeError: If `value` is not a number.
        ValueError: If it is negative, infinite or NaN.

    Example:
        >>> from keras_regplus import schedules
        >>> float(schedules.Constant(0.5)(1000))
        0.5
    """

    unit = None

    def __init__(self, value: float = 1.0):
        self.value = finite_number(
            "Constant", "value", value, minimum=0, advice="Use 1.0 for the base value itself."
        )

    def __call__(self, t: Any) -> Any:
        return ops.convert_to_tensor(self.value, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value}


@keras.saving.register_keras_serializable(package="keras_regplus")
class LinearWarmup(Schedule):
    """Rises in a straight line from 0 to 1, then stays there.

    Use it to let a network find its way before a penalty or dropout pulls at it.

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

    def __init__(self, duration: int, unit: str = "step"):
        self.duration = count(
            "LinearWarmup",
            "duration",
            duration,
            advice="Use the number of steps (or epochs) until full strength, such as 1000.",
        )
        self.unit = check_unit("LinearWarmup", unit)

    def __call__(self, t: Any) -> Any:
        return ops.minimum(ops.cast(t, "float32") / self.duration, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"duration": self.duration, "unit": self.unit}
