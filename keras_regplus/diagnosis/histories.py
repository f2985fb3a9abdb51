"""The verdict on complete curves, and the files in which these are kept."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from keras_regplus._checks import complain, one_of
from keras_regplus.diagnosis._criteria import checked_criterion, new_tracker
from keras_regplus.diagnosis._epochs import History, from_table
from keras_regplus.diagnosis._names import keras_name
from keras_regplus.diagnosis._pairs import choose_metric, direction
from keras_regplus.diagnosis._run_files import NoHistoryError, RunFiles, find_runs, read_run
from keras_regplus.diagnosis.verdicts import Diagnosis

__all__ = ["diagnose", "diagnose_history", "read_history"]

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
        raise ValueError(complain("diagnose", "val", rule, f"{len(val)} epochs", advice))
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
        raise TypeError(complain(owner, "monitor", "a text or None", monitor, advice))
    curves = _curves(history)
    metric = choose_metric(curves, monitor)
    if metric is None:
        rule = f"a metric with a validation twin (there are: {', '.join(curves) or 'none'})"
        advice = "Train with validation data, or name another."
        raise ValueError(complain(owner, "monitor", rule, monitor, advice))
    mode = direction(metric, mode)
    if mode == "unknown":
        rule = f"'min' or 'max' where the name {metric!r} does not tell"
        raise ValueError(complain(owner, "mode", rule, "auto", _MODE_ADVICE))
    return diagnose(curves[metric], curves[f"val_{metric}"], mode, criterion)


def read_history(path: str | os.PathLike[str]) -> History:
    """Read the history of one training from its file or folder.

    Use it to look at, plot or judge what a training has left, with Keras or without.
    `python -m keras_regplus diagnose` does it for many at once.

    It reads what `keras.callbacks.CSVLogger` and Lightning's `CSVLogger` write; a JSON
    object of lists, such as `history.history`; and TensorBoard's scalars, as one event
    file or as the folder of a run, from Keras, torch's `SummaryWriter` or Lightning. Names
    become those of Keras: `train/loss` and `loss/val` are `loss` and `val_loss`.

    An epoch that was logged several times has the mean of its values; where steps were
    logged instead of epochs, those of validation end an epoch. Where a log starts again at
    an earlier epoch, what was written later counts. Of a file that ends in the middle of a
    record, what comes before is read. Checksums are not looked at.

    Args:
        path: A CSV, JSON or event file, or a folder that holds one run.

    Returns:
        A dict of name to a list of floats, one for each epoch from 0 on; None where
        an epoch has no value.

    Raises:
        OSError: If a file cannot be opened.
        TypeError: If `path` is none.
        ValueError: If it holds no history, or a folder holds several.

    Example:
        >>> import os, tempfile
        >>> from keras_regplus.diagnosis import read_history
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "log.csv")
        ...     with open(path, "w") as file:
        ...         print("epoch,loss,val_loss", "0,0.9,1.0", "1,0.5,NA", sep="\\n", file=file)
        ...     read_history(path)
        {'loss': [0.9, 0.5], 'val_loss': [1.0, None]}
    """
    advice = "Pass a CSV, JSON or event file, or the folder of one run."
    if not isinstance(path, str | os.PathLike):
        raise TypeError(complain("read_history", "path", "a path", path, advice))
    path = os.path.normpath(os.fspath(path))
    runs = find_runs(path)
    if len(runs) == 1 and runs[0].path == path:
        return _history_in(runs[0], advice)
    found = [history for history in map(_history_or_none, runs) if history is not None]
    if len(found) != 1:
        rule = f"a folder with one run (there are {len(found)})"
        raise ValueError(complain("read_history", "path", rule, path, advice))
    return found[0]


def _history_in(run: RunFiles, advice: str) -> History:
    try:
        return read_run(run)
    except ValueError as error:
        rule = f"the file of a training ({error})"
        raise ValueError(complain("read_history", "path", rule, run.path, advice)) from None


def _history_or_none(run: RunFiles) -> History | None:
    try:
        return read_run(run)
    except NoHistoryError:
        return None


def _curves(history: Any) -> History:
    """Any history as names and values, with epochs as it numbers them."""
    if isinstance(history, str | os.PathLike):
        return read_history(history)
    columns = getattr(history, "history", history)
    if hasattr(columns, "columns"):
        return from_table(_columns_of_frame(columns))
    if not isinstance(columns, Mapping):
        rule = "a History, a dict of lists, a DataFrame or a path"
        advice = "Pass what `fit` returned."
        raise TypeError(complain("diagnose_history", "history", rule, history, advice))
    table = {name: list(values) for name, values in columns.items() if _is_list(values)}
    # A metric of Keras may be called `test_score`, and is no validation then.
    by_keras = any(str(name).startswith("val_") for name in table)
    if getattr(history, "epoch", None):
        table["epoch"] = list(history.epoch)
        by_keras = True
    return from_table(table, by_keras)


def _is_list(values: Any) -> bool:
    return hasattr(values, "__len__") and not isinstance(values, str | bytes | Mapping)


def _columns_of_frame(frame: Any) -> dict[str, list[Any]]:
    """A frame has NaN where nothing was measured; in a training curve it may be a result."""
    names = [str(name) for name in frame.columns]
    has_gaps = any(name.strip().lower() == "step" for name in names)
    columns = {}
    for name, column in zip(names, frame.columns, strict=True):
        values = list(frame[column])
        if has_gaps or keras_name(name)[0].startswith("val_"):
            values = [None if value != value else value for value in values]
        columns[name] = values
    return columns


def _as_list(name: str, values: Any) -> list[Any]:
    rule = "a non-empty sequence of numbers"
    advice = "Pass a list such as history.history['loss']."
    if isinstance(values, str | bytes | dict) or not hasattr(values, "__iter__"):
        raise TypeError(complain("diagnose", name, rule, values, advice))
    values = list(values)
    if not values:
        raise ValueError(complain("diagnose", name, rule, values, advice))
    return values
