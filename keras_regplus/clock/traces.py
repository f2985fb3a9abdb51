"""Which trace a value belongs to: one that is made inside a trace must not leave it.

JAX keeps what it traced of an inner function, whichever step it was for: `apart` keeps
the traces of different steps apart, where JAX is new enough to be told so (0.7.2).

Private name of JAX used here, tried with 0.4.35 and 0.10.2: `Tracer._trace`. Where it has
moved, no value counts as one of the step's own.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import keras

__all__ = [
    "apart",
    "are_kept_apart",
    "belongs_to",
    "in_inner_graph",
    "is_compiling",
    "is_traced",
    "replicas",
    "trace_of",
    "uncompiled",
    "variable_of_inner_graphs",
]


def trace_of(value: Any) -> Any:
    """The trace that is being made where `value` was given, or None in eager execution."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    return getattr(value, "_trace", None) if backend == "jax" else None


def in_inner_graph(trace: Any) -> bool:
    """Whether what is computed now goes to a TensorFlow graph inside `trace`."""
    return keras.backend.backend() == "tensorflow" and trace_of(None) is not trace


def belongs_to(value: Any, trace: Any) -> bool:
    """Whether `value` can be used in `trace`, on JAX also after inner transformations."""
    if keras.backend.backend() != "jax" or not is_traced(value):
        return True
    return trace is not None and getattr(value, "_trace", None) is trace


def is_traced(value: Any) -> bool:
    """Whether `value` stands for what a compiled step will compute."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return not tf.executing_eagerly()
    if backend == "jax":
        import jax

        return isinstance(value, jax.core.Tracer)
    return False


def is_compiling() -> bool:
    """Whether what runs now is traced, so that a Python number would be frozen into it."""
    if keras.backend.backend() == "jax":
        import jax

        return isinstance(jax.numpy.zeros(()), jax.core.Tracer)
    return is_traced(None)


@functools.cache
def _key_of_caches() -> Any:
    """Something to enter that is part of the key of all caches of JAX, where there is one."""
    if keras.backend.backend() != "jax":
        return None
    import jax

    make = getattr(jax, "make_user_context", None)
    return None if make is None else make(None)


def are_kept_apart() -> bool:
    """Whether `apart` does what it says. Ask outside of any step first: JAX wants that."""
    return _key_of_caches() is not None


def apart(trace: Any) -> contextlib.AbstractContextManager[Any]:
    """A block in which JAX uses nothing that it traced elsewhere, when `trace` is made in it.

    A step that is run without a trace would compile each of its operations anew.
    """
    key = _key_of_caches()
    return contextlib.nullcontext() if key is None or trace is None else key(object())


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """A block in which compiled functions run as they are written, and keep nothing.

    Those of torch check by themselves whether they still hold.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        before = tf.config.functions_run_eagerly()
        tf.config.run_functions_eagerly(True)
        try:
            yield
        finally:
            tf.config.run_functions_eagerly(before)
    elif backend == "jax":
        import jax

        with jax.disable_jit():
            yield
    else:
        yield


def replicas() -> int:
    """How many replicas of a step run side by side, each with variables of its own."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def variable_of_inner_graphs(name: str, value: Any, dtype: str) -> keras.Variable | None:
    """A variable that any graph on TensorFlow can read and write, each replica its own.

    None on other backends, which have no graphs that live on by themselves.
    """
    if keras.backend.backend() != "tensorflow":
        return None
    return keras.Variable(
        value,
        dtype=dtype,
        trainable=False,
        autocast=False,
        name=f"regplus_{name}",
        aggregation="only_first_replica",
        synchronization="on_read",
    )
