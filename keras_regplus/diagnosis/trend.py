"""Does it overfit? A verdict on a training curve and its validation twin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_regplus.diagnosis._curves import ThinnedPoints
from keras_regplus.diagnosis._tracker import Tracker
from keras_regplus.diagnosis._trend_rule import read

__all__ = ["TrendTracker"]

# A training is stopped for a rise of so many errors that has lasted for this share of the
# epochs seen: the longer it lasts, the smaller it may be.
_STOPS = ((1.5, 0.04), (0.8, 0.25))
# It has to last for so many epochs, and a training to be so long, whatever the share.
_PATIENCE, _SHORTEST = 3, 7


class TrendTracker(Tracker):
    """Judges a training curve and its validation twin, one epoch at a time.

    Use it in training loops of any framework; `keras_regplus.callbacks.OverfittingDetector`
    does it for Keras, `diagnose` for curves that are complete.

    The criterion: smooth both curves over a tenth of the epochs seen. It is
    overfitting when the validation level has risen above its best by more than
    2 % plus half a standard error, while training is not worse than it was at that
    best. The standard error comes from the curve's own noise: that of single values,
    or of means over several epochs where noise lasts longer.

    `should_stop` asks whether the rise will be made good, and may come without the
    verdict: for a rise above 0.3 % plus 1.5 errors that has lasted for 4 % of all epochs
    seen, or plus 0.8 errors and for 25 %. The error is the standard error or, if larger,
    the largest rise that was made good before. It takes 3 epochs at least, 7 in all, and
    values that do not come back: each of the last ones is above the best level by 90 %
    of the rise.

    What it says at an epoch never depends on later ones, and nothing depends on the scale
    of the values.

    `python -m benchmarks.detection` scores it on real histories of small networks, and
    `docs/diagnosis.md` has the figures. What it does badly: where single validation
    values scatter by 5 % or more it may call a plateau overfitting, seldom with a
    confidence of 0.9; it may stop a training whose validation curve is flat and noisy from its
    first epoch on; it cannot foresee a second descent; and one run may not show what
    the mean of many would.

    An update costs the same at every epoch, and memory is bounded: long curves
    are thinned to 128 points.

    Args:
        mode: `"min"` for values that should fall, such as losses, `"max"` for
            values that should rise, such as accuracies. Defaults to `"min"`.

    Raises:
        ValueError: If `mode` is neither.

    Example:
        >>> from keras_regplus.diagnosis import TrendTracker
        >>> tracker = TrendTracker()
        >>> for epoch in range(30):
        ...     train = 1 / (1 + epoch)
        ...     diagnosis = tracker.update(train, train + 0.02 * epoch)
        >>> diagnosis.verdict, diagnosis.best_epoch, diagnosis.should_stop
        ('overfitting', 6, True)

    References:
        - [Prechelt, "Early Stopping - But When?" (1998)](https://doi.org/10.1007/3-540-49430-8_3),
          on what validation curves look like
        - Theil, "A rank-invariant method of linear and polynomial regression analysis" (1950),
          for the slopes
        - Conway, "Some tactical problems in digital simulation" (1963), for the noise of
          means over blocks
        - Gasser, Sroka and Jennen-Steinmetz, "Residual variance and residual pattern in
          nonlinear regression" (1986), for the noise from differences
    """

    def __init__(self, mode: str = "min") -> None:
        super().__init__(mode)
        self._points = ThinnedPoints()
        self._reading: dict[str, Any] = read(self._points.columns(), self._sign)
        self._pairs = 0
        self._lasting = [0] * len(_STOPS)

    def _read(self, train: float, val: float) -> None:
        self._pairs += 1
        if self._points.add(self._epoch, train, val):
            self._reading = read(self._points.columns(), self._sign)
        excess = self._reading["excess"]
        for i, (errors, _) in enumerate(_STOPS):
            self._lasting[i] = self._lasting[i] + 1 if excess > errors else 0

    def _found(self) -> Mapping[str, Any]:
        lasting = self._lasting_long_enough()
        found = {key: value for key, value in self._reading.items() if key != "excess"}
        found["should_stop"] = lasting > 0
        if lasting and found["verdict"] != "overfitting":
            found["reason"] += (
                f" Validation has been above its best level by more than noise for {lasting} "
                "epochs, which is enough to stop for."
            )
        return found

    def _lasting_long_enough(self) -> int:
        """For how many epochs there has been enough to stop for, 0 where that is too few."""
        if self._best_epoch is None or self._pairs < _SHORTEST:
            return 0
        # A single epoch that beats all others is a reason to wait, whatever the level says.
        if self._epoch - self._best_epoch < _PATIENCE:
            return 0
        enough = (
            lasting
            for lasting, (_, share) in zip(self._lasting, _STOPS, strict=True)
            if lasting >= max(_PATIENCE, share * self._pairs)
        )
        return max(enough, default=0)
