"""Which share of a model's penalties its own `compute_loss` adds to the loss.

`compute_loss` is evaluated apart from any step, on made-up arrays of the shapes that a step
gave it, with one number in place of `model.losses`. How the loss changes with that number
is the share: 1 where the penalties are added, 0 where they are left out.

Private name of Keras used here, tried with 3.12.4 and 3.15.1: `Layer._losses_override`.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_regplus.clock.step_context import StepContext, entered

__all__ = ["LossShare", "given_shapes", "share_in"]

_UNKNOWN_SIZE = 8  # of a batch whose size TensorFlow leaves open
_ROUNDING = 1e-3


class LossShare(NamedTuple):
    """The share of `model.losses` in a loss, or None with the reason."""

    share: float | None
    reason: str = ""
    unused: bool = False
    """Whether the penalties certainly have no effect."""


@dataclass(frozen=True)
class _Shape:
    sizes: tuple[int | None, ...]
    dtype: str


def given_shapes(arguments: Any) -> Any:
    """Shapes and dtypes in place of arrays; other things stay."""

    def shape(leaf: Any) -> Any:
        if not (hasattr(leaf, "shape") and hasattr(leaf, "dtype")):
            return leaf
        return _Shape(tuple(leaf.shape), keras.backend.standardize_dtype(leaf.dtype))

    return keras.tree.map_structure(shape, arguments)


def share_in(model: keras.Model, compute_loss: Callable, args: Any, kwargs: Any) -> LossShare:
    """What `compute_loss` makes of `model.losses`, given arguments of these shapes."""
    asked: list[Any] = []
    args, kwargs = (_made_up(arguments) for arguments in (args, kwargs))

    def total(penalty: float) -> float:
        with _without_traces(model, penalty, asked):
            return float(ops.convert_to_numpy(compute_loss(*args, **kwargs)))

    try:
        without, once, twice = (total(penalty) for penalty in (0.0, 1.0, 2.0))
    except Exception as error:
        return LossShare(None, f"could not be evaluated apart ({type(error).__name__}: {error})")
    share = once - without
    slack = _ROUNDING * max(1.0, 1e-3 * abs(without))
    if not math.isfinite(twice) or abs(twice - once - share) > slack:
        return LossShare(None, "does not add `self.losses` in proportion")
    if abs(share) > slack:
        return LossShare(1.0 if abs(share - 1.0) <= slack else share)
    if asked:
        return LossShare(None, "adds penalties in a way that cannot be told apart")
    return LossShare(None, "does not add `self.losses`, so penalties have no effect", unused=True)


@contextlib.contextmanager
def _without_traces(model: keras.Model, penalty: float, asked: list[Any]) -> Iterator[None]:
    """Evaluate with `penalty` as the only loss of the model, and put everything back."""
    context = StepContext({"step": 0, "epoch": 0, "gain": 1.0}.__getitem__)
    context.note = lambda *use: asked.append(use)
    before = model._losses_override
    states = random.getstate(), np.random.get_state()
    with contextlib.ExitStack() as stack:
        if keras.backend.backend() == "torch":
            import torch

            stack.enter_context(torch.random.fork_rng())
            stack.enter_context(torch.no_grad())
        # Whatever is assigned in it, metrics and seeds for instance, is dropped.
        stack.enter_context(keras.StatelessScope())
        stack.enter_context(entered(context))
        model._losses_override = [ops.convert_to_tensor(penalty, "float32")]
        try:
            yield
        finally:
            model._losses_override = before
            random.setstate(states[0])
            np.random.set_state(states[1])


def _made_up(arguments: Any) -> Any:
    """Arrays of the shapes, whose values are possible for probabilities and for classes."""

    def array(leaf: Any) -> Any:
        if not isinstance(leaf, _Shape):
            return leaf
        sizes = [_UNKNOWN_SIZE if size is None else size for size in leaf.sizes]
        return ops.full(sizes, 0.5 if "float" in leaf.dtype else 0, dtype=leaf.dtype)

    return keras.tree.map_structure(array, arguments)
