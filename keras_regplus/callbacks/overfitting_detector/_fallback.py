"""What is watched where the loss without penalties can no longer be measured."""

from __future__ import annotations

from typing import Any

from keras_regplus.callbacks._log_values import data_loss_is_lost

__all__ = ["measured_name", "start_anew_text"]


def measured_name(name: str, logs: dict[str, Any]) -> str:
    """`name`, or `"loss"` in place of a `"data_loss"` that is lost."""
    return "loss" if name == "data_loss" and data_loss_is_lost(logs) else name


def start_anew_text(epoch: int) -> str:
    """The warning for an epoch from which on the whole loss is watched."""
    return (
        f"`data_loss` must be measured to be judged, got none in epoch {epoch}, or NaN. From here "
        "on `loss` is watched, which includes penalties; the verdict and the best epoch begin "
        "anew. `data_loss` needs `RegularizationScheduler` in the callbacks; if it is there, a "
        "warning of its own says why it cannot measure it."
    )
