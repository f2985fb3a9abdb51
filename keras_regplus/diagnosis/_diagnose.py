"""The verdict on complete curves."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any, Literal

from keras_regplus._checks import MODE_ADVICE, checked_mode, error_text
from keras_regplus._output import counted
from keras_regplus.diagnosis.criteria import Criterion, checked_criterion, judged
from keras_regplus.diagnosis.verdicts import Diagnosis
from keras_regplus.histories.history_like import HistoryLike
from keras_regplus.histories.metric_choice import choose_metric, direction
from keras_regplus.histories.read import as_history

__all__ = ["diagnose", "diagnose_history"]

# Fewer values may grow by chance.
_FEWEST = 3
_HINT = (
    "Both curves grow from the start: if higher values are better, as for accuracies, "
    'pass mode="max".'
)


def diagnose(
    train: Iterable[float | None],
    val: Iterable[float | None] = (),
    mode: Literal["min", "max"] = "min",
    criterion: Literal["trend", "gl", "pq", "up"] | Criterion | None = None,
) -> Diagnosis:
    """Judge a complete pair of curves.

    Use it on the curves of a finished training, from any framework; `diagnose_history` takes
    a whole history and finds the curves in it. The result is exactly what the criterion
    returns after the last epoch when it takes them one by one, but for one sentence more in
    the reason where both curves grow from the start and `mode` is `"min"`.

    Args:
        train: Training values, one for each epoch. None, NaN and infinity are allowed.
        val: Validation values for the same epochs; None where there was no validation. The
            default, nothing, is an error.
        mode: `"min"` for losses, `"max"` for accuracies. Defaults to `"min"`.
        criterion: `"trend"` for `TrendTracker`, `"gl"`, `"pq"` or `"up"` for `GL`, `PQ` or
            `UP`; or any `Criterion`, such as `GL(alpha=2)`, which is copied and has a mode of
            its own. Defaults to None, `"trend"`.

    Returns:
        A `Diagnosis`.

    Raises:
        ValueError: If `train` or `val` is empty, their lengths differ, `mode` is neither of
            the two, or `criterion` is none of the four names.
        TypeError: If `train` or `val` is not a sequence of numbers (`diagnose_history` takes
            a history), or `criterion` is an object without a method `update`.

    Example:
        >>> from keras_regplus.diagnosis import diagnose
        >>> curve = [0.9**epoch for epoch in range(20)]
        >>> print(diagnose(train=curve, val=curve).reason)
        Validation improved by 47 % over the last 30 % of the epochs.
    """
    mode = checked_mode("diagnose", mode)
    checked_criterion("diagnose", criterion)
    train, val = _as_list("train", train), _as_list("val", val)
    if len(train) != len(val):
        rule = f"as long as `train` ({counted(len(train), 'epoch')})"
        advice = "Put None where an epoch has no validation value."
        got = counted(len(val), "epoch")
        raise ValueError(error_text("diagnose", "val", rule, got, advice))
    diagnosis = judged(train, val, mode, criterion)
    has_own_mode = not (criterion is None or isinstance(criterion, str))
    if mode == "min" and not has_own_mode and _grows(train) and _grows(val):
        return replace(diagnosis, reason=f"{diagnosis.reason} {_HINT}")
    return diagnosis


def diagnose_history(
    history: HistoryLike,
    monitor: str | None = None,
    mode: Literal["auto", "min", "max"] = "auto",
    criterion: Literal["trend", "gl", "pq", "up"] | Criterion | None = None,
) -> Diagnosis:
    """Judge one training by its history, wherever that is.

    Use it after `fit`, or on the log of another training: it finds the two curves by
    their names. `diagnose` judges curves that you have as lists.

    Epochs are numbered as in the history: a `History` with `initial_epoch=10`, or a CSV file
    whose first epoch is 10, has no epoch before 10.

    Args:
        history: A `keras.callbacks.History`; a dict or a DataFrame (pandas or polars) of
            name to values, one for each epoch; or a path, which `read_history` reads.
        monitor: Metric to look at, as Keras names it, with or without `val_`. Defaults to
            None: `data_loss` where it was logged in every epoch that has a finite `loss`,
            else `loss`, else the first metric with a validation twin whose name tells the
            direction.
        mode: `"min"` for losses, `"max"` for accuracies, `"auto"` to take it from the name
            of the metric. Defaults to `"auto"`.
        criterion: As in `diagnose`. Defaults to None, `"trend"`.

    Returns:
        A `Diagnosis`.

    Raises:
        OSError: If `history` is a path that cannot be opened.
        TypeError: If `history` or `monitor` is none of these, or `criterion` is an object
            without a method `update`.
        ValueError: If `history` has no values, or no `monitor` with a validation twin; if
            `mode` is unknown, or `"auto"` where the name does not tell the direction; or if
            `criterion` is none of the four names.

    Example:
        >>> from keras_regplus.diagnosis import diagnose_history
        >>> history = {"loss": [0.80, 0.30, 0.10], "val_loss": [0.70, 1.82, 2.45]}
        >>> diagnose_history(history).verdict
        'overfitting'
    """
    owner = "diagnose_history"
    checked_mode(owner, mode, auto=True)
    criterion = checked_criterion(owner, criterion)
    if not isinstance(monitor, str | None):
        advice = "Use a name such as 'loss'."
        raise TypeError(error_text(owner, "monitor", "a text or None", monitor, advice))
    curves = as_history(history)
    metric = choose_metric(curves, monitor)
    if metric is None:
        rule = f"a metric with a validation twin (there are: {', '.join(curves) or 'none'})"
        advice = "Train with validation data, or name another."
        raise ValueError(error_text(owner, "monitor", rule, monitor, advice))
    better = direction(metric, mode)
    if better == "unknown":
        rule = f"'min' or 'max' where the name {metric!r} does not tell"
        raise ValueError(error_text(owner, "mode", rule, "auto", MODE_ADVICE))
    return judged(curves[metric], curves[f"val_{metric}"], better, criterion)


def _grows(values: Sequence[float | None]) -> bool:
    """Whether a curve is lowest where it begins and ends higher, as that of an accuracy does."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(known) < _FEWEST:
        return False
    tenth, half = math.ceil(len(known) / 10), len(known) // 2
    starts_lowest = min(known[:tenth]) < min(known[tenth:])
    return starts_lowest and median(known[half:]) > median(known[:half])


def _as_list(name: str, values: Any) -> list[Any]:
    rule = "a non-empty sequence of numbers"
    twin = "loss" if name == "train" else "val_loss"
    advice = f"Pass a list such as history.history[{twin!r}]."
    if _is_history(values):
        advice = "Use `diagnose_history` for a whole history."
        raise TypeError(error_text("diagnose", name, rule, values, advice))
    if isinstance(values, bytes) or not hasattr(values, "__iter__"):
        raise TypeError(error_text("diagnose", name, rule, values, advice))
    values = list(values)
    if not values:
        raise ValueError(error_text("diagnose", name, rule, values, advice))
    return values


def _is_history(values: Any) -> bool:
    """Whether it is what `diagnose_history` takes: a dict, a DataFrame, a History or a path."""
    if isinstance(values, Mapping | str | os.PathLike):
        return True
    return hasattr(values, "history") or hasattr(values, "columns")
