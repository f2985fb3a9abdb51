"""The curves of one run, or of several, as lines to draw and to judge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from keras_regplus._checks import error_text
from keras_regplus.diagnosis import Diagnosis, diagnose
from keras_regplus.histories.epochs import History
from keras_regplus.histories.history_like import HistoryLike
from keras_regplus.histories.read import as_history

__all__ = ["Line", "checked_history", "diagnose_runs", "line_of", "metrics_of"]


class Line(NamedTuple):
    """Epochs that have values, the values, and their deviation where several runs have one."""

    epochs: np.ndarray
    values: np.ndarray
    deviation: np.ndarray | None


def checked_history(owner: str, argument: str, history: HistoryLike) -> History:
    """A history of any kind as lists, with None where an epoch has no value."""
    try:
        return as_history(history)
    except TypeError as error:
        rule = "a History, a dict of lists, a DataFrame or a path"
        advice = "Pass what `fit` returned, or its `history`."
        raise TypeError(error_text(owner, argument, rule, history, advice)) from error


def metrics_of(history: History) -> list[str]:
    """What was measured in training."""
    return [key for key in history if not key.startswith("val_")]


def line_of(runs: Sequence[History], key: str, std: float | None = None) -> Line:
    """The curve of a run, or the mean over several where all of them have a value."""
    curves = _aligned(runs, key)
    if std:
        curves = np.array([_smoothed(curve, std) for curve in curves])
    epochs = np.flatnonzero(np.isfinite(curves).all(axis=0))
    curves = curves[:, epochs]
    deviation = curves.std(axis=0, ddof=1) if len(curves) > 1 else None
    return Line(epochs, curves.mean(axis=0), deviation)


def diagnose_runs(
    runs: Sequence[History], metric: str, mode: Literal["min", "max"] = "min"
) -> Diagnosis:
    """The diagnosis of a run, or of the mean curves of several."""
    return diagnose(_mean_curve(runs, metric), _mean_curve(runs, f"val_{metric}"), mode)


def _aligned(runs: Sequence[History], key: str) -> np.ndarray:
    """A row for each run, as long as the shortest, NaN where there is no finite value."""
    length = min(len(run[key]) for run in runs)
    rows = np.array([run[key][:length] for run in runs], dtype=float)
    return np.where(np.isfinite(rows), rows, np.nan)


def _mean_curve(runs: Sequence[History], key: str) -> list[float | None]:
    # In a single run NaN is a result, by which one sees that it diverged.
    if len(runs) == 1:
        return runs[0][key]
    means = _aligned(runs, key).mean(axis=0).tolist()
    return [None if math.isnan(mean) else mean for mean in means]


def _smoothed(values: np.ndarray, std: float) -> np.ndarray:
    """Weighted means with Gaussian weights, over the neighbours that there are.

    At the ends and beside NaN the weights of what is missing are left out, so a
    constant curve stays constant. NaN stays NaN.
    """
    radius = min(math.ceil(5 * std), max(len(values) - 1, 0))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / std) ** 2)
    known = np.isfinite(values)
    inner = slice(radius, radius + len(values))
    sums = np.convolve(np.where(known, values, 0.0), kernel)[inner]
    weights = np.convolve(known.astype(float), kernel)[inner]
    return np.divide(sums, weights, out=np.full(len(values), np.nan), where=known)
