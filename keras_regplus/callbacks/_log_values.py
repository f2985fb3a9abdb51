"""Numbers from the logs of a training, which may hold anything."""

from __future__ import annotations

import contextlib
from typing import Any

from keras_regplus.histories.metric_choice import is_lost

__all__ = ["SCORE_KEY", "as_float", "data_loss_is_lost", "is_no_number", "is_of_package"]

SCORE_KEY = "overfitting_score"
"""The detector's entry in the logs."""

_NAMES = frozenset(("data_loss", "penalty", SCORE_KEY))
_FOLDERS = ("strength/", "rate/", "penalty/")


def is_of_package(name: str) -> bool:
    """Whether it is the name of an entry that this package writes, such as `"val_penalty"`."""
    bare = name.removeprefix("val_")
    return bare in _NAMES or bare.startswith(_FOLDERS)


def as_float(value: Any) -> float | None:
    """A Python float of a number, an array of size 1 or a device tensor; None of all else."""
    if isinstance(value, str):
        return None
    with contextlib.suppress(Exception):
        return float(value.item() if hasattr(value, "item") else value)
    return None


def is_no_number(value: Any) -> bool:
    """Whether something is there that `as_float` cannot read."""
    return value is not None and as_float(value) is None


def data_loss_is_lost(logs: dict[str, Any]) -> bool:
    """Whether an epoch has no `data_loss` for its `loss`, in training or in validation."""
    return any(
        is_lost(*(as_float(logs.get(f"{prefix}{name}")) for name in ("data_loss", "loss")))
        for prefix in ("", "val_")
    )
