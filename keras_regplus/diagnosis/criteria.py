"""Which criterion an argument means: a name, an object, or the default."""

from __future__ import annotations

import copy
from typing import Any

from keras_regplus._checks import error_text
from keras_regplus.diagnosis.prechelt import GL, PQ, UP
from keras_regplus.diagnosis.trend import TrendTracker

__all__ = ["checked_criterion", "new_tracker"]

_BY_NAME = {"trend": TrendTracker, "gl": GL, "pq": PQ, "up": UP}


def checked_criterion(owner: str, criterion: Any) -> Any:
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


def new_tracker(criterion: Any, mode: str) -> Any:
    """A fresh object for one pair of curves; an object that was given has a mode of its own."""
    if criterion is None or isinstance(criterion, str):
        return _BY_NAME[criterion or "trend"](mode=mode)
    return copy.deepcopy(criterion)
