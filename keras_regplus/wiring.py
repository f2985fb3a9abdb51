"""How a model gets its clock: what is found in it, and what of it is wrapped.

Private names of Keras used here, tried with 3.12.4 and 3.15.1: `Layer._flatten_layers`,
`Layer._trainable_variables`, `Layer._non_trainable_variables`,
`Trainer._get_metrics_result_or_logs`. `tests/grid/test_clock.py` fails when one moves.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras

from keras_regplus.clock import Clock, has_trained, on_jax
from keras_regplus.frames import Frame, on_top

__all__ = ["Site", "attach", "scheduled_parts", "scheduled_sites", "wrap"]


class Site(NamedTuple):
    """Where a scheduled object sits: what asks it, under which attribute."""

    path: str
    part: Any
    owner: Any
    name: str


_clocks: weakref.WeakKeyDictionary[keras.Model, Clock] = weakref.WeakKeyDictionary()


def attach(model: keras.Model) -> Clock:
    """The clock of `model`, made and wired up where it has none.

    Idempotent, never undone: a later `fit` without the callback goes on along the
    schedule, and a `fit` that raised leaves nothing to clean up.
    """
    _refuse_what_cannot_be_exact(model)
    clock = _clocks.get(model)
    parts = [part for _, part in scheduled_parts(model)]
    if clock is None:
        clock = _clocks[model] = Clock(model, *_adopted(model, parts))
        # Functions traced before know no clock.
        model.train_function = model.test_function = model.predict_function = None
    for part in parts:
        part._bind_clock(clock)
    _wrap_steps(model, clock)
    return clock


def scheduled_parts(model: keras.Model) -> Iterator[tuple[str, Any]]:
    """Every scheduled object of `model` that can be found, with the path of its owner.

    What is not found, a regularizer inside a user's own one for instance, is as
    exact as the rest: a step's frame is what counts.
    """
    for site in scheduled_sites(model):
        yield site.path, site.part


def scheduled_sites(model: keras.Model) -> Iterator[Site]:
    """Where every scheduled object of `model` sits that can be found."""
    for layer in model._flatten_layers():
        path = layer.path or layer.name
        # A layer asks itself.
        found = [Site(path, layer, layer, "_now")]
        activity = layer.activity_regularizer
        found.append(Site(f"{path}/activity", activity, layer, "activity_regularizer"))
        for variable in layer._trainable_variables + layer._non_trainable_variables:
            regularizer = getattr(variable, "regularizer", None)
            found.append(Site(variable.path, regularizer, variable, "regularizer"))
        yield from (site for site in found if hasattr(site.part, "_bind_clock"))


def wrap(model: keras.Model, name: str, make: Callable[[Callable], Callable]) -> None:
    """Replace `model.name` by `make(model.name)`, once, out of sight of Keras's trackers."""
    original = getattr(model, name)
    marks: frozenset = getattr(original, "_regplus_marks", frozenset())
    mark = make.__qualname__
    if mark in marks:
        return

    def put() -> None:
        wrapper = functools.wraps(original)(make(original))
        wrapper._regplus_marks = marks | {mark}  # type: ignore[attr-defined]
        # With the identity, because who wraps this in turn may copy its attributes.
        wrapper._regplus_renewal = id(wrapper), put  # type: ignore[attr-defined]
        object.__setattr__(model, name, wrapper)

    put()


def _renew(model: keras.Model, name: str) -> None:
    """Give a wrapped method a new identity, as a bound method of Keras's has at each access.

    JAX keeps what it compiled by the function's identity, so a recompiled model would
    go on with the step that it had before.
    """
    method = getattr(model, name)
    identity, put = getattr(method, "_regplus_renewal", (None, None))
    if put is not None and identity == id(method):
        put()


def _wrap_steps(model: keras.Model, clock: Clock) -> None:
    def train_step(original: Callable) -> Callable:
        return _stepping(original, clock, training=True)

    def test_step(original: Callable) -> Callable:
        return _stepping(original, clock, training=False)

    def evaluate(original: Callable) -> Callable:
        def run(*args: Any, **kwargs: Any) -> Any:
            with clock.evaluation():
                return original(*args, **kwargs)

        return run

    def make_train_function(original: Callable) -> Callable:
        def run(*args: Any, **kwargs: Any) -> Any:
            clock.forget_epoch()
            _renew(model, "train_step")
            return original(*args, **kwargs)

        return run

    def make_test_function(original: Callable) -> Callable:
        def run(*args: Any, **kwargs: Any) -> Any:
            clock.refresh()
            _renew(model, "test_step")
            return original(*args, **kwargs)

        return run

    def epoch_logs(original: Callable) -> Callable:
        def run(*args: Any, **kwargs: Any) -> Any:
            return clock.epoch_logs(original(*args, **kwargs))

        return run

    def save_weights(original: Callable) -> Callable:
        def run(filepath: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(filepath, *args, **kwargs)
            clock.note_in(filepath)
            return result

        return run

    def load_weights(original: Callable) -> Callable:
        def run(filepath: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(filepath, *args, **kwargs)
            clock.take_from(filepath)
            return result

        return run

    wrap(model, "save_weights", save_weights)
    wrap(model, "load_weights", load_weights)
    wrap(model, "train_step", train_step)
    wrap(model, "test_step", test_step)
    wrap(model, "evaluate", evaluate)
    wrap(model, "make_train_function", make_train_function)
    wrap(model, "make_test_function", make_test_function)
    wrap(model, "_get_metrics_result_or_logs", epoch_logs)


def _stepping(original: Callable, clock: Clock, training: bool) -> Callable:
    def frame(arguments: tuple[Any, ...]) -> Frame:
        return clock.jax_frame(arguments[0], training) if on_jax() else clock.frame()

    def run(*args: Any, **kwargs: Any) -> Any:
        with on_top(frame(args)):
            return original(*args, **kwargs)

    return run


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


def _adopted(model: keras.Model, parts: list[Any]) -> tuple[int, float]:
    """Epoch and gain for a new clock: those that were saved, where the optimizer came along."""
    saved = [part._position for part in parts if part._position is not None]
    if saved and has_trained(model.optimizer):
        return saved[0].epoch, saved[0].gain
    return 0, 1.0
