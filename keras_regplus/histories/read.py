"""The history of one training, wherever it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from keras_regplus._checks import error_text
from keras_regplus.histories.epochs import History, from_table
from keras_regplus.histories.history_like import HistoryLike
from keras_regplus.histories.metric_names import keras_name
from keras_regplus.histories.runs import NoHistoryError, RunFiles, find_runs, read_run

__all__ = ["as_history", "read_history"]


def read_history(path: str | os.PathLike[str]) -> History:
    """Read the history of one training from its file or folder.

    Use it to look at, plot or judge the log of a training, with Keras or without.
    `python -m keras_regplus diagnose` does it for many at once.

    It reads what `keras.callbacks.CSVLogger` and Lightning's `CSVLogger` write; a JSON
    object of lists, such as `history.history`; and TensorBoard's scalars, as one event
    file or as the folder of a run, from Keras, torch's `SummaryWriter` or Lightning. Names
    become those of Keras: `train/loss` and `loss/val` are `loss` and `val_loss`.

    An epoch that was logged several times has the mean of its values. Where steps were
    logged instead of epochs, each step with validation ends an epoch. Where a log starts again
    at an earlier epoch, what was written later counts. A file that ends in the middle of a
    record is read up to there. Checksums are ignored.

    Args:
        path: A CSV, JSON or event file, or a folder that holds one run.

    Returns:
        A dict of name to a list of floats, one for each epoch from 0 on; None where
        an epoch has no value.

    Raises:
        OSError: If `path`, or a file below it, cannot be opened.
        TypeError: If `path` is not a path.
        ValueError: If `path` holds no history, or is a folder that holds several.

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
        raise TypeError(error_text("read_history", "path", "a path", path, advice))
    path = os.path.normpath(os.fspath(path))
    runs = find_runs(path)
    if len(runs) == 1 and runs[0].path == path:
        return _history_in(runs[0], advice)
    histories = [history for history in map(_history_or_none, runs) if history is not None]
    if len(histories) != 1:
        rule = f"a folder with one run (there are {len(histories)})"
        raise ValueError(error_text("read_history", "path", rule, path, advice))
    return histories[0]


def _history_in(run: RunFiles, advice: str) -> History:
    try:
        return read_run(run)
    except ValueError as error:
        rule = f"the file of a training ({error})"
        raise ValueError(error_text("read_history", "path", rule, run.path, advice)) from None


def _history_or_none(run: RunFiles) -> History | None:
    try:
        return read_run(run)
    except NoHistoryError:
        return None


def as_history(history: HistoryLike) -> History:
    """Any history as names and values, with epochs as it numbers them.

    Args:
        history: A `keras.callbacks.History`, a dict of lists, a DataFrame or a path.

    Returns:
        A dict of name to a list of floats, as `read_history` returns.

    Raises:
        OSError: If the file cannot be opened.
        TypeError: If `history` is none of these.
        ValueError: If the file holds no history.
    """
    if isinstance(history, str | os.PathLike):
        return read_history(history)
    columns = getattr(history, "history", history)
    if hasattr(columns, "columns"):
        return from_table(_columns_of_frame(columns))
    if not isinstance(columns, Mapping):
        rule = "a History, a dict of lists, a DataFrame or a path"
        advice = "Pass what `fit` returned."
        raise TypeError(error_text("diagnose_history", "history", rule, history, advice))
    table = {name: list(values) for name, values in columns.items() if _is_list(values)}
    # A metric of Keras may be called `test_score`, and is no validation then.
    by_keras = any(str(name).startswith("val_") for name in table)
    epochs = getattr(history, "epoch", None)
    if epochs:
        table["epoch"] = list(epochs)
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
