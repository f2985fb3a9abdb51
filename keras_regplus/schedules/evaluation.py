"""The value of a schedule at a time, with errors that name the mistake of the schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_regplus.schedules.functions import name_of
from keras_regplus.schedules.units import unit_of

__all__ = ["evaluate", "values_at"]

# Known by their names, because to ask for the classes would import a backend.
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
    # TensorFlow cannot multiply an integer by 0.5. A schedule with a config casts by itself.
    if not hasattr(schedule, "get_config"):
        t = ops.cast(t, "float32")
    try:
        value = schedule(t)
    except Exception as error:
        if _is_about_tracing(error):
            raise TypeError(_use_ops(schedule, error)) from error
        raise
    factor = _as_float32(schedule, value)
    factor_shape = tuple(factor.shape)
    # A schedule that does not depend on time gives one factor for all times.
    if factor_shape != shape and (factor_shape or unit_of(schedule) is not None):
        raise _not_one_number(schedule, f"shape {factor_shape}", ValueError)
    return factor


def values_at(schedule: Callable[[Any], Any], times: np.ndarray) -> np.ndarray:
    """The factors at whole `times`, all at once if the schedule accepts arrays."""
    try:
        factors = evaluate(schedule, ops.convert_to_tensor(times, dtype="int32"))
        return np.broadcast_to(ops.convert_to_numpy(factors), times.shape).copy()
    except Exception:
        # A schedule need not take arrays. An error at a single time is a real one.
        factors = [ops.convert_to_numpy(evaluate(schedule, int(t))) for t in times]
        return np.array(factors, dtype="float32")


def _as_float32(schedule: Any, value: Any) -> Any:
    try:
        return ops.cast(value, "float32")
    except Exception as error:
        raise _not_one_number(schedule, repr(value), TypeError) from error


def _not_one_number(schedule: Any, received: str, error: type[Exception]) -> Exception:
    return error(
        f"{name_of(schedule)}: the factor at a time must be one number, got {received}. "
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
        message = str(error)
        if "symbolic tf.Tensor" in message or "SymbolicTensor" in message:
            return True
    return type(error).__name__ in _TRACING_ERRORS
