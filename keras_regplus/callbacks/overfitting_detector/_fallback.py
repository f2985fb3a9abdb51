"""What is watched where the loss without penalties can no longer be measured."""

from __future__ import annotations

import math
from typing import Any

from keras_regplus.callbacks._log_values import as_float

__all__ = ["measured_name", "start_anew_text"]


def measured_name(name: str, logs: dict[str, Any]) -> str:
    """`name`, or `"loss"` in place of a `"data_loss"` that is missing while the loss is finite.

    Where the loss is not finite either, the training diverges, and that is to be judged.
    """
    if name != "data_loss":
        return name
    is_missing = any(_is_missing(logs, prefix) for prefix in ("", "val_"))
    return "loss" if is_missing else name


def start_anew_text(epoch: int) -> str:
    """The warning for an epoch from which on the whole loss is watched."""
    return (
        f"`data_loss` must be measured to be judged, got none in epoch {epoch}, or NaN. From here "
        "on `loss` is watched, which includes penalties; the verdict and the best epoch begin "
        "anew. `data_loss` needs `RegularizationScheduler` in the callbacks; if it is there, a "
        "warning of its own says why it cannot measure it."
    )


def _is_missing(logs: dict[str, Any], prefix: str) -> bool:
    part, whole = (as_float(logs.get(f"{prefix}{name}")) for name in ("data_loss", "loss"))
    has_whole = whole is not None and math.isfinite(whole)
    return has_whole and (part is None or math.isnan(part))
