"""Plain functions as schedules: which ones will do, which can be saved, what to call them."""

from __future__ import annotations

import inspect
from collections.abc import Hashable
from typing import Any

import keras

__all__ = ["is_function", "is_registered", "name_of"]


def is_function(value: Any) -> bool:
    """Whether `value` is a function of one argument, or an object that acts like one."""
    if isinstance(value, type) or not callable(value) or not isinstance(value, Hashable):
        return False
    # An object with a config is a layer or a regularizer, passed by mistake.
    return not hasattr(value, "get_config") and _takes_one_argument(value)


def _takes_one_argument(function: Any) -> bool:
    try:
        inspect.signature(function).bind(0)
    except TypeError:
        return False
    except ValueError:  # Some functions written in C have no signature to read.
        return True
    return True


def is_registered(function: Any) -> bool:
    """Whether a file can hold the name of `function`; Keras writes a lambda as code."""
    if not inspect.isfunction(function) or function.__name__ == "<lambda>":
        return False
    return bool(keras.saving.get_registered_name(function) != function.__name__)


def name_of(schedule: Any) -> str:
    """What to call a schedule in a sentence: the name of its function or class."""
    return getattr(schedule, "__name__", type(schedule).__name__)
