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
import inspect
from collections.abc import Iterable, Iterator
from typing import Any

import keras

__all__ = ["compiled_functions", "forget_traces"]


# Keras makes these anew by itself, and one of them may be the one that is being traced.
_OF_KERAS = ("train_function", "test_function", "predict_function")


def compiled_functions(model: keras.Model) -> list[Any]:
    """Every compiled function that the code of `model` and of its layers refers to."""
    if keras.backend.backend() == "torch":
        return []  # there a compiled function checks by itself whether it still holds
    losses = keras.tree.flatten(getattr(model, "loss", None))
    penalties = [getattr(weight, "regularizer", None) for weight in model.weights]
    found: dict[int, Any] = {}
    for owner in (*model._flatten_layers(), *losses, *penalties):
        for value in _reached_from(owner):
            if _is_compiled(value):
                found[id(value)] = value
    return list(found.values())


def forget_traces(functions: list[Any]) -> None:
    """Have each function trace anew when it is called next."""
    for function in functions:
        cache = getattr(function, "_function_cache", None)
        if cache is not None:
            cache.clear()
        elif hasattr(function, "clear_cache"):
            function.clear_cache()


def _reached_from(owner: Any) -> Iterator[Any]:
    """What `owner` and its class hold, and what the functions among that refer to."""
    values = {k: v for k, v in getattr(owner, "__dict__", {}).items() if k not in _OF_KERAS}
    yield from _referred_to([owner, *values.values()])
    for cls in type(owner).__mro__:
        if _is_of_a_library(cls):
            continue
        for value in vars(cls).values():
            if _is_compiled(value):
                # TensorFlow has another function for each object of the class. The object's
                # attribute of that name may be a wrapper of ours by now.
                yield value.__get__(owner, type(owner))
        yield from _referred_to(vars(cls).values())


def _referred_to(values: Iterable[Any]) -> Iterator[Any]:
    """`values`, and all that the code of the functions among them can call by name."""
    waiting, seen = list(values), set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        function = _python_function(value)
        if function is not None and not _is_of_a_library(function):
            waiting += _named_in(function)
        elif isinstance(value, (list, tuple)):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()


def _python_function(value: Any) -> Any:
    """The function that a user wrote, below what was put around it; None if there is none."""
    for name in ("python_function", "func", "__func__", "__wrapped__"):
        inner = inspect.getattr_static(value, name, None)
        if inner is not None:
            value = getattr(value, name)
    return value if inspect.isfunction(value) else None


def _named_in(function: Any) -> Iterator[Any]:
    """The globals and the variables of outer functions that `function` refers to."""
    names = function.__code__.co_names
    for name in names:
        value = function.__globals__.get(name)
        yield value
        if inspect.ismodule(value):
            yield from (vars(value).get(name) for name in names)
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # a cell that is not filled yet
            yield cell.cell_contents


def _is_compiled(value: Any) -> bool:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return isinstance(value, tf.types.experimental.PolymorphicFunction)
    return hasattr(type(value), "clear_cache") and hasattr(type(value), "lower")


def _is_of_a_library(code: Any) -> bool:
    module = getattr(code, "__module__", None) or ""
    return module.partition(".")[0] in ("keras", "keras_regplus", "tensorflow", "jax", "builtins")
