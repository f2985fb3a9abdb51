"""Functions that a user compiled inside a training step, and what they remember of it.

A `tf.function` around a layer's `call`, a `train_step` or a loss keeps what it traced once: a
strength of before the clock came, for instance. So does a `jax.jit` where the step around it
is not compiled. Such functions are found on the model, its layers and their classes, and by
name in their code, and made to trace again.

Private name of TensorFlow used here, tried with 2.21: `Function._function_cache`. Where it
has moved nothing is forgotten, and the observations of the step tell what stays frozen.
"""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Iterator
from typing import Any

import keras

from keras_regplus._warnings import is_installed

__all__ = ["compiled_functions", "forget_traces"]


# Keras makes these anew by itself, and one of them may be the one that is being traced.
_OF_KERAS = ("train_function", "test_function", "predict_function")
_LIBRARIES = ("keras", "keras_regplus", "tensorflow", "jax", "builtins")
_LONGEST = 100  # of a list to look into: a layer may hold a whole data set


def compiled_functions(model: keras.Model) -> list[Any]:
    """Every compiled function that the code of `model` and of its layers refers to."""
    if keras.backend.backend() == "torch":
        return []  # there a compiled function checks by itself whether it still holds
    losses = keras.tree.flatten(getattr(model, "loss", None))
    penalties = [getattr(weight, "regularizer", None) for weight in model.weights]
    owners = [*model._flatten_layers(), *losses, *penalties]
    packages = {_package(type(owner)) for owner in owners}.difference(_LIBRARIES)
    waiting = [value for owner in owners for value in _held_by(owner)]
    seen: dict[int, Any] = {}  # held, so that no other object gets the same identity
    while waiting:
        value = waiting.pop()
        if id(value) not in seen:
            seen[id(value)] = value
            waiting += _behind(value, packages)
    return [value for value in seen.values() if _is_compiled(value)]


def forget_traces(functions: list[Any]) -> None:
    """Have each function trace anew when it is called next."""
    for function in functions:
        cache = getattr(function, "_function_cache", None)
        if cache is not None:
            cache.clear()
        elif hasattr(function, "clear_cache"):
            function.clear_cache()


def _held_by(owner: Any) -> Iterator[Any]:
    """An object that the model is made of, its attributes, and those of the user's class."""
    yield owner
    for name, value in getattr(owner, "__dict__", {}).items():
        if name not in _OF_KERAS:
            yield value
    for cls in type(owner).__mro__:
        if _package(cls) in _LIBRARIES:
            continue
        for value in vars(cls).values():
            yield value
            if _is_compiled(value):
                # TensorFlow has another function for each object of the class. The object's
                # attribute of that name may be a wrapper of ours by now.
                yield value.__get__(owner, type(owner))


def _behind(value: Any, packages: set[str]) -> list[Any]:
    """What `value` holds or wraps, and what its code names if it is the user's."""
    if isinstance(value, (list, tuple, dict)):
        inside = list(value.values() if isinstance(value, dict) else value)
        return inside if len(inside) <= _LONGEST else []
    if isinstance(value, (types.MethodType, staticmethod, classmethod)):
        return [value.__func__]
    if isinstance(value, functools.partial):
        return [value.func]
    if _is_compiled(value):
        names = ("python_function", "__wrapped__")
        return [getattr(value, name) for name in names if hasattr(value, name)]
    if not isinstance(value, types.FunctionType):
        return []
    wrapped = [value.__wrapped__] if hasattr(value, "__wrapped__") else []
    return [*wrapped, *_named_in(value)] if _is_of_the_user(value, packages) else wrapped


def _named_in(function: types.FunctionType) -> Iterator[Any]:
    """The globals and the variables of outer functions that `function` refers to."""
    names = function.__code__.co_names
    for name in names:
        value = function.__globals__.get(name)
        yield value
        if isinstance(value, types.ModuleType):
            yield from (vars(value).get(name) for name in names)
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # a cell that is not filled yet
            yield cell.cell_contents


def _is_compiled(value: Any) -> bool:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return isinstance(value, tf.types.experimental.PolymorphicFunction)
    return hasattr(type(value), "clear_cache") and hasattr(type(value), "lower")


def _package(code: Any) -> str:
    return (getattr(code, "__module__", None) or "").partition(".")[0]


def _is_of_the_user(function: types.FunctionType, packages: set[str]) -> bool:
    """Whether the user wrote it, or a package that the model's own classes come from."""
    package = _package(function)
    if package in _LIBRARIES:
        # Our wrappers name the methods of the user that they stand for.
        return package == "keras_regplus" and hasattr(function, "_regplus_wrapped_by")
    return package in packages or not is_installed(function.__code__.co_filename)
