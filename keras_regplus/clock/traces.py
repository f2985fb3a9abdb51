"""Which trace a value belongs to: one that is made inside a trace must not leave it.

JAX keeps what it traced of an inner function, whichever step it was for: `apart` keeps
the traces of different steps apart, by a value that is part of the key of all its caches.

Private name of JAX used here, tried with 0.7.2 and 0.10.2: `Tracer._trace`. Where it has
moved, no value counts as one of the step's own.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

__all__ = [
    "apart",
    "belongs_to",
    "evaluated_apart",
    "in_inner_graph",
    "is_compiling",
    "is_traced",
    "kept_from_compilers",
    "leave",
    "nothing_compiled",
    "prepare",
    "replicas",
    "same_random_numbers",
    "trace_of",
    "variable_of_inner_graphs",
    "wait_for_effects",
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
    import jax

    return jax.make_user_context(None)


def prepare() -> None:
    """Make what `apart` needs: JAX wants it made outside of any step."""
    if keras.backend.backend() == "jax":
        _key_of_caches()


def apart(trace: Any) -> contextlib.AbstractContextManager[Any]:
    """A block in which JAX uses nothing that it traced elsewhere, when `trace` is made in it.

    A step that is run without a trace would compile each of its operations anew.
    """
    if trace is None or keras.backend.backend() != "jax":
        return contextlib.nullcontext()
    return _key_of_caches()(object())


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


def leave(values: list[Any], store: Callable[..., None], variable: keras.Variable | None) -> None:
    """Have `values` leave the step from any trace: to `variable` on TensorFlow, else to `store`.

    The variable takes none while it holds some. Slow on JAX: for a check, not for a training.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow" and variable is not None:
        held = ops.convert_to_tensor(variable)
        variable.assign(ops.where(ops.isnan(held), ops.stack(values), held))
    elif backend == "jax":
        import jax

        jax.debug.callback(store, *values)
    else:
        store(*values)


def wait_for_effects() -> None:
    """Wait until all that was to leave steps has left them."""
    if keras.backend.backend() == "jax":
        import jax

        jax.effects_barrier()


@contextlib.contextmanager
def evaluated_apart(function: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """`function`, to be called outside of any step, using nothing that a step has traced.

    On JAX it is compiled, because each of its operations would be otherwise.
    """
    if keras.backend.backend() == "jax":
        import jax

        with apart(function):
            yield jax.jit(function)
    else:
        with nothing_compiled():
            yield function


@contextlib.contextmanager
def nothing_compiled() -> Iterator[None]:
    """A block in which functions that users compiled run as they are written, and keep nothing."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        with jax.disable_jit():
            yield
    elif backend == "tensorflow":
        import tensorflow as tf

        before = tf.config.functions_run_eagerly()
        tf.config.run_functions_eagerly(True)
        try:
            yield
        finally:
            tf.config.run_functions_eagerly(before)
    else:
        import torch

        with torch.compiler.set_stance("force_eager"):
            yield


def kept_from_compilers(function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
    """`function`, which torch's compiler neither looks into nor compiles by itself.

    The mark `_torchdynamo_disable` alone keeps it from the first. What is compiled by itself
    may raise in the user's step, when torch looks for the reason to compile it anew.
    """
    if keras.backend.backend() != "torch":
        return function
    # Importing its compiler takes a second, so it is asked only where it will be used.
    if "torch._dynamo" not in sys.modules and not getattr(model, "jit_compile", False):
        return function
    import torch

    return torch.compiler.disable(function)


@contextlib.contextmanager
def same_random_numbers() -> Iterator[None]:
    """Put torch's generators back; those of other backends are in a model's state."""
    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    with torch.random.fork_rng():
        yield
