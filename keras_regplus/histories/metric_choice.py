"""Which two curves of a history are compared, and which way is better."""

from __future__ import annotations

from keras_regplus.histories.epochs import History, has_number
from keras_regplus.histories.metric_names import direction_of_name

__all__ = ["choose_metric", "direction", "metrics_with_twin"]

# Without penalties a training can be compared with its validation.
_PREFERRED = ("data_loss", "loss")


def metrics_with_twin(history: History) -> list[str]:
    """The metrics that were measured in training and in validation."""
    return [
        name
        for name in history
        if has_number(history[name]) and has_number(history.get(f"val_{name}", ()))
    ]


def choose_metric(history: History, monitor: str | None) -> str | None:
    """The metric that `monitor` names, in whatever case, or the one to look at; None without it."""
    found = {name.lower(): name for name in metrics_with_twin(history)}
    if monitor is not None:
        wanted = monitor.lower()
        return found.get(wanted) or found.get(wanted.removeprefix("val_"))
    known = [name for name in found if direction_of_name(name) != "unknown"]
    return next((found[name] for name in (*_PREFERRED, *known) if name in found), None)


def direction(metric: str, mode: str) -> str:
    """`mode` unless it is `"auto"`; else what the name says, which may be `"unknown"`."""
    return direction_of_name(metric) if mode == "auto" else mode
