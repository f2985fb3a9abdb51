"""Does it overfit? A verdict on a training curve and its validation twin."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeGuard

from keras_regplus._checks import complain, one_of
from keras_regplus.diagnosis._curves import ThinnedPoints
from keras_regplus.diagnosis._reading import read

__all__ = ["Diagnosis", "TrendTracker", "diagnose"]

# Enough to stop for must have been seen for so many epochs in a row, and for this share
# of all epochs seen, before a training is stopped.
_PATIENCE, _PATIENCE_SHARE = 4, 0.05
# Training never comes back from NaN. Validation alone may: some write NaN for "not measured".
_LOST_TRAIN, _LOST_VAL = 3, 10
# Sums of larger numbers overflow, so they count as infinite.
_HUGE = 1e300


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What is known about a pair of curves after some epoch.

    Made by `TrendTracker` and `diagnose`. Epochs count from 0. Relative numbers
    are shares of the validation curve's best level (of at least a tenth of the
    curve's typical size, for curves near 0); a number that cannot be known yet
    is None.

    Args:
        verdict: One of `"undecided"` (too little seen), `"healthy"` (validation
            still improves), `"stagnating"` (training improves, validation does
            not), `"plateau"` (neither improves), `"overfitting"` (validation grew
            worse by more than its noise, training did not), `"diverging"`
            (training blew up, or values stay non-finite).
        best_epoch: Epoch of the best single validation value, the first of equals.
        best_value: That value.
        onset_epoch: Epoch at which overfitting began; None unless it is the verdict.
        gap: How much worse validation is than training now, relative.
        train_slope: Recent change of the training curve per epoch, relative and
            robust. Positive means upwards.
        val_slope: The same for the validation curve.
        noise: Standard deviation of a single validation value, relative.
        epochs_past_best: Epochs since `best_epoch`.
        should_stop: Whether training on is pointless. Stricter and later than the verdict.
        reason: The verdict in one sentence, with its numbers.
        score: From 0 to 1, how far validation has risen: half the rise over the rise
            that would be called overfitting. Above 0.5 exactly when the verdict is
            `"overfitting"`, 1 from twice that rise on.

    Example:
        >>> from keras_regplus.diagnosis import diagnose
        >>> result = diagnose(train=[0.80, 0.30, 0.10], val=[0.70, 1.82, 2.45])
        >>> result.verdict, result.onset_epoch, result.dot
        ('overfitting', 1, '!')
    """

    verdict: str
    best_epoch: int | None = None
    best_value: float | None = None
    onset_epoch: int | None = None
    gap: float | None = None
    train_slope: float | None = None
    val_slope: float | None = None
    noise: float | None = None
    epochs_past_best: int | None = None
    should_stop: bool = False
    reason: str = ""
    score: float = 0.0

    DOTS: ClassVar[dict[str, str]] = {
        "undecided": ".",
        "healthy": ".",
        "stagnating": "~",
        "plateau": "-",
        "overfitting": "!",
        "diverging": "x",
    }

    @property
    def dot(self) -> str:
        """The verdict as one character."""
        return self.DOTS[self.verdict]

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain Python values."""
        return asdict(self)

    def to_json(self) -> str:
        """All fields as a JSON object. JSON knows no infinity: such a number becomes null."""
        return json.dumps({key: _json_value(value) for key, value in self.to_dict().items()})

    def __repr__(self) -> str:
        return f"Diagnosis({self.verdict!r}, {self.reason!r}, should_stop={self.should_stop})"


class TrendTracker:
    """Judges a training curve and its validation twin, one epoch at a time.

    Use it in training loops of any framework; `keras_regplus.callbacks.OverfittingDetector`
    does it for Keras, `diagnose` for curves that are complete.

    The criterion: smooth both curves over a tenth of the epochs seen. It is
    overfitting when the validation level has risen above its best by more than
    2 % plus two standard errors of its own measured noise, while training is not
    worse than it was at that best. `should_stop` comes when this was so for 4
    epochs in a row and for 5 % of all epochs seen, with four standard errors.
    What it says at an epoch never depends on later ones, and nothing depends on
    the scale of the values.

    This is a first criterion. On the 70 real histories of small networks that its
    constants were chosen on, it found 27 of 34 that overfit, with one false alarm
    (`python -m benchmarks.detection`). It misses small rises in noisy curves and in
    runs of about ten epochs, and it cannot foresee a second descent. Where single
    validation values scatter by 5 % or more it may call a plateau overfitting,
    though it hardly ever stops one.

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
    """

    def __init__(self, mode: str = "min") -> None:
        advice = "Use 'min' for losses and 'max' for accuracies."
        self.mode = one_of("TrendTracker", "mode", mode, ("min", "max"), advice=advice)
        self._sign = 1.0 if mode == "min" else -1.0
        self._points = ThinnedPoints()
        self._reading: dict[str, Any] = read(self._points.columns(), self._sign)
        self._epoch = -1
        self._pairs = 0
        self._firm = 0
        self._lost_train = 0
        self._lost_val = 0
        self._best_epoch: int | None = None
        self._best_value = math.inf

    def update(self, train: float | None, val: float | None) -> Diagnosis:
        """Take the values of the next epoch and say what is known now.

        Args:
            train: The training value. None where there is none.
            val: The validation value. None in epochs without validation.

        Returns:
            A `Diagnosis`.

        Raises:
            TypeError: If a value is neither a number nor None. NaN and infinity are numbers.
        """
        self._epoch += 1
        train_cost = self._oriented("train", train)
        val_cost = self._oriented("val", val)
        self._count_lost(train_cost, val_cost)
        if _finite(val_cost) and val_cost < self._best_value:
            self._best_epoch, self._best_value = self._epoch, val_cost
        if _finite(train_cost) and _finite(val_cost):
            self._take_pair(train_cost, val_cost)
        return self._diagnosis()

    def _oriented(self, name: str, value: Any) -> float | None:
        """The value as a float of which less is better."""
        if value is None:
            return None
        try:
            return self._sign * float(value)
        except (TypeError, ValueError):
            advice = "Pass None for an epoch that was not measured."
            message = complain("TrendTracker", name, "a number or None", value, advice)
            raise TypeError(message) from None

    def _count_lost(self, train: float | None, val: float | None) -> None:
        if train is not None:
            self._lost_train = 0 if _finite(train) else self._lost_train + 1
        if val is not None:
            self._lost_val = 0 if _finite(val) else self._lost_val + 1

    def _take_pair(self, train: float, val: float) -> None:
        self._pairs += 1
        if self._points.add(self._epoch, train, val):
            self._reading = read(self._points.columns(), self._sign)
        self._firm = self._firm + 1 if self._reading["should_stop"] else 0

    def _diagnosis(self) -> Diagnosis:
        found = self._lost_reading() or {**self._reading, "should_stop": self._should_stop()}
        if self._best_epoch is None:
            return Diagnosis(**found)
        return Diagnosis(
            **found,
            best_epoch=self._best_epoch,
            best_value=self._sign * self._best_value,
            epochs_past_best=self._epoch - self._best_epoch,
        )

    def _should_stop(self) -> bool:
        # A single epoch that beats all others is a reason to wait, whatever the level says.
        if self._best_epoch is None or self._epoch - self._best_epoch < _PATIENCE:
            return False
        return self._firm >= max(_PATIENCE, _PATIENCE_SHARE * self._pairs)

    def _lost_reading(self) -> dict[str, Any] | None:
        if self._lost_train >= _LOST_TRAIN:
            reason = f"Training has not been finite for {self._lost_train} epochs."
            return {"verdict": "diverging", "reason": reason, "should_stop": True}
        if self._lost_val >= _LOST_VAL:
            reason = f"Validation has not been finite for {self._lost_val} epochs."
            return {"verdict": "diverging", "reason": reason}
        return None


def diagnose(
    train: Sequence[float | None], val: Sequence[float | None], mode: str = "min"
) -> Diagnosis:
    """Judge a complete pair of curves.

    Use it on the `history` of a finished training, from any framework. The result
    is exactly what a `TrendTracker` says after the last epoch.

    Args:
        train: Training values, one for each epoch. None, NaN and infinity are allowed.
        val: Validation values for the same epochs; None where there was no validation.
        mode: `"min"` for losses, `"max"` for accuracies. Defaults to `"min"`.

    Returns:
        A `Diagnosis`.

    Raises:
        ValueError: If a curve is empty, their lengths differ, or `mode` is unknown.
        TypeError: If a curve is no sequence of numbers.

    Example:
        >>> from keras_regplus.diagnosis import diagnose
        >>> curve = [0.9**epoch for epoch in range(20)]
        >>> print(diagnose(train=curve, val=curve).reason)
        Validation improved by 47 % over the last 30 % of the epochs.
    """
    tracker = TrendTracker(mode)
    train, val = _as_list("train", train), _as_list("val", val)
    if len(train) != len(val):
        rule = f"as long as `train` ({len(train)} epochs)"
        advice = "Put None where an epoch has no validation value."
        raise ValueError(complain("diagnose", "val", rule, f"{len(val)} epochs", advice))
    for pair in zip(train, val, strict=True):
        diagnosis = tracker.update(*pair)
    return diagnosis


def _as_list(name: str, values: Any) -> list[Any]:
    rule = "a non-empty sequence of numbers"
    advice = "Pass a list such as history.history['loss']."
    if isinstance(values, str | bytes | dict) or not hasattr(values, "__iter__"):
        raise TypeError(complain("diagnose", name, rule, values, advice))
    values = list(values)
    if not values:
        raise ValueError(complain("diagnose", name, rule, values, advice))
    return values


def _json_value(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and abs(value) < _HUGE
