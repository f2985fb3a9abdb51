"""The verdict on complete curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_regplus._checks import complain, one_of
from keras_regplus.diagnosis._criteria import checked_criterion, new_tracker
from keras_regplus.diagnosis.verdicts import Diagnosis

__all__ = ["diagnose"]


def diagnose(
    train: Sequence[float | None],
    val: Sequence[float | None],
    mode: str = "min",
    criterion: Any = None,
) -> Diagnosis:
    """Judge a complete pair of curves.

    Use it on the `history` of a finished training, from any framework. The result
    is exactly what the criterion says after the last epoch when it is fed one by one.

    Args:
        train: Training values, one for each epoch. None, NaN and infinity are allowed.
        val: Validation values for the same epochs; None where there was no validation.
        mode: `"min"` for losses, `"max"` for accuracies. Defaults to `"min"`.
        criterion: `"trend"`, `"gl"`, `"pq"` or `"up"`, or an object with
            `update(train, val)`, which has a mode of its own and is copied. Defaults to
            None, `"trend"`.

    Returns:
        A `Diagnosis`.

    Raises:
        ValueError: If a curve is empty, their lengths differ, or `mode` or
            the name of a criterion is unknown.
        TypeError: If a curve is no sequence of numbers, or `criterion` cannot be asked.

    Example:
        >>> from keras_regplus.diagnosis import diagnose
        >>> curve = [0.9**epoch for epoch in range(20)]
        >>> print(diagnose(train=curve, val=curve).reason)
        Validation improved by 47 % over the last 30 % of the epochs.
    """
    advice = "Use 'min' for losses and 'max' for accuracies."
    mode = one_of("diagnose", "mode", mode, ("min", "max"), advice=advice)
    tracker = new_tracker(checked_criterion("diagnose", criterion), mode)
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
