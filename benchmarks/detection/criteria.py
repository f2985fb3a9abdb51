"""The criteria that `benchmarks.detection` compares, ours and what others use.

Each takes a training and a validation curve and returns an `Outcome`. One that only
stops calls overfitting what it stops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from keras_regplus.diagnosis import GL, PQ, UP, TrendTracker

COUNTS_AS = {"stagnating": "plateau", "undecided": "healthy"}
# The rank correlation of fewer epochs is mostly chance.
_FEWEST_RANKS = 10


@dataclass(frozen=True)
class Outcome:
    """The verdict of a criterion on a whole history, and the epoch after which it would stop it."""

    verdict: str
    stop: int | None
    confidence: float | None = None

    @property
    def overfits(self) -> bool:
        return self.verdict == "overfitting"


Detector = Callable[[np.ndarray, np.ndarray], Outcome]
"""A criterion as a function of a whole training curve and its validation twin."""


def trend(train: np.ndarray, val: np.ndarray) -> Outcome:
    """`TrendTracker`, whose verdict on the whole may differ from why it would have stopped."""
    tracker, stop = TrendTracker(), None
    for epoch, pair in enumerate(zip(train.tolist(), val.tolist(), strict=True)):
        diagnosis = tracker.update(*pair)
        if diagnosis.should_stop and stop is None:
            stop = epoch
    verdict = COUNTS_AS.get(diagnosis.verdict, diagnosis.verdict)
    return Outcome(verdict, stop, diagnosis.confidence)


def prechelt(make: Callable[[], GL | PQ | UP]) -> Detector:
    """A classic criterion; it overfits where it would have been stopped."""

    def stopper(train: np.ndarray, val: np.ndarray) -> Outcome:
        tracker = make()
        pairs = zip(train.tolist(), val.tolist(), strict=True)
        # Their stop is the verdict; that on lost values is another matter.
        stops = (tracker.update(*pair).verdict == "overfitting" for pair in pairs)
        return _stopped(next((epoch for epoch, stop in enumerate(stops) if stop), None))

    return stopper


def early_stopping(patience: int) -> Detector:
    """`keras.callbacks.EarlyStopping`: so many epochs in a row without a new best value."""

    def stopper(train: np.ndarray, val: np.ndarray) -> Outcome:
        best, waited = np.inf, 0
        for epoch, value in enumerate(val):
            best, waited = (value, 0) if value < best else (best, waited + 1)
            if waited >= patience:
                return _stopped(epoch)
        return _stopped(None)

    return stopper


def gap(threshold: float) -> Detector:
    """How far validation stands above training, relative to training."""

    def judge(train: np.ndarray, val: np.ndarray) -> Outcome:
        with np.errstate(all="ignore"):
            fires = (val - train) / np.abs(train) > threshold
        after_first = np.flatnonzero(fires[1:])
        stop = int(after_first[0]) + 1 if len(after_first) else None
        return Outcome(_verdict(bool(fires[-1])), stop)

    return judge


def rank_correlation(threshold: float) -> Detector:
    """Spearman's correlation of the curves since the first epoch: low where they part."""

    def judge(train: np.ndarray, val: np.ndarray) -> Outcome:
        if not np.isfinite([train, val]).all():
            return Outcome("healthy", None)
        ends = range(_FEWEST_RANKS, len(val) + 1)
        low = (spearman(train[:end], val[:end]) < threshold for end in ends)
        stop = next((end - 1 for end, fires in zip(ends, low, strict=True) if fires), None)
        return Outcome(_verdict(spearman(train, val) < threshold), stop)

    return judge


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation, and 1 where a curve is constant."""
    one, other = (_ranks(values) - (len(values) + 1) / 2 for values in (first, second))
    size = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / size if size else 1.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """From 1 on; equal values share the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((count.cumsum() - (count - 1) / 2)[place])


def _stopped(stop: int | None) -> Outcome:
    return Outcome(_verdict(stop is not None), stop)


def _verdict(overfits: bool) -> str:
    return "overfitting" if overfits else "healthy"


CRITERIA: dict[str, Detector] = {
    "TrendTracker": trend,
    **{f"EarlyStopping({n})": early_stopping(n) for n in (5, 10, 20, 50)},
    "GL(5)": prechelt(lambda: GL(5)),
    "PQ(0.5)": prechelt(lambda: PQ(0.5)),
    "UP(3)": prechelt(lambda: UP(3)),
    "gap > 0.5": gap(0.5),
    "Spearman < 0.2": rank_correlation(0.2),
}
