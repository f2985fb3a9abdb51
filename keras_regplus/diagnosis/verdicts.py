"""The result of a criterion: a verdict on a pair of curves, with its numbers."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, get_args

__all__ = ["VERDICTS", "Diagnosis", "Verdict"]

Verdict = Literal["undecided", "healthy", "stagnating", "plateau", "overfitting", "diverging"]
"""The type of a verdict: one of `VERDICTS`."""

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""All verdicts. `Diagnosis` explains them, under `verdict`."""


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What is known about a pair of curves after some epoch.

    `diagnose` and the `update` of every criterion return one. Return one from a `Criterion` of
    your own; only `verdict` is required there. Epochs count from 0. Relative numbers
    are shares of the validation curve's best level (of at least a tenth of the
    curve's typical size, for curves near 0); a number that cannot be known yet
    is None.

    Args:
        verdict: One of `VERDICTS`: `"undecided"` (too little seen), `"healthy"` (validation
            still improves), `"stagnating"` (training improves, validation does
            not), `"plateau"` (neither improves), `"overfitting"` (validation grew
            worse by more than its noise, training did not), `"diverging"`
            (training blew up, or values stay non-finite).
        best_epoch: Epoch of the best single validation value, the first of equals.
        best_value: That value.
        onset_epoch: Epoch at which overfitting began, after `best_epoch` unless that is the
            last one; None unless it is the verdict.
        gap: How much worse validation is than training now, relative.
        train_slope: Recent change of the training curve per epoch, relative and
            robust. Positive means upwards.
        val_slope: The same for the validation curve.
        noise: Standard deviation of a single validation value, relative.
        epochs_past_best: Epochs since `best_epoch`.
        should_stop: Whether further training is pointless: a decision of its own, stricter
            about noise and time. It mostly comes after the verdict, for a small rise before it.
        reason: The verdict in one sentence, with its numbers.
        score: From 0 to 1, how far validation has risen: half the rise over the rise
            that would be called overfitting. Above 0.5 exactly when the verdict is
            `"overfitting"`, 1 from twice that rise on.
        confidence: From 0 to 1, how likely the verdict is to be true, where plateau and
            stagnating count as one. Fitted to real trainings of small networks whose truth is
            known from 16 runs each; 0 for `"undecided"`.

    Example:
        >>> from keras_regplus.diagnosis import diagnose
        >>> result = diagnose(train=[0.80, 0.30, 0.10], val=[0.70, 1.82, 2.45])
        >>> result.verdict, result.onset_epoch, result.dot
        ('overfitting', 1, '!')
    """

    verdict: Verdict
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
    confidence: float | None = None

    DOTS: ClassVar[dict[Verdict, str]] = dict(
        zip(VERDICTS, (".", ".", "~", "-", "!", "x"), strict=True)
    )
    """The character of each verdict, in the order of `VERDICTS`."""

    @property
    def dot(self) -> str:
        """The verdict as one character, as `DOTS` has it."""
        return self.DOTS[self.verdict]

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain Python values.

        Returns:
            A new dictionary of field to value.
        """
        return asdict(self)

    def to_json(self) -> str:
        """All fields as a JSON object.

        Returns:
            A text, in which infinity and NaN are null, since JSON has neither.
        """
        return json.dumps({key: _json_value(value) for key, value in self.to_dict().items()})

    def __repr__(self) -> str:
        return f"Diagnosis({self.verdict!r}, {self.reason!r}, should_stop={self.should_stop})"


def _json_value(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
