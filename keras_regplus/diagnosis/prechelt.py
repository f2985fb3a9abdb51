"""The three classic criteria of Prechelt: generalization loss, its quotient, successive rises."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

from keras_regplus._checks import count, finite_number
from keras_regplus._output import counted
from keras_regplus.diagnosis._tracker import Tracker

__all__ = ["GL", "PQ", "UP"]


class GL(Tracker):
    """Generalization loss: validation is more than `alpha` per cent above its best.

    Use it to compare with the literature, or where you want one number that everybody knows.
    It looks at single values, so noise fires it; `TrendTracker` looks at levels.

        GL(t) = 100 * (val(t) / best(t) - 1),   best(t) = min of val up to t

    and the verdict is `"overfitting"` while GL(t) > alpha, with `should_stop` at once.
    The difference is taken relative to the size of the best value, so that negative
    values and `mode="max"` work too; above a best value of 0 it is infinite.

    Args:
        alpha: Per cent, above 0. Prechelt tries 1 to 5. Defaults to 5.
        mode: `"min"` for losses, `"max"` for accuracies. Defaults to `"min"`.

    Raises:
        TypeError: If `alpha` is not a number.
        ValueError: If `alpha` is not finite and above 0, or `mode` is neither of the two.

    Example:
        >>> from keras_regplus.diagnosis import GL, diagnose
        >>> diagnosis = diagnose([0.9, 0.5, 0.2], [1.0, 0.8, 0.85], criterion=GL(alpha=5))
        >>> print(diagnosis.verdict, diagnosis.reason)
        overfitting Validation is 6.2 % above its best; GL allows 5 %.

    References:
        - [Prechelt, "Early Stopping - But When?" (1998)](https://doi.org/10.1007/3-540-49430-8_3)
    """

    _needs_train = False

    def __init__(self, alpha: float = 5.0, mode: Literal["min", "max"] = "min") -> None:
        super().__init__(mode)
        self.alpha = _positive("GL", alpha)
        self._loss = 0.0

    def _observe(self, train: Any, val: float) -> None:
        self._loss = _generalization_loss(val, self._best_value)

    def _decision(self) -> Mapping[str, Any]:
        if self._best_epoch is None:
            return _undecided(1)
        reason = f"Validation is {self._loss:.2g} % above its best; GL allows {self.alpha:g} %."
        return _decide(self._loss > self.alpha, self._loss / self.alpha / 2, reason)


class PQ(Tracker):
    """Progress quotient: generalization loss, weighed against what training still gains.

    Use it to wait for a slow recovery of validation as long as training still makes fast
    progress. It is evaluated at the end of each strip of `strip` epochs, and the verdict
    stands until the next.

        P(t)  = 1000 * (mean of train in the strip / min of train in the strip - 1)
        PQ(t) = GL(t) / P(t) > alpha

    Where training stands still, any loss is too much.

    Args:
        alpha: The quotient that is too much, above 0. Prechelt tries 0.5 to 3.
            Defaults to 0.5.
        strip: Epochs in a strip, at least 1. Defaults to 5.
        mode: `"min"` for losses, `"max"` for accuracies. Defaults to `"min"`.

    Raises:
        TypeError: If `alpha` or `strip` is not a number.
        ValueError: If `alpha` is not finite and above 0, `strip` is not a whole number of at
            least 1, or `mode` is neither of the two.

    Example:
        >>> from keras_regplus.diagnosis import PQ, diagnose
        >>> train, val = [0.5, 0.49, 0.49, 0.48, 0.48], [0.8, 0.7, 0.75, 0.8, 0.9]
        >>> diagnose(train, val, criterion=PQ()).verdict
        'overfitting'

    References:
        - [Prechelt, "Early Stopping - But When?" (1998)](https://doi.org/10.1007/3-540-49430-8_3)
    """

    def __init__(
        self, alpha: float = 0.5, strip: int = 5, mode: Literal["min", "max"] = "min"
    ) -> None:
        super().__init__(mode)
        self.alpha = _positive("PQ", alpha)
        self.strip = _strip("PQ", strip)
        self._train: list[float] = []
        self._last_decision: Mapping[str, Any] = _undecided(self.strip)

    def _observe(self, train: Any, val: float) -> None:
        self._train.append(train)
        if len(self._train) < self.strip:
            return
        loss, progress = _generalization_loss(val, self._best_value), _progress(self._train)
        self._train = []
        quotient = _ratio(loss, progress)
        reason = (
            f"Validation is {loss:.2g} % above its best and training's progress is "
            f"{progress:.2g}: a quotient of {quotient:.2g}, and PQ allows {self.alpha:g}."
        )
        self._last_decision = _decide(quotient > self.alpha, quotient / self.alpha / 2, reason)

    def _decision(self) -> Mapping[str, Any]:
        return self._last_decision


class UP(Tracker):
    """Successive rises: validation grew worse from strip to strip, `strips` times in a row.

    Use it where the size of a rise says little and only its persistence counts. It is
    evaluated at the end of each strip of `strip` epochs, and the verdict stands until the
    next.

        UP(1) at t:  val(t) > val(t - strip)
        UP(s) at t:  UP(s - 1) at t - strip, and val(t) > val(t - strip)

    Args:
        strips: How many rises in a row, at least 1. Prechelt tries 2 to 8. Defaults to 3.
        strip: Epochs in a strip, at least 1. Defaults to 5.
        mode: `"min"` for losses, `"max"` for accuracies. Defaults to `"min"`.

    Raises:
        TypeError: If `strips` or `strip` is not a number.
        ValueError: If `strips` or `strip` is not a whole number of at least 1, or `mode` is
            neither of the two.

    Example:
        >>> from keras_regplus.diagnosis import UP, diagnose
        >>> diagnose([1] * 6, [0.5, 0.6, 0.7, 0.8, 0.9, 1.0], criterion=UP(2, strip=2)).verdict
        'overfitting'

    References:
        - [Prechelt, "Early Stopping - But When?" (1998)](https://doi.org/10.1007/3-540-49430-8_3)
    """

    _needs_train = False

    def __init__(
        self, strips: int = 3, strip: int = 5, mode: Literal["min", "max"] = "min"
    ) -> None:
        super().__init__(mode)
        self.strips = count("UP", "strips", strips, advice="Use 3 for three rises in a row.")
        self.strip = _strip("UP", strip)
        # The value at the end of the last strip, and those since.
        self._ends: deque[float] = deque(maxlen=2)
        self._seen = 0
        self._rises = 0

    def _observe(self, train: Any, val: float) -> None:
        self._seen += 1
        if self._seen % self.strip:
            return
        self._ends.append(val)
        risen = len(self._ends) == 2 and self._ends[1] > self._ends[0]
        self._rises = self._rises + 1 if risen else 0

    def _decision(self) -> Mapping[str, Any]:
        if len(self._ends) < 2:
            return _undecided(2 * self.strip)
        reason = (
            f"Validation grew worse over {counted(self._rises, 'strip')} of "
            f"{counted(self.strip, 'epoch')} in a row; "
            f"UP allows {self.strips - 1}."
        )
        share = self._rises / (2 * self.strips - 1)
        return _decide(self._rises >= self.strips, share, reason)


def _decide(fires: bool, share: float, reason: str) -> dict[str, Any]:
    verdict = "overfitting" if fires else "healthy"
    return {
        "verdict": verdict,
        "should_stop": fires,
        "score": min(max(share, 0.0), 1.0),
        "reason": reason,
    }


def _undecided(epochs: int) -> dict[str, Any]:
    reason = f"Too little seen: this criterion needs {counted(epochs, 'validated epoch')}."
    return {"verdict": "undecided", "reason": reason}


def _generalization_loss(val: float, best: float) -> float:
    return 100 * _ratio(val - best, abs(best))


def _progress(train: list[float]) -> float:
    lowest = min(train)
    return 1000 * _ratio(sum(train) / len(train) - lowest, abs(lowest))


def _ratio(value: float, scale: float) -> float:
    if scale > 0:
        return value / scale
    return math.inf if value > 0 else 0.0


def _positive(owner: str, alpha: Any) -> float:
    advice = "Use a number such as 5 for GL or 0.5 for PQ."
    return finite_number(owner, "alpha", alpha, above=0, advice=advice)


def _strip(owner: str, strip: Any) -> int:
    return count(owner, "strip", strip, advice="Use 5, as Prechelt does.")
