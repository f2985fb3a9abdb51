"""The score of a diagnosis, in the logs where later callbacks and the history find it."""

from __future__ import annotations

import math
from typing import Any

from keras_regplus._warnings import OneTimeWarnings
from keras_regplus.callbacks._log_values import SCORE_KEY

__all__ = ["ScoreWriter"]


class ScoreWriter:
    """Writes the score of each epoch, and leaves a value of somebody else alone."""

    def __init__(self, warnings: OneTimeWarnings) -> None:
        self._warnings = warnings
        self._written: float | None = None

    def write(self, logs: dict[str, Any], score: float | None) -> None:
        """Write a score; where there is none any more, NaN keeps the history even."""
        if score is None:
            if self._written is None:
                return
            score = math.nan
        # Our own value may still be there where somebody hands over one dict again and again.
        if logs.get(SCORE_KEY, self._written) is self._written:
            self._written = logs[SCORE_KEY] = score
            return
        self._warnings.warn(
            f"`logs` holds {SCORE_KEY!r} already, and that value is kept. "
            "Rename the metric of that name, or use only one detector."
        )
