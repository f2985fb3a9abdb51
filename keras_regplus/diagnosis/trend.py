"""Our own criterion: when overfitting begins, and when to stop for it, by trend and noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from keras_regplus.diagnosis._curves import ThinnedPoints
from keras_regplus.diagnosis._tracker import Tracker
from keras_regplus.diagnosis._trend_rule import apply_rule

__all__ = ["TrendTracker"]

# A training is stopped for a rise of more than so many errors that has lasted for this share
# of the epochs seen: the longer it lasts, the smaller it may be.
_STOPS = ((1.5, 0.04), (0.8, 0.25))
# Whatever the share, it has to last for so many epochs, of so many in all.
_PATIENCE, _SHORTEST = 3, 7


class TrendTracker(Tracker):
    """Judges a training curve and its validation twin, one epoch at a time.

    Use it in training loops of any framework. In Keras `callbacks.OverfittingDetector` calls it
    for you, and `diagnose` judges curves that are complete.

    The criterion: smooth both curves over a tenth of the epochs seen. It is
    overfitting when the validation level has risen above its best by more than
    2 % plus half a standard error, while training is not worse than it was at that
    best. The standard error comes from the curve's own noise: that of single values,
    or of means over several epochs where noise lasts longer.

    `should_stop` is a decision of its own: it becomes True when validation is unlikely to
    recover, which may be without the verdict. That takes a rise above 0.3 % plus 1.5 errors
    that has lasted for 4 % of all epochs seen, or above 0.3 % plus 0.8 errors for 25 %. The
    error is the standard error or, if larger, the largest rise from which this training has
    recovered. The rise must last for at least 3 epochs, of at least 7 in all, and the
    values must not be on their way back: each of the last ones is above the best level by
    90 % of the rise.

    The diagnosis of an epoch never depends on later epochs, and nothing depends on the scale
    of the values.

    `python -m benchmarks.detection` scores it on real histories of small networks, and
    `docs/criterion_figures.md` has the figures. Its weaknesses: where single validation values
    scatter by 5 % or more it may call a plateau overfitting, seldom with a confidence of
    0.9; it may stop a training whose validation curve is flat and noisy from the first epoch
    on; it cannot foresee a second descent; and one run may not show what the mean of many
    would.

    An update costs the same at every epoch, and memory is bounded: long curves
    are thinned to 128 points.

    Args:
        mode: `"min"` for values that should fall, such as losses, `"max"` for
            values that should rise, such as accuracies. Defaults to `"min"`.

    Raises:
        ValueError: If `mode` is neither `"min"` nor `"max"`.

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
        - [Theil, "A Rank-Invariant Method of Linear and Polynomial Regression Analysis"
          (1950)](https://doi.org/10.1007/978-94-011-2546-8_20), for the slopes
        - [Conway, "Some Tactical Problems in Digital Simulation"
          (1963)](https://doi.org/10.1287/mnsc.10.1.47), for the noise of means over blocks
        - [Gasser, Sroka and Jennen-Steinmetz, "Residual variance and residual pattern in
          nonlinear regression" (1986)](https://doi.org/10.1093/biomet/73.3.625), for the noise
          from differences
    """

    def __init__(self, mode: Literal["min", "max"] = "min") -> None:
        super().__init__(mode)
        self._points = ThinnedPoints()
        self._by_rule, self._excess = apply_rule(self._points.columns(), self._sign)
        self._pairs = 0
        self._lasting = [0] * len(_STOPS)

    def _observe(self, train: float, val: float) -> None:
        self._pairs += 1
        if self._points.add(self._epoch, train, val):
            self._by_rule, self._excess = apply_rule(self._points.columns(), self._sign)
        for i, (errors, _) in enumerate(_STOPS):
            self._lasting[i] = self._lasting[i] + 1 if self._excess > errors else 0

    def _decision(self) -> Mapping[str, Any]:
        self._move_onset_behind_best()
        lasting = self._epochs_to_stop_for()
        if not lasting or self._by_rule["verdict"] == "overfitting":
            return {**self._by_rule, "should_stop": lasting > 0}
        reason = (
            f"{self._by_rule['reason']} But validation has stayed worse than its best level for "
            f"{lasting} epochs. A small setback that lasts is seldom noise: it is enough to stop "
            "for before it is large enough to be called overfitting."
        )
        return {**self._by_rule, "should_stop": True, "reason": reason}

    def _move_onset_behind_best(self) -> None:
        """A level rises before a lucky single value; overfitting begins after the best epoch."""
        onset, best = self._by_rule.get("onset_epoch"), self._best_epoch
        if onset is not None and best is not None and onset <= best < self._epoch:
            self._by_rule, _ = apply_rule(self._points.columns(), self._sign, best + 1)

    def _epochs_to_stop_for(self) -> int:
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
