"""Which way a metric is better, and whether it will have a validation twin."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, Literal

import keras

from keras_regplus.histories.metric_names import Direction, direction_of_name

__all__ = ["direction_in", "fit_validates"]


def direction_in(model: Any, name: str) -> Direction | Literal["auto"]:
    """`"min"` or `"max"`; `"unknown"` for a compiled metric that does not say.

    `"auto"` where no metric of the model has that name: only the logs can show it.
    """
    metrics = [metric for metric in _compiled_metrics(model) if _name_of(metric) == name]
    for metric in metrics:
        # Private, and the only place where Keras keeps it; its own callbacks read it so.
        direction = getattr(metric, "_direction", None)
        if direction in ("up", "down"):
            return "max" if direction == "up" else "min"
    by_name = direction_of_name(name)
    return by_name if metrics or by_name != "unknown" else "auto"


def fit_validates() -> bool | None:
    """Whether the `fit` that is running has validation data; None in a loop of one's own.

    Keras tells callbacks nothing about it, and with `validation_freq` the first
    validation values come late: only the arguments of `fit` itself can tell such
    a training from one without validation.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "fit" and "validation_data" in frame.f_locals:
            return frame.f_locals["validation_data"] is not None
        frame = frame.f_back
    return None


def _compiled_metrics(model: Any) -> list[Any]:
    """The metrics of the model: objects, and before they are built names and functions, too."""
    metrics = list(getattr(model, "metrics", None) or [])
    # Private: on TensorFlow nothing public names the metrics before the first step.
    given = getattr(getattr(model, "_compile_metrics", None), "_user_metrics", None)
    for container in metrics:
        metrics = metrics + list(getattr(container, "metrics", None) or [])
    return metrics + keras.tree.flatten(given)


def _name_of(metric: Any) -> Any:
    return getattr(metric, "name", None) or getattr(metric, "__name__", metric)
