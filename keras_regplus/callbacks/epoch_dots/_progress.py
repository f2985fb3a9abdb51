"""What `EpochDots` keeps of a training: its first, best and last epoch, and its time."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

from keras_regplus.callbacks._log_values import as_float
from keras_regplus.callbacks.epoch_dots._report import Report
from keras_regplus.callbacks.epoch_dots._values import chosen

__all__ = ["Stopwatch", "Summary"]

# By the first of these that the logs have; less is better in each.
_BEST_BY = ("val_data_loss", "val_loss", "data_loss", "loss")


class Summary:
    """The first, the best and the last epoch that it was shown."""

    def __init__(self) -> None:
        self._first: tuple[int, dict[str, Any]] | None = None
        self._last: tuple[int, dict[str, Any]] | None = None
        self._best: tuple[int, dict[str, Any]] | None = None
        self._best_by = ""
        self._lowest = float("inf")

    def take(self, epoch: int, logs: Any) -> None:
        # A dict of the epoch's own: others may write into theirs later.
        seen = (epoch, dict(logs or {}))
        self._first = self._first or seen
        self._last = seen
        name = next((name for name in _BEST_BY if name in seen[1]), None)
        if name is not None and self._counts(name):
            value = as_float(seen[1][name])
            if value is not None and value < self._lowest:
                self._best, self._best_by, self._lowest = seen, name, value

    def reports(self, patterns: Sequence[re.Pattern[str]] | None) -> list[Report]:
        named = {"first": self._first, "best": self._best, "last": self._last}
        return [
            Report(
                epoch=seen[0],
                metrics=chosen(seen[1], patterns),
                which=which,
                best_by=self._best_by if which == "best" else None,
            )
            for which, seen in named.items()
            if seen is not None
        ]

    def _counts(self, name: str) -> bool:
        """Whether such values are compared; with `validation_freq` better ones come later."""
        if not self._best_by or name == self._best_by:
            return True
        if _BEST_BY.index(name) < _BEST_BY.index(self._best_by):
            self._lowest = float("inf")
            return True
        return False


class Stopwatch:
    """How long a training has taken, and will take if its epochs go on like this."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first_epoch: int | None = None
        self._first_end = self._began

    def take(self, epoch: int) -> None:
        if self._first_epoch is None:
            self._first_epoch, self._first_end = epoch, time.monotonic()

    def elapsed(self) -> float:
        return time.monotonic() - self._began

    def left(self, epoch: int, epochs: int | None) -> float | None:
        if epochs is None or self._first_epoch is None:
            return None
        to_come = max(epochs - 1 - epoch, 0)
        # The first epoch compiles, so it counts only while there is no other.
        if epoch == self._first_epoch:
            return (self._first_end - self._began) * to_come
        return (time.monotonic() - self._first_end) / (epoch - self._first_epoch) * to_come
