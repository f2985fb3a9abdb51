"""Which two curves of a history are compared, and which way is better."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from keras_regplus.histories.epochs import History, has_number
from keras_regplus.histories.metric_names import Direction, direction_of_name

__all__ = ["choose_metric", "direction", "metrics_with_twin", "preferred_loss"]


def preferred_loss(names: Collection[str]) -> str:
    """`"data_loss"` where these names have it, and have it in validation if they have any.

    Without penalties a training can be compared with its validation; else it is `"loss"`.
    """
    validated = any(str(name).startswith("val_") for name in names)
    has_parts = "data_loss" in names and ("val_data_loss" in names or not validated)
    return "data_loss" if has_parts else "loss"


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
    losses = (preferred_loss(names), "loss")
    return next((names[name] for name in (*losses, *known) if name in names), None)


def direction(metric: str, mode: Literal["auto", "min", "max"]) -> Direction:
    """`mode` unless it is `"auto"`; else what the name says, which may be `"unknown"`."""
    return direction_of_name(metric) if mode == "auto" else mode
