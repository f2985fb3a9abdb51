"""The rule of `TrendTracker` for a pair of curves, with its constants."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_regplus._output import counted
from keras_regplus.diagnosis._curves import Curve, ratio, slope_of
from keras_regplus.diagnosis.verdicts import Verdict

__all__ = ["TrendRule", "apply_rule"]

# Levels are means over this share of the epochs seen: single epochs are noise,
# and a window fixed in epochs would be too long for short runs and too short for long ones.
_WINDOW = 0.1
# A rise is overfitting above this share of the best level ...
_RISE = 0.02
# ... and this many standard errors: the best level is the lowest of many, so it is a bit too low.
_ERRORS = 0.5
# A rise above this share of the best level is worth stopping for, where it is not one of noise.
_STOP_RISE = 0.003
# The last value has to be above the best level by this share of the rise: a level lags behind.
_STAYS = 0.9
# How much training may be worse than at the best validation: it is noisy, too.
_TRAIN_SLACK, _TRAIN_ERRORS = 0.01, 2.0
# "Still improves" means by this share of the level ...
_GAIN = 0.012
# ... over this last share of the epochs.
_RECENT = 0.3
# Training has blown up when it lost all it gained and stands this much above its best.
_BLOW_UP = 0.5
# How fast confidence grows with the contrast (x - limit) / (x + limit), fitted to trainings
# whose truth is known from 16 runs.
_RISE_STEEPNESS, _GAIN_STEEPNESS = 6.0, 4.0
# A turn needs three points; to call a curve flat or falling takes some more.
_FEWEST, _ENOUGH = 3, 5

_RECENTLY = f"over the last {100 * _RECENT:.0f} % of the epochs"


def apply_rule(
    columns: np.ndarray, sign: float, earliest_onset: int = 0
) -> tuple[dict[str, Any], float]:
    """The fields of a `Diagnosis` that the points seen so far decide, and `TrendRule.excess`.

    `columns` are epochs, training and validation values, of which less is better.
    `sign` is -1 where the user's own curves are their negatives, and turns the
    slopes back.
    """
    epochs, train, val = columns
    if len(val) < _FEWEST:
        too_few = {"verdict": "undecided", "reason": _too_few(len(val)), "confidence": 0.0}
        return too_few, -math.inf
    rule = TrendRule(epochs, train, val, earliest_onset)
    verdict = rule.verdict()
    decision = {
        "verdict": verdict,
        "reason": _REASONS[verdict](rule),
        "onset_epoch": rule.onset() if verdict == "overfitting" else None,
        "gap": rule.relative(rule.val.level - rule.train.level),
        "train_slope": sign * rule.slope(train),
        "val_slope": sign * rule.slope(val),
        "noise": rule.relative(rule.val.noise),
        "score": rule.score(),
        "confidence": rule.confidence(verdict),
    }
    return decision, rule.excess()


class TrendRule:
    """The rule applied to two curves, of which less is better."""

    def __init__(
        self, epochs: np.ndarray, train: np.ndarray, val: np.ndarray, earliest_onset: int = 0
    ) -> None:
        self._earliest_onset = earliest_onset
        width = math.ceil(_WINDOW * len(epochs))
        self.epochs, self.width = epochs, width
        self.train, self.val = Curve(train, width), Curve(val, width)
        self.best = int(self.val.smooth.argmin())
        self.scale = self.val.scale(self.best)
        self.rise = self.val.level - float(self.val.smooth[self.best])
        self.limit = self.limit_at(self.val.error)
        self.val_gain = self.val.recent_gain(_RECENT)
        self.train_gain = self.train.recent_gain(_RECENT)

    def limit_at(self, error: float) -> float:
        """The largest rise that still passes for noise of this standard error."""
        return _RISE * self.scale + _ERRORS * error

    def verdict(self) -> Verdict:
        if self._has_blown_up():
            return "diverging"
        if self.rise > self.limit and not self._is_train_worse():
            return "overfitting"
        if len(self.epochs) < _ENOUGH:
            return "undecided"
        if self.val_gain > _GAIN:
            return "healthy"
        if self.train_gain > _GAIN:
            return "stagnating"
        return "plateau"

    def excess(self) -> float:
        """How many errors the rise is above what is too small to stop for.

        Minus infinity where training is worse, too, or validation is on its way back.
        """
        rise = self.rise - _STOP_RISE * self.scale
        latest = float(self.val.values[-1]) - float(self.val.smooth[self.best])
        if (
            rise <= 0
            or latest < _STAYS * self.rise
            or self._is_train_worse()
            or self._has_blown_up()
        ):
            return -math.inf
        error = max(self.val.error, self._largest_recovery())
        return rise / error if error else math.inf

    def _largest_recovery(self) -> float:
        """The largest rise from which validation has come back to a new best level."""
        before = self.val.smooth[: self.best + 1]
        return float((before - np.minimum.accumulate(before)).max())

    def confidence(self, verdict: Verdict) -> float:
        """How likely the verdict is to be true."""
        if verdict == "undecided":
            return 0.0
        if verdict == "diverging":
            return _probability_above(*self._blow_up(), _RISE_STEEPNESS)
        no_rise = 1.0
        if not self._is_train_worse():
            no_rise -= _probability_above(self.rise, self.limit, _RISE_STEEPNESS)
        if verdict == "overfitting":
            return 1 - no_rise
        improves = _probability_above(self.val_gain, _GAIN, _GAIN_STEEPNESS)
        return no_rise * (improves if verdict == "healthy" else 1 - improves)

    def _is_train_worse(self) -> bool:
        worse = self.train.level - float(self.train.smooth[self.best])
        slack = _TRAIN_SLACK * self.train.scale(self.best) + _TRAIN_ERRORS * self.train.error
        return worse > slack

    def _has_blown_up(self) -> bool:
        error = _TRAIN_ERRORS * self.train.error
        lost_all = self.train.level > float(self.train.smooth[0]) + error
        rise, limit = self._blow_up()
        return lost_all and rise > limit

    def _blow_up(self) -> tuple[float, float]:
        """How far training stands above its best, and what would be called a blow-up."""
        rise, scale = self.train_rise()
        return rise, _BLOW_UP * scale + _TRAIN_ERRORS * self.train.error

    def train_rise(self) -> tuple[float, float]:
        """How far training stands above its own best, and the scale of that."""
        best = int(self.train.smooth.argmin())
        return self.train.level - float(self.train.smooth[best]), self.train.scale(best)

    def onset(self) -> int:
        """The epoch since which the rise has been above half of what is called overfitting."""
        low = float(self.val.smooth[self.best]) + self.limit / 2
        first = int(np.flatnonzero(self.val.smooth <= low)[-1]) + 1
        # A window stands for the epochs around its middle.
        return max(int(self.epochs[first + self.width // 2]), self._earliest_onset)

    def score(self) -> float:
        if self.rise <= 0 or self._has_blown_up():
            return 0.0
        share = min(self.rise / (2 * self.limit), 1.0) if self.limit else 1.0
        return min(share, 0.5) if self._is_train_worse() else share

    def slope(self, values: np.ndarray) -> float:
        """Relative change per epoch over the recent points."""
        recent = max(_FEWEST, math.ceil(_RECENT * len(values)))
        return self.relative(slope_of(self.epochs[-recent:], values[-recent:]))

    def relative(self, value: float) -> float:
        return ratio(value, self.scale)


def _undecided(rule: TrendRule) -> str:
    return _too_few(len(rule.epochs))


def _overfitting(rule: TrendRule) -> str:
    epochs = max(int(rule.epochs[-1]) - rule.onset() + 1, 1)
    return (
        f"Validation has been getting worse for {counted(epochs, 'epoch')} and is "
        f"{_risen(rule)}, while training has not grown worse."
    )


def _healthy(rule: TrendRule) -> str:
    return f"Validation improved by {_percent(rule.val_gain)} {_RECENTLY}."


def _stagnating(rule: TrendRule) -> str:
    return (
        f"Training improved by {_percent(rule.train_gain)} {_RECENTLY}, "
        f"validation by {_percent(rule.val_gain)}; it is {_risen(rule)}."
    )


def _plateau(rule: TrendRule) -> str:
    return (
        f"Training improved by {_percent(rule.train_gain)} and validation by "
        f"{_percent(rule.val_gain)} {_RECENTLY}; validation is {_risen(rule)}."
    )


def _diverging(rule: TrendRule) -> str:
    worse = _percent(ratio(*rule.train_rise()))
    return f"Training is {worse} worse than its best, and worse than it began."


def _risen(rule: TrendRule) -> str:
    rise, limit = _percent(rule.relative(rule.rise)), _percent(rule.relative(rule.limit))
    return f"{rise} worse than its best level (up to {limit} passes for noise)"


_REASONS: dict[Verdict, Callable[[TrendRule], str]] = {
    "undecided": _undecided,
    "healthy": _healthy,
    "stagnating": _stagnating,
    "plateau": _plateau,
    "overfitting": _overfitting,
    "diverging": _diverging,
}


def _probability_above(value: float, limit: float, steepness: float) -> float:
    """The probability that what was measured as `value` is truly above `limit`."""
    value = max(value, 0.0)
    contrast = ratio(value - limit, value + limit)
    return 1 / (1 + math.exp(-steepness * contrast))


def _too_few(points: int) -> str:
    return f"Too little seen: {counted(points, 'validated epoch')}, {_ENOUGH} are needed."


def _percent(share: float) -> str:
    percent = 100 * max(share, 0.0)
    return f"{percent:.0f} %" if 10 <= percent < 1e6 else f"{percent:.2g} %"
