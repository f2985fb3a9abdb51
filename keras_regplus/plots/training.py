"""One training as a picture: its curves, and their diagnosis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_regplus._checks import error_text
from keras_regplus._output import counted
from keras_regplus.diagnosis import Diagnosis
from keras_regplus.diagnosis.report import is_best_after_onset
from keras_regplus.histories.epochs import History
from keras_regplus.histories.history_like import HistoryLike
from keras_regplus.histories.metric_choice import loss_to_judge
from keras_regplus.plots._drawing import COLORS, finish, pyplot, title_of
from keras_regplus.plots._groups import Group, draw_curves
from keras_regplus.plots._lines import checked_history, diagnose_runs, metrics_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_diagnosis", "plot_history"]

# Keys that belong to the loss, and keys that are settings and no measurements.
_LOSS_KEYS = ("loss", "data_loss", "penalty")
_SETTINGS = ("learning_rate", "lr", "overfitting_score")


def plot_history(history: HistoryLike) -> Figure:
    """Draw one training: its losses on the left, its other metrics on the right.

    Use it as a first look after `fit`. The title says whether the training
    overfits and since when, judged on `data_loss` where `RegularizationScheduler`
    logged it in every epoch, else on `loss`.

    Args:
        history: A `keras.callbacks.History`; a dict of lists such as
            `history.history`, or a DataFrame; or a path, which
            `diagnosis.read_history` reads.

    Returns:
        The matplotlib Figure.

    Raises:
        ImportError: If matplotlib is not installed.
        OSError: If `history` is a path that cannot be opened.
        TypeError: If `history` is none of these.
        ValueError: If `history` has no `loss`, or no epochs.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("Agg")
        >>> from keras_regplus.plots import plot_history
        >>> curves = {"loss": [0.80, 0.30, 0.10], "val_loss": [0.70, 1.82, 2.45]}
        >>> figure = plot_history(curves)
        >>> figure.get_suptitle()
        'Overfitting since epoch 1, best epoch 0'
        >>> matplotlib.pyplot.close(figure)
    """
    curves = checked_history("plot_history", "history", history)
    if "loss" not in curves:
        advice = "Pass what `fit` returned, after at least one epoch."
        rule = "a history with a loss"
        raise ValueError(error_text("plot_history", "history", rule, metrics_of(curves), advice))
    panels = [keys for keys in _panels(curves) if keys]
    figure, axes = pyplot().subplots(
        1, len(panels), figsize=(5.5 * len(panels), 4), layout="constrained", squeeze=False
    )
    for ax, keys in zip(axes[0], panels, strict=True):
        for key, color in zip(keys, COLORS * len(keys), strict=False):
            draw_curves(ax, Group(key, [curves], color), key)
        finish(ax, title_of(keys[0]) if len(keys) == 1 else "", len(curves["loss"]) - 1)
    axes[0][0].set_ylabel("Loss")
    figure.suptitle(_title(curves))
    return figure


def plot_diagnosis(
    train: Sequence[float | None],
    val: Sequence[float | None],
    diagnosis: Diagnosis,
    *,
    epochs: Sequence[int] | None = None,
    stopped_epoch: int | None = None,
    metric: str = "loss",
    ax: Axes | None = None,
) -> Axes:
    """Draw one metric of one training, and what a diagnosis says of it.

    Use it to see why a training was stopped, or is called overfitting: the best
    epoch is a point, and the stretch of overfitting is shaded.

    Args:
        train: Training values. None where there is none.
        val: Validation values for the same epochs.
        diagnosis: What `diagnose` or a criterion returns for them.
        epochs: The epochs of the values, numbered as in the diagnosis. Defaults to
            None: 0, 1, 2 and so on.
        stopped_epoch: The epoch after which the training was stopped. Defaults to
            None: it was not.
        metric: Name of the metric. Defaults to `"loss"`.
        ax: The matplotlib Axes to draw on. Defaults to pyplot's current one; where it
            is given, pyplot is not touched.

    Returns:
        The Axes.

    Raises:
        ImportError: If matplotlib is not installed and no `ax` is given.
        TypeError: If `diagnosis` is not a `Diagnosis`.
        ValueError: If `train` is empty, or `val` or `epochs` is not as long.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from keras_regplus.diagnosis import diagnose
        >>> from keras_regplus.plots import plot_diagnosis
        >>> train, val = [0.80, 0.30, 0.10], [0.70, 1.82, 2.45]
        >>> ax = plot_diagnosis(train, val, diagnose(train, val), ax=Figure().add_subplot())
        >>> ax.get_title()
        'Overfitting since epoch 1, best epoch 0'
    """
    numbers = _checked_epochs(train, val, epochs)
    if not isinstance(diagnosis, Diagnosis):
        advice = "Pass what `diagnose` returns."
        raise TypeError(error_text("plot_diagnosis", "diagnosis", "a Diagnosis", diagnosis, advice))
    ax = pyplot().gca() if ax is None else ax
    for values, label, style in ((train, "Training", "-"), (val, "Validation", "--")):
        ax.plot(*_known(numbers, values), style, color=COLORS[0], label=label)
    if diagnosis.best_epoch is not None:
        point = diagnosis.best_epoch, diagnosis.best_value
        label = "Best single value" if is_best_after_onset(diagnosis) else "Best epoch"
        ax.plot(*point, "o", color=COLORS[0], markersize=8, label=label)
    if diagnosis.onset_epoch is not None:
        ax.axvline(diagnosis.onset_epoch, color=COLORS[1], linestyle=":")
        stretch = diagnosis.onset_epoch, numbers[-1]
        ax.axvspan(*stretch, color=COLORS[1], alpha=0.15, linewidth=0, label="Overfitting")
    if stopped_epoch is not None:
        ax.axvline(stopped_epoch, color="0.5", linestyle="-.", linewidth=2, label="Stopped")
    finish(ax, title_of(metric), numbers[-1])
    ax.set_title(_sentence(diagnosis))
    return ax


def _panels(curves: History) -> tuple[list[str], list[str]]:
    losses = [key for key in _LOSS_KEYS if key in curves]
    others = [
        key for key in metrics_of(curves) if key not in (*_LOSS_KEYS, *_SETTINGS) and "/" not in key
    ]
    return losses, others


def _title(curves: History) -> str:
    key = loss_to_judge(curves)
    if f"val_{key}" not in curves:
        return "No validation data, no verdict"
    return _sentence(diagnose_runs([curves], key))


def _sentence(diagnosis: Diagnosis) -> str:
    text = diagnosis.verdict.capitalize()
    if diagnosis.onset_epoch is not None:
        text += f" since epoch {diagnosis.onset_epoch}"
    if diagnosis.best_epoch is not None:
        what = "best single value at epoch" if is_best_after_onset(diagnosis) else "best epoch"
        text += f", {what} {diagnosis.best_epoch}"
    return text


def _checked_epochs(train: Any, val: Any, epochs: Any) -> Sequence[int]:
    numbers = range(len(train)) if epochs is None else epochs
    owner, advice = "plot_diagnosis", "Put None where an epoch has no value."
    if not len(train):
        rule = "at least one value"
        raise ValueError(error_text(owner, "train", rule, train, advice))
    for name, values in (("val", val), ("epochs", numbers)):
        if len(values) != len(train):
            rule = f"as long as `train` ({counted(len(train), 'epoch')})"
            got = counted(len(values), "epoch")
            raise ValueError(error_text(owner, name, rule, got, advice))
    return numbers


def _known(epochs: Sequence[int], values: Sequence[float | None]) -> tuple[Any, Any]:
    """The epochs that have finite values, and these."""
    numbers = np.array(values, dtype=float)
    known = np.isfinite(numbers)
    return np.asarray(epochs)[known], numbers[known]
