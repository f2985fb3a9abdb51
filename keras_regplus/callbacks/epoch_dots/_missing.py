"""A warning about `metrics` of `EpochDots` that a training does not have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from keras_regplus._hints import did_you_mean
from keras_regplus._warnings import OneTimeWarnings
from keras_regplus.callbacks._log_values import is_of_package
from keras_regplus.callbacks.epoch_dots._values import is_match

__all__ = ["MissingMetrics"]

_NAMED_AT_MOST = 20
# One list may serve trainings with other metrics: only what is surely misspelt is told.
_LIKENESS_OF_MISSPELT = 0.85


class MissingMetrics:
    """Warns once where reports stay empty, or where a name is most likely misspelt."""

    def __init__(self, patterns: Sequence[re.Pattern[str]] | None) -> None:
        self._patterns = patterns or ()
        self._names: set[str] = set()
        self._warnings = OneTimeWarnings("EpochDots")

    def start_training(self) -> None:
        self._names.clear()

    def check(self, logs: Any, *, is_over: bool = False) -> None:
        """Look at the logs of a report; validation may come later until training is over."""
        if not self._patterns:
            return
        self._names.update(map(str, logs or ()))
        if not self._names:
            return
        missing = self._missing(is_over)
        if len(missing) < len(self._patterns):
            missing = [name for name in missing if self._is_misspelt(name)]
        if missing:
            self._warn(missing)

    def _missing(self, is_over: bool) -> list[str]:
        waits = not is_over and not any(map(_is_validated, self._names))
        return [
            pattern.pattern
            for pattern in self._patterns
            if not (waits and _is_validated(pattern.pattern))
            and not any(is_match(pattern, name) for name in self._names)
        ]

    def _is_misspelt(self, name: str) -> bool:
        alike = [each for each in self._names if _is_validated(each) == _is_validated(name)]
        return not is_of_package(name) and bool(
            did_you_mean([name], alike, likeness=_LIKENESS_OF_MISSPELT)
        )

    def _warn(self, missing: Iterable[str]) -> None:
        names = sorted(self._names)
        more = len(names) - _NAMED_AT_MOST
        known = _quoted(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
        advice = did_you_mean(missing, names) or "Name some of these."
        self._warnings.warn(
            f"`metrics` must name metrics of this training ({known}), got {_quoted(missing)}. "
            f"{advice}",
            cause="metrics",
        )


def _is_validated(name: str) -> bool:
    return name.startswith("val_")


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
