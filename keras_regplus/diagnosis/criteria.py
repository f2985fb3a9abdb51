"""What a criterion is, and which one an argument means: a name, an object, or the default."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from keras_regplus._checks import error_text
from keras_regplus.diagnosis.prechelt import GL, PQ, UP
from keras_regplus.diagnosis.trend import TrendTracker
from keras_regplus.diagnosis.verdicts import Diagnosis

__all__ = ["Criterion", "CriterionName", "checked_criterion", "judged", "new_tracker"]

CriterionName = Literal["trend", "gl", "pq", "up"]


class Criterion(Protocol):
    """An object that judges a pair of curves, one epoch at a time.

    Implement it to judge by a rule of your own: write a class with this one method, without a
    base class, and pass an object of it as `criterion=` to `diagnose`, `diagnose_history` or
    `callbacks.OverfittingDetector`. They leave your object unused and give each pair of
    curves a deep copy of it. Which way is better is up to the object: `mode` does not reach it.

    Example:
        >>> from keras_regplus.diagnosis import Diagnosis, diagnose
        >>> class Above:
        ...     def __init__(self, limit):
        ...         self.limit = limit
        ...
        ...     def update(self, train, val):
        ...         if val is None or val <= self.limit:
        ...             return Diagnosis("healthy", reason="Validation is low.")
        ...         return Diagnosis("overfitting", should_stop=True, reason="Validation is high.")
        >>> diagnose([0.5, 0.3], [0.6, 0.9], criterion=Above(0.8)).verdict
        'overfitting'
    """

    def update(self, train: float | None, val: float | None) -> Diagnosis:
        """Take the values of the next epoch and judge all epochs so far.

        It is called once for every epoch, in order.

        Args:
            train: The training value, NaN and infinity included. None where there is none.
            val: The validation value. None in epochs without validation.

        Returns:
            A `Diagnosis` whose epochs count from 0, the first call. `OverfittingDetector` also
            takes any other object that has some of its attributes, at least `verdict`.
        """
        ...


_BY_NAME: dict[str, Callable[..., Criterion]] = {
    "trend": TrendTracker,
    "gl": GL,
    "pq": PQ,
    "up": UP,
}


def checked_criterion(
    owner: str, criterion: CriterionName | Criterion | None
) -> CriterionName | Criterion | None:
    """Return `criterion`, or raise if it is none."""
    names = ", ".join(repr(name) for name in _BY_NAME)
    rule = f"None, one of {names}, or an object with `update(train, val)`"
    advice = "Use an object such as keras_regplus.diagnosis.TrendTracker()."
    if criterion is None or (isinstance(criterion, str) and criterion in _BY_NAME):
        return criterion
    if isinstance(criterion, str):
        raise ValueError(error_text(owner, "criterion", rule, criterion, advice))
    if callable(getattr(criterion, "update", None)) and not isinstance(criterion, type):
        return criterion
    raise TypeError(error_text(owner, "criterion", rule, criterion, advice))


def new_tracker(criterion: CriterionName | Criterion | None, mode: str) -> Criterion:
    """A fresh object for one pair of curves; an object that was given has a mode of its own."""
    if criterion is None or isinstance(criterion, str):
        return _BY_NAME[criterion or "trend"](mode=mode)
    return copy.deepcopy(criterion)


def judged(
    train: Sequence[float | None],
    val: Sequence[float | None],
    mode: str,
    criterion: CriterionName | Criterion | None = None,
) -> Diagnosis:
    """The diagnosis after the last epoch of two curves of equal length, of one epoch at least."""
    tracker = new_tracker(criterion, mode)
    for pair in zip(train, val, strict=True):
        diagnosis = tracker.update(*pair)
    return diagnosis
