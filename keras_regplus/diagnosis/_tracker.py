"""What every criterion needs: values turned so that less is better, and the best of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeGuard

from keras_regplus._checks import checked_mode, error_text
from keras_regplus.diagnosis.verdicts import Diagnosis

__all__ = ["Tracker"]

# Training never comes back from NaN. Validation alone may: some write NaN for "not measured".
_NON_FINITE_TRAIN, _NON_FINITE_VAL = 3, 10
# Sums of larger numbers overflow, so they count as infinite.
_HUGE = 1e300


class Tracker:
    """Takes a pair of values after each epoch and keeps what all criteria share.

    A criterion defines `_observe`, which takes a pair of finite values, and `_decision`, which
    returns the fields of a `Diagnosis` that it decides. One that looks at validation alone sets
    `_needs_train` to False; then `train` may be anything.
    """

    _needs_train = True

    def __init__(self, mode: Literal["min", "max"] = "min") -> None:
        self.mode: Literal["min", "max"] = checked_mode(type(self).__name__, mode)
        self._sign = 1.0 if mode == "min" else -1.0
        self._epoch = -1
        self._non_finite_train = 0
        self._non_finite_val = 0
        self._best_epoch: int | None = None
        self._best_value = math.inf

    def update(self, train: float | None, val: float | None) -> Diagnosis:
        """Take the values of the next epoch and judge all epochs so far.

        Args:
            train: The training value. None where there is none.
            val: The validation value. None in epochs without validation.

        Returns:
            A `Diagnosis`.

        Raises:
            TypeError: If `train` or `val` is neither a number nor None. NaN and infinity are
                numbers.
        """
        self._epoch += 1
        train_cost = self._oriented("train", train)
        val_cost = self._oriented("val", val)
        self._count_non_finite(train_cost, val_cost)
        if _is_finite(val_cost) and val_cost < self._best_value:
            self._best_epoch, self._best_value = self._epoch, val_cost
        if _is_finite(val_cost) and (_is_finite(train_cost) or not self._needs_train):
            self._observe(train_cost, val_cost)
        return self._new_diagnosis()

    def _observe(self, train: Any, val: float) -> None:
        """Take in the costs of an epoch; each criterion defines what it keeps of them."""
        raise NotImplementedError

    def _decision(self) -> Mapping[str, Any]:
        """The fields of a `Diagnosis` that a criterion decides; each defines its own."""
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

    def _count_non_finite(self, train: float | None, val: float | None) -> None:
        if train is not None:
            self._non_finite_train = 0 if _is_finite(train) else self._non_finite_train + 1
        if val is not None:
            self._non_finite_val = 0 if _is_finite(val) else self._non_finite_val + 1

    def _new_diagnosis(self) -> Diagnosis:
        decision = self._non_finite_decision() or self._decision()
        if self._best_epoch is None:
            return Diagnosis(**decision)
        return Diagnosis(
            **decision,
            best_epoch=self._best_epoch,
            best_value=self._sign * self._best_value,
            epochs_past_best=self._epoch - self._best_epoch,
        )

    def _non_finite_decision(self) -> dict[str, Any] | None:
        if self._non_finite_train >= _NON_FINITE_TRAIN:
            reason = f"Training has not been finite for {self._non_finite_train} epochs."
            return {
                "verdict": "diverging",
                "reason": reason,
                "should_stop": True,
                "confidence": 1.0,
            }
        if self._non_finite_val >= _NON_FINITE_VAL:
            reason = f"Validation has not been finite for {self._non_finite_val} epochs."
            return {"verdict": "diverging", "reason": reason, "confidence": 1.0}
        return None


def _is_finite(value: float | None) -> TypeGuard[float]:
    return value is not None and abs(value) < _HUGE
