"""Checks for the parts of this package and for your own; they need no test framework."""

from __future__ import annotations

from keras_regplus.testing.contract import (
    check_callback,
    check_layer,
    check_regularizer,
    check_schedule,
)
from keras_regplus.testing.frozen import FrozenFit, frozen_fit

__all__ = [
    "FrozenFit",
    "check_callback",
    "check_layer",
    "check_regularizer",
    "check_schedule",
    "frozen_fit",
]
