"""The value of a schedule at a time, with errors that say what the schedule does wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

# Told by name, because asking for the class would import a backend.
_TRACING_ERRORS = {
    "ConcretizationTypeError",
    "OperatorNotAllowedInGraphError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
}


def evaluate(schedule: Callable[[Any], Any], t: Any) -> Any:
    """The factor at `t`, a float32 scalar; for an array of times, an array of its shape."""
    shape = tuple(getattr(t, "shape", ()))
    # TensorFlow does not multiply a counter by 0.5. What has a config has been told to cast.
    if not hasattr(schedule, "get_config"):
        t = ops.cast(t, "float32")
    try:
        value = schedule(t)
    except Exception as error:
        if _is_about_tracing(error):
            raise TypeError(_use_ops(schedule, error)) from error
        raise
    factor = _as_float32(schedule, value)
    found = tuple(factor.shape)
    # What does not depend on time gives one factor for all times.
    if found != shape and (found or unit_of(schedule) is not None):
        raise _not_one_number(schedule, f"shape {found}", ValueError)
    return factor


def values_at(schedule: Callable[[Any], Any], times: np.ndarray) -> np.ndarray:
    """The factors at whole `times`, all at once where the schedule takes arrays."""
    try:
        factors = evaluate(schedule, ops.convert_to_tensor(times, dtype="int32"))
        return np.broadcast_to(ops.convert_to_numpy(factors), times.shape).copy()
    except Exception:
        # A schedule has to take single times only. If these fail too, it is for good.
        factors = [ops.convert_to_numpy(evaluate(schedule, int(t))) for t in times]
        return np.array(factors, dtype="float32")


def unit_of(schedule: Any) -> str | None:
    """What `schedule` counts; functions and Keras's learning-rate schedules count steps."""
    return getattr(schedule, "unit", "step")


def name_of(schedule: Any) -> str:
    """What to call a schedule in a sentence: the name of its function or class."""
    return getattr(schedule, "__name__", type(schedule).__name__)


def _as_float32(schedule: Any, value: Any) -> Any:
    try:
        return ops.cast(value, "float32")
    except Exception as error:
        raise _not_one_number(schedule, repr(value), TypeError) from error


def _not_one_number(schedule: Any, found: str, error: type[Exception]) -> Exception:
    return error(
        f"{name_of(schedule)}: the factor at a time must be one number, got {found}. "
        "Return a number or a scalar tensor."
    )


def _use_ops(schedule: Any, error: Exception) -> str:
    return (
        f"{name_of(schedule)}: a schedule must be computed with `keras.ops`, because its time is "
        f"not known while a step is compiled, got {type(error).__name__}. Use `keras.ops` in "
        "place of NumPy, `math`, `int` and `float`, and `keras.ops.where` in place of `if`."
    )


def _is_about_tracing(error: Exception) -> bool:
    if isinstance(error, (AttributeError, NotImplementedError, TypeError)):
        # TensorFlow has no class of its own for these.
        said = str(error)
        if "symbolic tf.Tensor" in said or "SymbolicTensor" in said:
            return True
    return type(error).__name__ in _TRACING_ERRORS
