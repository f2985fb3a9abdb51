"""Checks of the arguments that schedules share."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_regplus._checks import count, error_text, finite_number

# Optimizers count their updates in 32 bits, and factors are float32.
_LATEST = 2**31 - 1
_GREATEST = float(np.finfo("float32").max)
_LEAST_ABOVE_ZERO = float(np.finfo("float32").tiny)


def checked_time(owner: str, name: str, value: Any, *, minimum: int = 1, advice: str) -> int:
    """Return `value` as an int, or raise if no counter of steps or epochs reaches it."""
    time = count(owner, name, value, minimum=minimum, advice=advice)
    if time > _LATEST:
        rule = f"at most {_LATEST}, as far as optimizers count"
        raise ValueError(error_text(owner, name, rule, value, advice))
    return time


def checked_factor(owner: str, name: str, value: Any) -> float:
    """Return `value` as a float, or raise if it cannot be a factor."""
    advice = "Use 1.0 for the base value itself."
    factor = finite_number(owner, name, value, minimum=0, advice=advice)
    if factor > _GREATEST:
        rule = f"at most {_GREATEST:g}, the greatest float32"
        raise ValueError(error_text(owner, name, rule, value, advice))
    return factor


def above_zero(owner: str, name: str, value: Any, *, advice: str) -> float:
    """Return `value` as a float, or raise if it is not above 0 in float32, too."""
    number = finite_number(owner, name, value, above=0, advice=advice)
    if number < _LEAST_ABOVE_ZERO:
        raise ValueError(error_text(owner, name, "a finite number above 0", value, advice))
    return number
