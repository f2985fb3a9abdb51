"""What a scheduled object sees while a step is traced or run.

A step that runs under a clock, or inside `at`, has a `StepContext` on a stack of its
thread. Whatever is computed in that step finds step, epoch and gain there: nothing has
to be discovered, registered or owned by a layer.

Private names of Keras used here, tried with 3.12.4 and 3.15.1:
`keras.src.backend.in_stateless_scope`, `keras.src.backend.common.symbolic_scope`.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import keras
from keras.src.backend import in_stateless_scope
from keras.src.backend.common.symbolic_scope import in_symbolic_scope

from keras_regplus._warnings import OneTimeWarnings
from keras_regplus.clock import traces

__all__ = [
    "StepContext",
    "at",
    "context_around",
    "current_context",
    "entered",
    "in_symbolic_scope",
    "is_tracing",
    "running_step",
    "runs_eagerly_on_torch",
]


class StepContext:
    """What a scheduled object sees while a step is traced or run.

    `value` returns `"step"`, `"epoch"` or `"gain"`, and under a clock `"rate_offset"`;
    `cached` computes a thing once a step, however many weights ask for it.
    """

    def __init__(self, value: Callable[[str], Any], clock: Any = None, trace: Any = None):
        self.value = value
        self.clock = clock
        self.trace = trace
        """The trace that the step belongs to; None where it runs at once."""
        self.note: Callable[..., None] | None = None
        """Who is told what a scheduled object uses in a training step, see `observations`."""
        self.uses: dict[Any, tuple[Any, Any, Any]] = {}
        self.given: dict[str, Any] | None = None
        """The arguments of the `at` that made the context."""
        self.record: Any = None  # what `loss_parts` observes in this step
        self.losses_computed = 0
        self._cache: dict[Any, Any] = {}

    def cached(self, key: Any, compute: Callable[[], Any]) -> Any:
        backend = keras.backend.backend()
        # A tracer must not leave the trace that made it, and XLA merges equal
        # computations by itself; a TensorFlow tensor belongs to one graph.
        if backend == "jax":
            return compute()
        if backend == "tensorflow":
            import tensorflow as tf

            key = (key, tf.compat.v1.get_default_graph())
        if key not in self._cache:
            self._cache[key] = compute()
        return self._cache[key]


class _Stack(threading.local):
    """The contexts of the steps that run in this thread, innermost last."""

    def __init__(self) -> None:
        self.contexts: list[StepContext] = []


_stack = _Stack()


def current_context() -> StepContext | None:
    """The context of the step that is being traced or run in this thread."""
    return _stack.contexts[-1] if _stack.contexts else None


def context_around(context: StepContext) -> StepContext | None:
    """The context that `context`, an `at`, lies in."""
    return next((each for each in reversed(_stack.contexts) if each is not context), None)


class entered:
    """A context that is current while the block runs; a class, because every step enters one."""

    def __init__(self, context: StepContext):
        self._context = context

    def __enter__(self) -> StepContext:
        _stack.contexts.append(self._context)
        return self._context

    def __exit__(self, *exception: Any) -> None:
        _stack.contexts.pop()


def _by_keyword(function: Callable) -> Callable:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if args:
            raise TypeError(
                f"at: `step` and `epoch` must be passed by their names, got {args[0]!r} without "
                "one. Use `at(step=...)`, `at(epoch=...)` or both."
            )
        return function(**kwargs)

    return run


@_by_keyword
@contextlib.contextmanager
def at(*, step: Any = None, epoch: Any = None) -> Iterator[None]:
    """Tell scheduled penalties and layers where a hand-written training loop is.

    Use it inside the compiled step of a loop of your own, around whatever computes
    the model and `model.losses`. `fit`, `evaluate` and `train_on_batch` need the
    callback `RegularizationScheduler` instead; around `train_on_batch`, `at(epoch=...)` says
    which epoch it is. Elsewhere enter it inside the function that is
    compiled and pass the counter in as an argument: a number from outside would be
    frozen into the compiled step.

    Args:
        step: Optimizer updates finished so far, a number or a traced scalar. Needed
            where a schedule counts steps. Defaults to None.
        epoch: Epochs finished so far, a number or a traced scalar. Needed where a
            schedule counts epochs. Defaults to None.

    Raises:
        TypeError: If neither is given, or one without its name.
        ValueError: If a number is negative, or, when a schedule asks, if the one
            that it counts was not given.

    Example:
        >>> import keras, numpy as np
        >>> import keras_regplus as kr
        >>> l2 = kr.regularizers.ScheduledL2(0.1, kr.schedules.LinearWarmup(10))
        >>> with kr.at(step=5):
        ...     penalty = l2(keras.ops.ones((3,)))
        >>> round(float(penalty), 6)
        0.15
    """
    given = {"step": step, "epoch": epoch}
    if step is None and epoch is None:
        raise TypeError(
            "at: `step` must be a number or a traced scalar, got None. "
            "Pass `step=`, `epoch=` or both."
        )
    for name, value in given.items():
        if isinstance(value, (bool, str)) or (isinstance(value, (int, float)) and not value >= 0):
            raise ValueError(
                f"at: `{name}` must be a number of at least 0 or a traced scalar, got {value!r}. "
                "Pass what the training has finished so far: 0 at the first step."
            )

    def value_of(name: str) -> Any:
        if name == "gain":
            return 1.0
        if given[name] is None:
            raise ValueError(
                f"at: `{name}` must be given because a schedule counts it, got None. "
                f"Use `keras_regplus.at({name}=...)` around the computation."
            )
        if entered_eagerly and not in_symbolic_scope() and traces.is_compiling():
            _warn_frozen(name, given[name])
        return given[name]

    # A variable is read anew by a compiled function, whatever it was given to.
    numbers = [v for v in given.values() if v is not None and not hasattr(v, "assign")]
    entered_eagerly = bool(numbers) and not traces.is_compiling()
    context = StepContext(value_of)
    context.given = given
    with entered(context):
        yield


_at_warnings = OneTimeWarnings("at")


def _warn_frozen(name: str, value: Any) -> None:
    _at_warnings.warn(
        f"a function is compiled inside `at({name}={value})`, which keeps the number {value} for "
        f"ever. Enter `at` inside the function, and pass `{name}` to it as an argument, or as a "
        "variable.",
        cause=name,
    )


def runs_eagerly_on_torch() -> bool:
    """Whether a training step runs op by op, as it does on torch unless it is compiled.

    There every operation costs microseconds, and a Python number is as live as a tensor.
    """
    if keras.backend.backend() != "torch":
        return False
    import torch

    return not torch.compiler.is_compiling()


def is_tracing() -> bool:
    """Whether a step is being compiled, so that a Python number would be frozen into it."""
    if keras.backend.backend() == "jax":
        return in_stateless_scope()
    return traces.is_traced(None)


def running_step() -> tuple[keras.Model | None, str | None]:
    """The model whose own step is on the Python stack, and the name of that step."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        # In a `tf.function` that prefix marks what AutoGraph has made of a method.
        name = frame.f_code.co_name.removeprefix("tf__")
        if name in ("train_step", "test_step", "predict_step"):
            owner = frame.f_locals.get("self")
            if isinstance(owner, keras.Model):
                return owner, name
        frame = frame.f_back
    return None, None


# torch.compile would trace into the walk, fail and tell the user so; this is the mark
# that its own `disable` puts on a function, set without importing its compiler.
running_step._torchdynamo_disable = True  # type: ignore[attr-defined]
