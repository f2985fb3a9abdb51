"""How a model gets its clock, and which of its methods are wrapped.

Private name of Keras used here, tried with 3.12.4 and 3.15.1:
`Trainer._get_metrics_result_or_logs`. `tests/grid/test_clock.py` fails when one moves.
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable
from typing import Any

import keras

from keras_regplus.clock import traces
from keras_regplus.clock.clock import Clock
from keras_regplus.clock.compiled_functions import compiled_functions, forget_traces
from keras_regplus.clock.model_parts import scheduled_parts
from keras_regplus.clock.step_context import current_context, entered
from keras_regplus.clock.updates import batches_per_update, has_trained
from keras_regplus.clock.variables import on_jax

__all__ = ["attach", "unwrapped", "wrap"]


_clocks: weakref.WeakKeyDictionary[keras.Model, Clock] = weakref.WeakKeyDictionary()


def attach(model: keras.Model) -> Clock:
    """The clock of `model`, made and wired up where it has none.

    Idempotent, never undone: a later `fit` without the callback goes on along the
    schedule, and a `fit` that raised leaves nothing to clean up.
    """
    _refuse_what_cannot_be_exact(model)
    traces.prepare()
    clock = _clocks.get(model)
    parts = [part for _, part in scheduled_parts(model)]
    if clock is None:
        # A part may have two strengths, L1 and L2 for instance.
        clock = _clocks[model] = Clock(model, *_adopted(model, parts), strengths=2 * len(parts))
        # Functions traced before know no clock.
        model.train_function = model.test_function = model.predict_function = None
    for part in parts:
        part._bind_clock(clock)
    _wrap_methods(model, clock)
    return clock


def wrap(model: keras.Model, name: str, by: str, make: Callable[[Callable], Callable]) -> None:
    """Replace `model.name` by `make(model.name)`, out of sight of Keras's trackers.

    Once for each `by`, who does it: an `attach` comes with every `fit`.
    """
    original = getattr(model, name)
    wrapped_by: frozenset[str] = getattr(original, "_regplus_wrapped_by", frozenset())
    if by in wrapped_by:
        return

    def put() -> None:
        wrapper = functools.wraps(original)(make(original))
        wrapper._regplus_wrapped_by = wrapped_by | {by}  # type: ignore[attr-defined]
        # With the identity, because who wraps this in turn may copy its attributes.
        wrapper._regplus_renewal = id(wrapper), put  # type: ignore[attr-defined]
        object.__setattr__(model, name, wrapper)

    put()


def unwrapped(method: Callable) -> Callable:
    """What `method` was before `wrap`."""
    while hasattr(method, "_regplus_wrapped_by"):
        method = method.__wrapped__  # type: ignore[attr-defined]
    return method


def _renew(model: keras.Model, name: str) -> None:
    """Give a wrapped method a new identity, as a bound method of Keras's has at each access.

    JAX keeps what it compiled by the function's identity, so a recompiled model would
    go on with the step that it had before.
    """
    method = getattr(model, name)
    identity, put = getattr(method, "_regplus_renewal", (None, None))
    if put is not None and identity == id(method):
        put()


def _wrap_methods(model: keras.Model, clock: Clock) -> None:
    for name, make in _WRAPPERS.items():
        wrap(model, name, "clock", functools.partial(make, model=model, clock=clock))


def _in_train_step(original: Callable, model: keras.Model, clock: Clock) -> Callable:
    return _in_context(original, clock, training=True)


def _in_test_step(original: Callable, model: keras.Model, clock: Clock) -> Callable:
    return _in_context(original, clock, training=False)


def _in_predict_step(original: Callable, model: keras.Model, clock: Clock) -> Callable:
    return _in_context(original, clock, training=False)


def _in_context(original: Callable, clock: Clock, training: bool) -> Callable:
    step_done = traces.kept_from_compilers(clock.observations.step_done, clock.model)

    def run(*args: Any, **kwargs: Any) -> Any:
        if _is_within_a_step(clock):
            return original(*args, **kwargs)
        context = clock.context()
        context.note = clock.observations.note if training else None
        with entered(context):
            result = original(*args, **kwargs)
        if training:
            step_done(context)
        return result

    def run_on_jax(state: Any, *args: Any) -> Any:
        if _is_within_a_step(clock):
            return original(state, *args)
        context = clock.jax_context(state, training)
        context.note = clock.observations.note if training else None
        # Functions that are compiled inside would keep values of older traces.
        with entered(context), traces.apart(context.trace):
            result = original(state, *args)
        if not training:
            return result
        logs, state = result
        return logs, clock.after_jax_step(state, context)

    return run_on_jax if on_jax() else run


def _is_within_a_step(clock: Clock) -> bool:
    """Whether a step of the same model runs: a `train_step` may call the `test_step`."""
    context = current_context()
    return context is not None and context.clock is clock


def _evaluate(original: Callable, model: keras.Model, clock: Clock) -> Callable:
    def run(*args: Any, **kwargs: Any) -> Any:
        with clock.evaluation():
            return original(*args, **kwargs)

    return run


def _make_train_function(original: Callable, model: keras.Model, clock: Clock) -> Callable:
    def run(*args: Any, **kwargs: Any) -> Any:
        clock.forget_epoch_of_fit()
        if model.train_function is None:
            with contextlib.suppress(ValueError):  # a step says so, too
                batches_per_update(model)
            forget_traces(compiled_functions(model))
        _renew(model, "train_step")
        return original(*args, **kwargs)

    return run


def _make_test_function(original: Callable, model: keras.Model, clock: Clock) -> Callable:
    return _refreshing(original, model, clock, "test_step")


def _make_predict_function(original: Callable, model: keras.Model, clock: Clock) -> Callable:
    return _refreshing(original, model, clock, "predict_step")


def _refreshing(original: Callable, model: keras.Model, clock: Clock, step: str) -> Callable:
    def run(*args: Any, **kwargs: Any) -> Any:
        clock.refresh()
        _renew(model, step)
        return original(*args, **kwargs)

    return run


def _train_on_batch(original: Callable, model: keras.Model, clock: Clock) -> Callable:
    def run(*args: Any, **kwargs: Any) -> Any:
        with clock.batch():
            return original(*args, **kwargs)

    return run


def _epoch_logs(original: Callable, model: keras.Model, clock: Clock) -> Callable:
    def run(*args: Any, **kwargs: Any) -> Any:
        return clock.epoch_logs(original(*args, **kwargs))

    return run


def _reset_metrics(original: Callable, model: keras.Model, clock: Clock) -> Callable:
    def run(*args: Any, **kwargs: Any) -> Any:
        clock.observations.reset()
        return original(*args, **kwargs)

    return run


def _save_weights(original: Callable, model: keras.Model, clock: Clock) -> Callable:
    def run(filepath: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(filepath, *args, **kwargs)
        clock.save_gain(filepath)
        return result

    return run


def _load_weights(original: Callable, model: keras.Model, clock: Clock) -> Callable:
    def run(filepath: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(filepath, *args, **kwargs)
        clock.load_gain(filepath)
        return result

    return run


# What of a model is replaced on the instance, and by what.
_WRAPPERS: dict[str, Callable[..., Callable]] = {
    "train_step": _in_train_step,
    "test_step": _in_test_step,
    "predict_step": _in_predict_step,
    "train_on_batch": _train_on_batch,
    "evaluate": _evaluate,
    "make_train_function": _make_train_function,
    "make_test_function": _make_test_function,
    "make_predict_function": _make_predict_function,
    "_get_metrics_result_or_logs": _epoch_logs,
    "reset_metrics": _reset_metrics,
    "save_weights": _save_weights,
    "load_weights": _load_weights,
}


def _refuse_what_cannot_be_exact(model: keras.Model) -> None:
    if getattr(keras.config, "is_nnx_enabled", lambda: False)():
        raise ValueError(
            "RegularizationScheduler: Keras's NNX mode must be off, got "
            "`keras.config.is_nnx_enabled()` True: its compiled step passes a model's own "
            "`train_step` by. Turn it off before Keras is imported."
        )
    if getattr(model, "optimizer", None) is None:
        raise ValueError(
            "RegularizationScheduler: the model must be compiled with an optimizer, got none: "
            "steps are counted by it. Call `model.compile(optimizer=...)`, or use "
            "`keras_regplus.at(step=...)` inside a training step of your own."
        )
    batches_per_update(model)  # raises where optimizers make their updates at different times


def _adopted(model: keras.Model, parts: list[Any]) -> tuple[int, float]:
    """Epoch and gain for a new clock: those that were saved, where the optimizer came along."""
    saved = [part._position for part in parts if part._position is not None]
    if saved and has_trained(model.optimizer):
        return saved[0].epoch, saved[0].gain
    return 0, 1.0
