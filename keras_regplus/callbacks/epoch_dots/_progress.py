"""What `EpochDots` remembers of a training: its first, best and last epoch, and its time."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

from keras_regplus.callbacks._log_values import as_float, data_loss_is_lost
from keras_regplus.callbacks.epoch_dots._report import duration, report_line
from keras_regplus.callbacks.epoch_dots._values import metric_texts

__all__ = ["Stopwatch", "Summary"]

_Epoch = tuple[int, dict[str, Any]]


class Summary:
    """The first, the best and the last epoch of a training."""

    def __init__(self) -> None:
        self._first: _Epoch | None = None
        self._last: _Epoch | None = None
        self._best = {"data_loss": _Best("data_loss"), "loss": _Best("loss")}
        self._data_loss_was_lost = self._has_penalty = False

    def add(self, epoch: int, logs: Any) -> None:
        # A copy, because other callbacks may write into the logs later.
        self._last = (epoch, dict(logs or {}))
        self._first = self._first or self._last
        for best in self._best.values():
            best.add(self._last)
        if data_loss_is_lost(self._last[1]):
            self._data_loss_was_lost = True
        if _has_penalty(self._last[1]):
            self._has_penalty = True

    def lines(self, patterns: Sequence[re.Pattern[str]] | None, digits: int | None) -> list[str]:
        """A report of each of these epochs."""
        # Only one loss that all epochs have can be compared. Without penalties both are the
        # same, and reports show one.
        is_judged = self._has_penalty and not self._data_loss_was_lost
        best = self._best["data_loss" if is_judged else "loss"]
        epochs = {"First": self._first, "Best": best.epoch, "Last": self._last}
        return [
            report_line(
                entry[0],
                metric_texts(entry[1], patterns, digits),
                title=f"{which} epoch",
                best_by=best.name if which == "Best" else "",
            )
            for which, entry in epochs.items()
            if entry is not None
        ]


def _has_penalty(logs: dict[str, Any]) -> bool:
    """Whether an epoch has a `data_loss` that is not just its `loss`."""
    return any(
        f"{prefix}data_loss" in logs and as_float(logs.get(f"{prefix}penalty")) != 0
        for prefix in ("", "val_")
    )


class _Best:
    """The epoch with the lowest value of a loss, in validation if there is any."""

    def __init__(self, loss: str) -> None:
        self.epoch: _Epoch | None = None
        self.name = self._loss = loss
        self._rank = (True, float("inf"))

    def add(self, epoch: _Epoch) -> None:
        name = f"val_{self._loss}" if f"val_{self._loss}" in epoch[1] else self._loss
        value = as_float(epoch[1].get(name))
        # With `validation_freq` validation comes later; it then outranks all that came before.
        rank = (not name.startswith("val_"), float("nan") if value is None else value)
        if rank[1] < float("inf") and rank < self._rank:
            self.epoch, self.name, self._rank = epoch, name, rank


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
