"""Penalties that follow a schedule exactly, a diagnosis of overfitting, readable logs for Keras 3.

Importing it registers every class that can be saved, so import it before
`keras.models.load_model`.
"""

from __future__ import annotations

import importlib
from typing import Any

from keras_regplus import _quiet_start  # isort: skip  # noqa: F401  # before anything loads Keras

import keras

from keras_regplus import callbacks, diagnosis, layers, regularizers, schedules
from keras_regplus._warnings import RegPlusWarning
from keras_regplus.clock.now import now
from keras_regplus.clock.step_context import at

__version__ = "0.1.0"

__all__ = [
    "RegPlusWarning",
    "__version__",
    "at",
    "callbacks",
    "custom_objects",
    "diagnosis",
    "histograms",
    "layers",
    "now",
    "plots",
    "regularizers",
    "schedules",
    "testing",
]

# Packages that training code rarely needs are imported when they are first used.
_ON_USE = ("histograms", "plots", "testing")
_WITH_NAMES = ("callbacks", "diagnosis", "layers", "regularizers", "schedules")


def custom_objects() -> dict[str, type]:
    """Every class of the package that can be saved, under the name that files carry.

    Use it for code that insists on `custom_objects=`; `import keras_regplus` alone
    is enough for `keras.models.load_model`.

    Returns:
        A new dictionary of registered name to class.

    Example:
        >>> import keras_regplus
        >>> keras_regplus.custom_objects()["keras_regplus>ScheduledL2"].__name__
        'ScheduledL2'
    """
    classes = {}
    for package in (schedules, regularizers, layers):
        for name in package.__all__:
            cls = getattr(package, name)
            registered = keras.saving.get_registered_name(cls) if isinstance(cls, type) else ""
            # Abstract bases are not registered, and keep their plain name.
            if registered.startswith("keras_regplus>"):
                classes[registered] = cls
    return classes


def __getattr__(name: str) -> Any:
    if name in _ON_USE:
        return importlib.import_module(f"keras_regplus.{name}")
    where = [module for module in _WITH_NAMES if name in globals()[module].__all__]
    hint = f". It is `keras_regplus.{where[0]}.{name}`" if where else ""
    raise AttributeError(f"module 'keras_regplus' has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
