"""The verdict on complete curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_regplus._checks import error_text, one_of
from keras_regplus.diagnosis.criteria import checked_criterion, new_tracker
from keras_regplus.diagnosis.verdicts import Diagnosis
from keras_regplus.histories.metric_choice import choose_metric, direction
from keras_regplus.histories.read import as_history

__all__ = ["diagnose", "diagnose_history"]

_MODE_ADVICE = "Use 'min' for losses and 'max' for accuracies."


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
    mode = one_of("diagnose", "mode", mode, ("min", "max"), advice=_MODE_ADVICE)
    tracker = new_tracker(checked_criterion("diagnose", criterion), mode)
    train, val = _as_list("train", train), _as_list("val", val)
    if len(train) != len(val):
        rule = f"as long as `train` ({len(train)} epochs)"
        advice = "Put None where an epoch has no validation value."
        raise ValueError(error_text("diagnose", "val", rule, f"{len(val)} epochs", advice))
    for pair in zip(train, val, strict=True):
        diagnosis = tracker.update(*pair)
    return diagnosis


def diagnose_history(
    history: Any,
    monitor: str | None = None,
    mode: str = "auto",
    criterion: Any = None,
) -> Diagnosis:
    """Judge one training by its history, wherever that is.

    Use it after `fit`, or on what another training has left: it finds the two curves by
    their names. `diagnose` judges curves that are at hand as lists.

    Epochs are numbered as in the history: a `History` with `initial_epoch=10`, or a CSV file
    whose first epoch is 10, has no epoch before 10.

    Args:
        history: A `keras.callbacks.History`; a dict or a DataFrame (pandas or polars) of
            name to values, one for each epoch; or a path, which `read_history` reads.
        monitor: Metric to look at, as Keras names it, with or without `val_`. Defaults to
            None: `data_loss` where it was logged, else `loss`, else the first metric with a
            validation twin whose direction its name tells.
        mode: `"min"` for losses, `"max"` for accuracies, `"auto"` to tell by the metric's
            name. Defaults to `"auto"`.
        criterion: As in `diagnose`. Defaults to None, `"trend"`.

    Returns:
        A `Diagnosis`.

    Raises:
        OSError: If the file cannot be opened.
        TypeError: If `history` or `monitor` is nothing of the above.
        ValueError: If there is no such metric with a validation twin, its name does not
            tell the direction, the file holds no history, or `mode` or the name of a
            criterion is unknown.

    Example:
        >>> from keras_regplus.diagnosis import diagnose_history
        >>> history = {"loss": [0.80, 0.30, 0.10], "val_loss": [0.70, 1.82, 2.45]}
        >>> diagnose_history(history).verdict
        'overfitting'
    """
    owner = "diagnose_history"
    one_of(owner, "mode", mode, ("auto", "min", "max"), advice=_MODE_ADVICE)
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
    mode = direction(metric, mode)
    if mode == "unknown":
        rule = f"'min' or 'max' where the name {metric!r} does not tell"
        raise ValueError(error_text(owner, "mode", rule, "auto", _MODE_ADVICE))
    return diagnose(curves[metric], curves[f"val_{metric}"], mode, criterion)


def _as_list(name: str, values: Any) -> list[Any]:
    rule = "a non-empty sequence of numbers"
    advice = "Pass a list such as history.history['loss']."
    if isinstance(values, str | bytes | dict) or not hasattr(values, "__iter__"):
        raise TypeError(error_text("diagnose", name, rule, values, advice))
    values = list(values)
    if not values:
        raise ValueError(error_text("diagnose", name, rule, values, advice))
    return values
