"""Which two curves of a history are compared, and which way is better."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Literal

from keras_regplus.histories.epochs import History, has_number
from keras_regplus.histories.metric_names import Direction, direction_of_name

__all__ = [
    "choose_metric",
    "direction",
    "is_lost",
    "loss_to_judge",
    "metrics_with_twin",
    "preferred_loss",
]


def preferred_loss(names: Collection[str]) -> str:
    """`"data_loss"` where these names have it, and have it in validation if they have any.

    Without penalties a training can be compared with its validation; else it is `"loss"`.
    """
    validated = any(str(name).startswith("val_") for name in names)
    has_parts = "data_loss" in names and ("val_data_loss" in names or not validated)
    return "data_loss" if has_parts else "loss"


def is_lost(part: float | None, whole: float | None) -> bool:
    """Whether a `data_loss` could not be measured in an epoch whose `loss` is known.

    Where the loss is not finite either, the training diverges, and that is to be judged.
    """
    return _is_finite(whole) and not _is_finite(part)


def loss_to_judge(history: History) -> str:
    """The loss that `preferred_loss` names, or `"loss"` if that one is lost in any epoch."""
    name = preferred_loss(history)
    lost = any(_loses_epochs(history, prefix) for prefix in ("", "val_"))
    return "loss" if name == "data_loss" and lost else name


def _loses_epochs(history: History, prefix: str) -> bool:
    parts, wholes = (history.get(f"{prefix}{name}", []) for name in ("data_loss", "loss"))
    return any(map(is_lost, parts, wholes))


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def metrics_with_twin(history: History) -> list[str]:
    """The metrics that were measured in training and in validation."""
    return [
        name
        for name in history
        if has_number(history[name]) and has_number(history.get(f"val_{name}", ()))
    ]


def choose_metric(history: History, monitor: str | None) -> str | None:
    """The metric that `monitor` names, in whatever case, or the one to look at; None without it."""
    names = {name.lower(): name for name in metrics_with_twin(history)}
    if monitor is not None:
        wanted = monitor.lower()
        return names.get(wanted) or names.get(wanted.removeprefix("val_"))
    known = [name for name in names if direction_of_name(name) != "unknown"]
    in_lower_case = {name.lower(): values for name, values in history.items()}
    losses = (loss_to_judge(in_lower_case), "loss")
    return next((names[name] for name in (*losses, *known) if name in names), None)


def direction(metric: str, mode: Literal["auto", "min", "max"]) -> Direction:
    """`mode` unless it is `"auto"`; else what the name says, which may be `"unknown"`."""
    return direction_of_name(metric) if mode == "auto" else mode
