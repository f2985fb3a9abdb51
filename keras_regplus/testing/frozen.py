"""The frozen fit: a training in which only the schedule moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

__all__ = ["FrozenFit", "frozen_fit"]


@dataclass
class FrozenFit:
    """The losses of a frozen fit, as `frozen_fit` returns them.

    Attributes:
        loss: The loss of every step, one after another over all epochs, in float64.
        val_loss: The validation loss of every epoch; empty without validation.
        history: The dictionary of `keras.callbacks.History`.

    Example:
        >>> import keras, numpy as np
        >>> from keras_regplus import testing
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.0), "mse")
        >>> run = testing.frozen_fit(model, np.ones((4, 2)), batch_size=2)
        >>> [round(loss, 6) for loss in run.loss], sorted(run.history)
        ([0.0, 0.0], ['loss'])
    """

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    history: dict[str, list[float]] = field(default_factory=dict)


def frozen_fit(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **fit_arguments: Any,
) -> FrozenFit:
    """Fit a model whose weights stand still, and return the loss of every single step.

    Use it to prove that training follows a schedule of yours: compile the model with
    learning rate 0, and the loss of a step is the data loss plus the strength at
    that step times the penalty, both known in closed form. Where the targets are
    the model's own predictions the data loss is 0.

    Keras reports running means; their differences give the loss of a step. With
    `steps_per_execution=n` Keras reports only every n-th mean, and an entry is the
    mean loss of the steps in between.

    Args:
        model: A compiled model with learning rate 0.
        x: Inputs, whatever `model.fit` takes, in batches of one size.
        y: Targets, whatever `model.fit` takes. Defaults to None: the model's own
            predictions for `x`.
        callbacks: Further callbacks. Defaults to none.
        **fit_arguments: Further arguments of `model.fit`, but not `shuffle` and
            `verbose`, which are off.

    Returns:
        The losses of all steps and epochs.

    Raises:
        ValueError: If the weights of `model` have moved.

    Example:
        >>> import keras, numpy as np
        >>> from keras_regplus import callbacks, regularizers, schedules, testing
        >>> l2 = regularizers.ScheduledL2(0.5, schedules.LinearWarmup(4))
        >>> dense = keras.layers.Dense(1, kernel_initializer="ones", kernel_regularizer=l2)
        >>> model = keras.Sequential([keras.Input((2,)), dense])
        >>> model.compile(keras.optimizers.SGD(0.0), "mse")
        >>> run = testing.frozen_fit(
        ...     model, np.ones((12, 2)), batch_size=2,
        ...     callbacks=[callbacks.RegularizationScheduler()],
        ... )
        >>> [round(loss, 6) for loss in run.loss]
        [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """
    if y is None:
        y = model.predict(x, verbose=0)
    before = model.get_weights() if model.built else None
    result = FrozenFit()
    history = model.fit(
        x,
        y,
        callbacks=[*callbacks, _StepLosses(result)],
        shuffle=False,
        verbose=0,
        **fit_arguments,
    )
    result.history = history.history
    after = model.get_weights()
    # A model that `fit` has built had no weights to compare with.
    if before is not None and not all(map(np.array_equal, before, after)):
        raise ValueError(
            "frozen_fit: `model` must keep its weights, got others after the fit. "
            "Compile it with learning rate 0 and without weight decay."
        )
    return result


class _StepLosses(keras.callbacks.Callback):
    """The loss of each step, from the running mean over the epoch's steps."""

    def __init__(self, result: FrozenFit):
        super().__init__()
        self._result = result

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._steps, self._sum = 0, 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # Keras numbers an uneven last group of `steps_per_execution` as if it were full.
        steps = min(batch + 1, self.params["steps"] or batch + 1)
        total = float(logs["loss"]) * steps
        self._result.loss.append((total - self._sum) / (steps - self._steps))
        self._steps, self._sum = steps, total

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if "val_loss" in (logs or {}):
            self._result.val_loss.append(float(logs["val_loss"]))
