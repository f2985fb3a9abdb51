"""Which share of a model's penalties its own `compute_loss` adds to the loss.

`compute_loss` is evaluated apart from any step, on made-up arrays of the shapes that a step
gave it, with numbers in place of `model.losses`. How the loss changes with these numbers is
the share: 1 where the penalties are added, 0 where they are left out.

Private name of Keras used here, tried with 3.12.4 and 3.15.1: `Layer._losses_override`.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_regplus.clock import traces
from keras_regplus.clock.step_context import StepContext, entered
from keras_regplus.clock.variables import number_of

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


def share_in(
    model: keras.Model, compute_loss: Callable, given: Any, penalties: Sequence[Any]
) -> LossShare:
    """What `compute_loss` makes of `model.losses`.

    `given` are shapes of its arguments, as (args, kwargs), and `penalties` those of the losses.
    """
    asked: list[Any] = []
    variables = [*model.variables, *model.metrics_variables]
    arrays = [_made_up(leaf) for leaf in keras.tree.flatten(given) if isinstance(leaf, _Shape)]

    def total(values: Any, weights: Sequence[Any], arrays: Sequence[Any]) -> Any:
        losses = [ops.cast(values[i], loss.dtype) for i, loss in enumerate(penalties)]
        left = iter(arrays)
        args, kwargs = keras.tree.map_structure(
            lambda leaf: next(left) if isinstance(leaf, _Shape) else leaf, given
        )
        mapping = list(zip(variables, weights, strict=True))
        with _apart(model, losses, mapping, asked):
            return compute_loss(*args, **kwargs)

    def number(values: np.ndarray) -> float:
        weights = [variable.value for variable in variables]
        loss = evaluate(ops.convert_to_tensor(values, "float32"), weights, arrays)
        return number_of(loss)

    ones = np.ones(len(penalties))
    uneven = np.sqrt(1 + np.arange(len(penalties)))
    try:
        with traces.evaluated_apart(total) as evaluate:
            without, even, doubled, last = map(number, (0 * ones, ones, 2 * ones, uneven))
    except Exception as error:
        return LossShare(None, f"could not be evaluated apart ({type(error).__name__}: {error})")
    share = (even - without) / max(len(penalties), 1)
    slack = _ROUNDING * max(1.0, 1e-3 * abs(without))
    linear = abs(doubled - 2 * even + without) <= slack
    if asked or not linear or abs(last - without - share * np.sum(uneven)) > slack:
        return LossShare(None, "adds penalties in a way that cannot be told apart")
    if abs(share) <= slack and len(penalties):
        reason = "leaves `self.losses` out, so penalties have no effect"
        return LossShare(None, reason, unused=True)
    return LossShare(1.0 if abs(share - 1.0) <= slack else share)


@contextlib.contextmanager
def _apart(
    model: keras.Model, losses: list[Any], mapping: list[Any], asked: list[Any]
) -> Iterator[None]:
    """Evaluate with `losses` as those of the model, and put everything back.

    What is scheduled and asked for its strength all the same goes to `asked`.
    """
    context = StepContext({"step": 0, "epoch": 0, "gain": 1.0}.__getitem__)
    context.note = lambda *use: asked.append(use)
    before = model._losses_override
    states = random.getstate(), np.random.get_state()
    # Whatever is assigned in the scope, metrics and seeds for instance, is dropped.
    scope = keras.StatelessScope(mapping)
    with traces.same_random_numbers(), scope, entered(context):
        model._losses_override = losses
        try:
            yield
        finally:
            model._losses_override = before
            random.setstate(states[0])
            np.random.set_state(states[1])


def _made_up(shape: _Shape) -> Any:
    """An array of the shape, whose values are possible for probabilities and for classes."""
    sizes = [_UNKNOWN_SIZE if size is None else size for size in shape.sizes]
    return ops.full(sizes, 0.5 if "float" in shape.dtype else 0, dtype=shape.dtype)
