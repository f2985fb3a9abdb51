"""Plain functions as schedules."""

from __future__ import annotations

import inspect
from collections.abc import Hashable
from typing import Any

import keras


def is_function(value: Any) -> bool:
    """Whether `value` is a function of one argument, or an object that acts like one."""
    if isinstance(value, type) or not callable(value) or not isinstance(value, Hashable):
        return False
    # What has a config is a layer or a regularizer, here by mistake.
    return not hasattr(value, "get_config") and _takes_one_argument(value)


def _takes_one_argument(function: Any) -> bool:
    try:
        inspect.signature(function).bind(0)
    except TypeError:
        return False
    except ValueError:  # Not every function in C tells its arguments.
        return True
    return True


def is_registered(function: Any) -> bool:
    """Whether a file can hold the name of `function`; Keras writes a lambda as code."""
    if not inspect.isfunction(function) or function.__name__ == "<lambda>":
        return False
    return bool(keras.saving.get_registered_name(function) != function.__name__)
