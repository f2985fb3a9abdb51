"""How many updates an optimizer has finished: this is what a step of a schedule means.

Private names of Keras used here, tried with 3.12.4 and 3.15.1: `Optimizer._iterations`,
`MultiOptimizer._optimizer_map`. `tests/clock/test_updates.py` fails when one moves.
"""

from __future__ import annotations

import weakref
from typing import Any

import keras
from keras import ops

from keras_regplus._checks import error_text

__all__ = ["assign_updates", "batches_per_update", "has_trained", "updates_finished"]

# Nothing is an instance of the empty tuple: old versions of Keras have no such class.
_MULTI_OPTIMIZER: Any = getattr(keras.optimizers, "MultiOptimizer", ())


# Asked first when a model is attached: a function that chooses optimizers makes them, and with
# them variables, which TensorFlow does not allow in a step.
_known: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def updates_finished(model: keras.Model) -> Any:
    """The updates that the optimizer of `model` has finished, a variable or a tensor."""
    count = model.optimizer.iterations
    if not isinstance(_counting(model.optimizer), _MULTI_OPTIMIZER):
        return count
    # A `MultiOptimizer` counts batches, and leaves accumulation to its inner optimizers.
    batches = batches_per_update(model)
    return count if batches == 1 else ops.floor_divide(count, batches)


def assign_updates(model: keras.Model, updates: int) -> None:
    """Make the optimizer of `model` count on from so many updates."""
    _counting(model.optimizer)._iterations.assign(updates * batches_per_update(model))


def batches_per_update(model: keras.Model) -> int:
    """Over how many batches the optimizer of `model` accumulates gradients.

    Raises:
        ValueError: If the inner optimizers of a `MultiOptimizer` differ in this.
    """
    if model.optimizer in _known:
        return _known[model.optimizer]
    optimizers = _updating_optimizers(model)
    numbers = {getattr(each, "gradient_accumulation_steps", None) or 1 for each in optimizers}
    if len(numbers) > 1:
        raise ValueError(
            error_text(
                "RegularizationScheduler",
                "gradient_accumulation_steps",
                "the same for all optimizers inside a `MultiOptimizer`, because a schedule counts "
                "updates",
                sorted(numbers),
                "Give all of them the same number, where None counts as 1.",
            )
        )
    number = next(iter(numbers), 1)
    if model.trainable_variables:
        _known[model.optimizer] = number
    return number


def has_trained(optimizer: Any) -> bool:
    """Whether the optimizer has seen a batch."""
    return int(ops.convert_to_numpy(_counting(optimizer)._iterations)) > 0


def _counting(optimizer: Any) -> Any:
    """The optimizer that counts: the own counter of a `LossScaleOptimizer` stays at 0."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _updating_optimizers(model: keras.Model) -> list[Any]:
    """The optimizers that update a weight of `model`; all there are, where it has no weight yet."""
    optimizer = _counting(model.optimizer)
    if not isinstance(optimizer, _MULTI_OPTIMIZER):
        return [optimizer]
    if optimizer.built:
        return [each for each in optimizer.optimizers if each.built]
    # On TensorFlow the first step builds the optimizer, after it has asked for its losses.
    chosen = [optimizer._optimizer_map(weight) for weight in model.trainable_variables]
    return chosen or optimizer.optimizers
