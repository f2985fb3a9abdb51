"""What every criterion needs: values turned so that less is better, the best, what is lost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

from keras_regplus._checks import error_text, one_of
from keras_regplus.diagnosis.verdicts import Diagnosis

__all__ = ["Tracker"]

# Training never comes back from NaN. Validation alone may: some write NaN for "not measured".
_LOST_TRAIN, _LOST_VAL = 3, 10
# Sums of larger numbers overflow, so they count as infinite.
_HUGE = 1e300


class Tracker:
    """Takes a pair of values after each epoch and keeps what all criteria share.

    A criterion defines `_read`, which takes a pair of finite values, and `_found`, the
    fields of a `Diagnosis` that it decides. One that looks at validation alone sets
    `_needs_train`; then `train` may be anything.
    """

    _needs_train = True

    def __init__(self, mode: str = "min") -> None:
        advice = "Use 'min' for losses and 'max' for accuracies."
        self.mode = one_of(type(self).__name__, "mode", mode, ("min", "max"), advice=advice)
        self._sign = 1.0 if mode == "min" else -1.0
        self._epoch = -1
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
        if _finite(val_cost) and (_finite(train_cost) or not self._needs_train):
            self._read(train_cost, val_cost)
        return self._diagnosis()

    def _read(self, train: Any, val: float) -> None:
        raise NotImplementedError

    def _found(self) -> Mapping[str, Any]:
        raise NotImplementedError

    def _oriented(self, name: str, value: Any) -> float | None:
        """The value as a float of which less is better."""
        if value is None:
            return None
        try:
            return self._sign * float(value)
        except (TypeError, ValueError):
            advice = "Pass None for an epoch that was not measured."
            owner = type(self).__name__
            raise TypeError(error_text(owner, name, "a number or None", value, advice)) from None

    def _count_lost(self, train: float | None, val: float | None) -> None:
        if train is not None:
            self._lost_train = 0 if _finite(train) else self._lost_train + 1
        if val is not None:
            self._lost_val = 0 if _finite(val) else self._lost_val + 1

    def _diagnosis(self) -> Diagnosis:
        found = self._lost() or self._found()
        if self._best_epoch is None:
            return Diagnosis(**found)
        return Diagnosis(
            **found,
            best_epoch=self._best_epoch,
            best_value=self._sign * self._best_value,
            epochs_past_best=self._epoch - self._best_epoch,
        )

    def _lost(self) -> dict[str, Any] | None:
        if self._lost_train >= _LOST_TRAIN:
            reason = f"Training has not been finite for {self._lost_train} epochs."
            return {
                "verdict": "diverging",
                "reason": reason,
                "should_stop": True,
                "confidence": 1.0,
            }
        if self._lost_val >= _LOST_VAL:
            reason = f"Validation has not been finite for {self._lost_val} epochs."
            return {"verdict": "diverging", "reason": reason, "confidence": 1.0}
        return None


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and abs(value) < _HUGE
