"""What `EpochDots` remembers of a training: its first, best and last epoch, and its time."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

from keras_regplus.callbacks._log_values import as_float
from keras_regplus.callbacks.epoch_dots._report import duration, report_line
from keras_regplus.callbacks.epoch_dots._values import metric_texts
from keras_regplus.histories.metric_choice import preferred_loss

__all__ = ["Stopwatch", "Summary"]

_Epoch = tuple[int, dict[str, Any]]


class Summary:
    """The first, the best and the last epoch of a training."""

    def __init__(self) -> None:
        self._first: _Epoch | None = None
        self._best: _Epoch | None = None
        self._last: _Epoch | None = None
        self._best_by = ""
        self._best_rank = (True, float("inf"))

    def add(self, epoch: int, logs: Any) -> None:
        # A copy, because other callbacks may write into the logs later.
        self._last = (epoch, dict(logs or {}))
        self._first = self._first or self._last
        name, value = _compared_loss(self._last[1])
        # With `validation_freq` validation comes later; it then outranks all that came before.
        rank = (not name.startswith("val_"), value)
        if value < float("inf") and rank < self._best_rank:
            self._best, self._best_by, self._best_rank = self._last, name, rank

    def lines(self, patterns: Sequence[re.Pattern[str]] | None, digits: int | None) -> list[str]:
        """A report of each of these epochs."""
        epochs = {"First": self._first, "Best": self._best, "Last": self._last}
        return [
            report_line(
                entry[0],
                metric_texts(entry[1], patterns, digits),
                title=f"{which} epoch",
                best_by=self._best_by if which == "Best" else "",
            )
            for which, entry in epochs.items()
            if entry is not None
        ]


def _compared_loss(logs: dict[str, Any]) -> tuple[str, float]:
    """The name and value of the loss in validation, else in training; NaN without a number."""
    loss = preferred_loss(logs)
    name = f"val_{loss}" if f"val_{loss}" in logs else loss
    value = as_float(logs.get(name))
    return name, float("nan") if value is None else value


class Stopwatch:
    """How long a training has taken, and how long it will take if its epochs go on like this."""

    def __init__(self, epochs: int | None) -> None:
        self._epochs = epochs
        self._start = time.monotonic()
        self._first_epoch: int | None = None
        self._first_end = self._start

    def end_epoch(self, epoch: int) -> None:
        if self._first_epoch is None:
            self._first_epoch, self._first_end = epoch, time.monotonic()

    def texts(self, epoch: int) -> dict[str, str]:
        """The time since the beginning and, where the number of epochs is known, the time left."""
        elapsed = duration(time.monotonic() - self._start)
        if self._epochs is None or self._first_epoch is None:
            return {"elapsed": elapsed}
        left = self._seconds_per_epoch(epoch) * max(self._epochs - 1 - epoch, 0)
        return {"elapsed": elapsed, "left": duration(left)}

    def _seconds_per_epoch(self, epoch: int) -> float:
        # The first epoch compiles, so it counts only while there is no other.
        if self._first_epoch is None or epoch == self._first_epoch:
            return self._first_end - self._start
        return (time.monotonic() - self._first_end) / (epoch - self._first_epoch)
