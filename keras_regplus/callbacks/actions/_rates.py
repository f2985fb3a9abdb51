"""The learning rates of a model's optimizers, read and set as numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_regplus.clock.updates import has_trained
from keras_regplus.clock.variables import number_of

__all__ = [
    "Rates",
    "changed_rate",
    "compared",
    "optimizers_of",
    "rate_of",
    "rates_in_use",
    "rates_like",
    "rates_text",
]

Rates = list[float | None]
"""One rate for each optimizer of a model; None for one that is left alone."""


def optimizers_of(model: keras.Model) -> list[Any]:
    """The inner optimizers of a `MultiOptimizer`, else the only one; none without any."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    return list(getattr(optimizer, "optimizers", [] if optimizer is None else [optimizer]))


def rate_of(optimizer: Any) -> float:
    return number_of(optimizer.learning_rate)


def rates_in_use(optimizers: Sequence[Any]) -> Rates:
    """The rates of the optimizers that have made updates: at any other no step runs."""
    return [rate_of(one) if has_trained(one) else None for one in optimizers]


def rates_like(like: Rates, optimizers: Sequence[Any]) -> Rates:
    """The rates now of the optimizers that have one in `like`."""
    pairs = zip(optimizers, like, strict=True)
    return [None if rate is None else rate_of(one) for one, rate in pairs]


def compared(rates: Rates, others: Rates) -> int:
    """1 if any of the rates is above its other, else -1 if any is below, else 0."""
    signs = {0}
    for rate, other in zip(rates, others, strict=True):
        if rate is not None and other is not None and not math.isclose(rate, other, rel_tol=1e-6):
            signs.add(1 if rate > other else -1)
    return 1 if 1 in signs else min(signs)


def changed_rate(optimizer: Any, rate: float) -> float | None:
    """Set a rate and read it back; None if it cannot be set."""
    # Keras raises one error where the rate is a schedule, and another where it is a function.
    try:
        optimizer.learning_rate = rate
    except Exception:
        return None
    return rate_of(optimizer)


def rates_text(optimizers: Sequence[Any], rates: Rates) -> str:
    """The rates that are known, with names where a model has several optimizers."""
    named = zip(optimizers, rates, strict=False)
    texts = [(one.name, f"{rate:.3g}") for one, rate in named if rate is not None]
    if len(optimizers) == 1:
        return "".join(text for _, text in texts)
    return ", ".join(f"{text} ({name})" for name, text in texts)
