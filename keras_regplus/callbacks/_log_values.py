"""Numbers from the logs of a training, which may hold anything."""

from __future__ import annotations

import contextlib
from typing import Any

__all__ = ["as_float", "is_no_number"]


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
