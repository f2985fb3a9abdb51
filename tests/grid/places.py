"""The rows of the grid: where a regularizer can sit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import models
from .gan import Wgan, wgan_losses
from .models import BATCH, DROPPED, IMAGES, SEQUENCES, STEPS, WORDS, OnlyAddsWeight, X


def followed(model, full, strength, batches):
    return full * strength(batches)


class Place(NamedTuple):
    """A place, and what its penalty is at full strength: a number, or one for each batch.

    `training` tells the losses of a frozen fit from that, where they are more than
    the penalty times the strength. Without `y` the targets are the predictions.
    """

    build: Callable[[], Any]
    x: np.ndarray = X
    y: np.ndarray | None = None
    full: Callable[[Any], Any] = models.base_penalty
    training: Callable[..., Any] = followed
    loss: Any = None
    log: Any = True


def with_rate(model, full, strength, batches):
    return (full + DROPPED) * strength(batches)


def of_both(model, full, strength, batches):
    return wgan_losses(model, strength, batches)


def only_adds_weight():
    return models.keras.Sequential([OnlyAddsWeight()])


ZEROS = np.zeros((BATCH * STEPS, 2), "float32")

WHERE = {
    "Sequential": Place(models.sequential),
    "Sequential, not built before fit": Place(models.unbuilt_sequential, y=ZEROS),
    "Functional": Place(models.functional),
    "subclassed, not built before fit": Place(models.Subclassed, y=ZEROS),
    "model in a model": Place(models.nested),
    "LSTM": Place(models.lstm, SEQUENCES),
    "GRU": Place(models.gru, SEQUENCES),
    "Bidirectional": Place(models.bidirectional, SEQUENCES),
    "TimeDistributed": Place(models.time_distributed, SEQUENCES),
    "MultiHeadAttention": Place(models.attention, SEQUENCES),
    "SeparableConv2D": Place(models.convolutional, IMAGES),
    "Embedding": Place(models.embedding, WORDS),
    "layer that calls add_weight alone": Place(only_adds_weight),
    "one instance in several layers": Place(models.shared_instance),
    "kernel, bias and activity": Place(models.with_activity, y=ZEROS, full=models.activity_penalty),
    "two models that share a layer": Place(models.sharing),
    "Scheduled and WarmupL1L2": Place(models.wrapped),
    "ScheduledL1 and ScheduledL1L2": Place(models.norms, full=models.norms_penalty),
    "ScheduledDropout": Place(
        models.dropping, y=np.ones_like(X), training=with_rate, loss=models.rate_seen
    ),
    # Its step does not call `compute_loss`, so there is no `data_loss` to log.
    "GAN with two optimizers": Place(Wgan, y=ZEROS[:, :1], training=of_both, log=["strength"]),
}
