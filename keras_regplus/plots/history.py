"""Learning curves as pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_regplus._checks import boolean, complain, finite_number, one_of
from keras_regplus.diagnosis import diagnose
from keras_regplus.diagnosis._names import direction_of_name
from keras_regplus.plots._drawing import COLORS, pyplot

__all__ = ["HistoryPlotter", "plot_history"]

# Keys that belong to the loss, and keys that are settings and no measurements.
_LOSS_KEYS = ("loss", "data_loss", "penalty")
_SETTINGS = ("learning_rate", "lr", "overfitting_score")


class HistoryPlotter:
    """Draws one metric of several trainings: training solid, validation dashed.

    Use it to compare runs. A name keeps its colour over all calls, so that
    several pictures can be read together; the colours are chosen for
    colour-blind readers. For a single training `plot_history` is shorter.

    Args:
        metric: What to draw when `plot` is not told, as in `history.history`,
            without `val_`. Defaults to None.
        smoothing_std: Standard deviation, in epochs, of the Gaussian that
            smooths the curves, at least 0. Defaults to None: as they are.

    Raises:
        TypeError: `metric` is no text, or `smoothing_std` no number.
        ValueError: `smoothing_std` is negative or not finite.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from keras_regplus.plots import HistoryPlotter
        >>> runs = {
        ...     "small": {"loss": [0.9, 0.7, 0.6], "val_loss": [1.0, 0.8, 0.7]},
        ...     "large": {"loss": [0.8, 0.3, 0.1], "val_loss": [0.9, 0.8, 1.3]},
        ... }
        >>> ax = HistoryPlotter("loss").plot(runs, ax=Figure().add_subplot(), mark_best=True)
        >>> [line.get_label() for line in ax.lines]
        ['Small Train', 'Small Val', 'Large Train', 'Large Val']

    References:
        - `tensorflow_docs.plots.HistoryPlotter`, of the tutorial
          [Overfit and underfit](https://www.tensorflow.org/tutorials/keras/overfit_and_underfit).
          There the Gaussian's width does not follow `smoothing_std`; here it does.
        - Okabe and Ito, [Color Universal Design](https://jfly.uni-koeln.de/color/) (2008).
    """

    def __init__(self, metric: str | None = None, smoothing_std: float | None = None):
        self.metric = _checked_metric(metric)
        self.smoothing_std = _checked_std(smoothing_std)
        self.color_table: dict[Any, str] = {}

    def plot(
        self,
        histories: Mapping[Any, Any],
        metric: str | None = None,
        smoothing_std: float | None = None,
        ax: Any = None,
        *,
        mark_best: bool = False,
        mode: str = "auto",
    ) -> Any:
        """Draw the histories and return the Axes.

        Args:
            histories: Dict of name to history: a `keras.callbacks.History`, or
                a dict of lists such as `history.history`. Runs without
                validation are drawn without it.
            metric: What to draw. Defaults to the plotter's own.
            smoothing_std: In epochs. Defaults to the plotter's own.
            ax: The matplotlib Axes to draw on. Defaults to pyplot's current
                one; where it is given, pyplot is not touched.
            mark_best: Put a point at the best epoch of each validation curve
                (before smoothing). Defaults to False.
            mode: `"min"` or `"max"`, what best means; `"auto"` tells by the
                metric's name, and takes one that says nothing for a loss.
                Defaults to `"auto"`.

        Returns:
            The Axes.

        Raises:
            ImportError: matplotlib is not installed and no `ax` is given.
            TypeError: An argument has the wrong type.
            ValueError: There is nothing to draw, a history lacks the metric,
                or a number or word is not allowed.
        """
        runs = _checked_histories(histories)
        metric = self._metric(metric, runs)
        std = self.smoothing_std if smoothing_std is None else _checked_std(smoothing_std)
        advice = "Use True to put a point at the best epoch."
        marked = boolean("HistoryPlotter", "mark_best", mark_best, advice=advice)
        mode = _checked_mode(mode, metric)
        ax = pyplot().gca() if ax is None else ax
        for name, run in runs.items():
            best = mode if marked else None
            _draw(ax, run, metric, std, color=self._color(name), label=str(name).title(), best=best)
        _label(ax, metric, last_epoch=max(run.last_epoch for run in runs.values()))
        return ax

    def _metric(self, metric: str | None, runs: dict[Any, _Run]) -> str:
        metric = self.metric if metric is None else _checked_metric(metric)
        for name, run in runs.items():
            if metric not in run.values:
                known = ", ".join(run.metrics()) or "nothing"
                advice = f"The history of {name!r} has: {known}."
                rule = "a metric that every history has"
                raise ValueError(complain("HistoryPlotter", "metric", rule, metric, advice))
        return metric

    def _color(self, name: Any) -> str:
        free = COLORS[len(self.color_table) % len(COLORS)]
        return self.color_table.setdefault(name, free)


def plot_history(history: Any) -> Any:
    """Draw one training: its losses on the left, its other metrics on the right.

    Use it as a first look after `fit`. The title says whether the training
    overfits and since when, judged on `data_loss` where `RegularizationScheduler`
    logged it, else on `loss`.

    Args:
        history: A `keras.callbacks.History`, or a dict of lists such as
            `history.history`.

    Returns:
        The matplotlib Figure.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `history` is neither.
        ValueError: `history` has no `loss`, or no epochs.

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
    run = _Run.of("plot_history", "history", history)
    if not len(run.values.get("loss", ())):
        advice = "Pass what `fit` returned, after at least one epoch."
        rule = "a history with a loss"
        raise ValueError(complain("plot_history", "history", rule, run.metrics(), advice))
    panels = [keys for keys in _panels(run) if keys]
    figure, axes = pyplot().subplots(
        1, len(panels), figsize=(5.5 * len(panels), 4), layout="constrained", squeeze=False
    )
    for ax, keys in zip(axes[0], panels, strict=True):
        for key, color in zip(keys, COLORS * len(keys), strict=False):
            _draw(ax, run, key, None, color=color, label=key, best=None)
        _label(ax, keys[0] if len(keys) == 1 else "", last_epoch=run.last_epoch)
    axes[0][0].set_ylabel("Loss")
    figure.suptitle(_verdict(run))
    return figure


@dataclass(frozen=True)
class _Run:
    """The values of a history, with the epochs that they belong to."""

    epochs: np.ndarray
    values: dict[str, np.ndarray]

    @classmethod
    def of(cls, owner: str, argument: str, history: Any) -> _Run:
        values = getattr(history, "history", history)
        if not isinstance(values, Mapping):
            rule = "a History or a dict of lists"
            advice = "Pass what `fit` returned, or its `history`."
            raise TypeError(complain(owner, argument, rule, history, advice))
        found = {str(key): _curve(value) for key, value in values.items()}
        curves = {key: curve for key, curve in found.items() if curve is not None}
        longest = max((len(curve) for curve in curves.values()), default=0)
        epochs = getattr(history, "epoch", range(longest))
        return cls(np.asarray(epochs, dtype=float), curves)

    @property
    def last_epoch(self) -> float:
        return float(self.epochs[-1]) if len(self.epochs) else 0.0

    def metrics(self) -> list[str]:
        return [key for key in self.values if not key.startswith("val_")]

    def spacing(self, key: str) -> int:
        """Epochs from one value to the next: with `validation_freq` there is not one each."""
        return max(1, len(self.epochs) // max(1, len(self.values[key])))

    def epochs_of(self, key: str) -> np.ndarray:
        spacing, length = self.spacing(key), len(self.values[key])
        return self.epochs[spacing - 1 :: spacing][:length]


def _curve(values: Any) -> np.ndarray | None:
    """One number an epoch, or None where a history holds anything else."""
    try:
        curve = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        return None
    return curve if curve.ndim == 1 else None


def _draw(
    ax: Any, run: _Run, metric: str, std: float | None, *, color: str, label: str, best: str | None
) -> None:
    _draw_line(ax, run, metric, std, color=color, label=f"{label} Train")
    twin = f"val_{metric}"
    if twin in run.values:
        marks = _marks(run.values[twin], best) if best else {}
        _draw_line(ax, run, twin, std, color=color, label=f"{label} Val", linestyle="--", **marks)


def _draw_line(ax: Any, run: _Run, key: str, std: float | None, **style: Any) -> None:
    values = run.values[key]
    if std:
        values = _smoothed(values, std / run.spacing(key))
    ax.plot(run.epochs_of(key), values, **style)


def _marks(values: np.ndarray, mode: str) -> dict[str, Any]:
    if not np.isfinite(values).any():
        return {}
    best = np.nanargmin(values) if mode == "min" else np.nanargmax(values)
    return {"marker": "o", "markevery": [int(best)]}


def _smoothed(values: np.ndarray, std: float) -> np.ndarray:
    """Weighted means with Gaussian weights, over the neighbours that there are.

    At the ends and beside non-finite values the weights of what is missing are
    left out, so a constant curve stays constant. Non-finite values become gaps.
    """
    radius = min(math.ceil(5 * std), max(len(values) - 1, 0))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / std) ** 2)
    known = np.isfinite(values)
    inner = slice(radius, radius + len(values))
    sums = np.convolve(np.where(known, values, 0.0), kernel)[inner]
    weights = np.convolve(known.astype(float), kernel)[inner]
    return np.divide(sums, weights, out=np.full(len(values), np.nan), where=known)


def _label(ax: Any, metric: str, last_epoch: float) -> None:
    ax.set_xlabel("Epochs")
    ax.set_ylabel(metric.replace("_", " ").title())
    # A single epoch has no width of its own.
    ax.set_xlim(0, max(last_epoch, 1.0))
    ax.grid(True)
    ax.legend()


def _panels(run: _Run) -> tuple[list[str], list[str]]:
    losses = [key for key in _LOSS_KEYS if key in run.values]
    others = [
        key for key in run.metrics() if key not in (*_LOSS_KEYS, *_SETTINGS) and "/" not in key
    ]
    return losses, others


def _verdict(run: _Run) -> str:
    key = "data_loss" if "val_data_loss" in run.values else "loss"
    if f"val_{key}" not in run.values:
        return "No validation data, no verdict"
    result = diagnose(*_paired(run, key))
    text = result.verdict.capitalize()
    if result.onset_epoch is not None:
        text += f" since epoch {run.epochs[result.onset_epoch]:.0f}"
    if result.best_epoch is not None:
        text += f", best epoch {run.epochs[result.best_epoch]:.0f}"
    return text


def _paired(run: _Run, key: str) -> tuple[list[float], list[float | None]]:
    """Both curves with a value for each epoch, None where there was no validation."""
    known = dict(zip(run.epochs_of(f"val_{key}"), run.values[f"val_{key}"], strict=False))
    return list(run.values[key]), [known.get(epoch) for epoch in run.epochs]


def _checked_histories(histories: Any) -> dict[Any, _Run]:
    owner, name = "HistoryPlotter", "histories"
    rule = "a dict of name to history"
    advice = 'Pass for example {"large": history}.'
    if not isinstance(histories, Mapping):
        raise TypeError(complain(owner, name, rule, histories, advice))
    if not histories:
        raise ValueError(complain(owner, name, rule, histories, advice))
    return {key: _Run.of(owner, name, history) for key, history in histories.items()}


def _checked_metric(metric: Any) -> Any:
    if metric is None or isinstance(metric, str):
        return metric
    advice = "Use a key of `history.history` such as 'loss'."
    raise TypeError(complain("HistoryPlotter", "metric", "a text", metric, advice))


def _checked_std(std: Any) -> float | None:
    if std is None:
        return None
    advice = "Use some epochs such as 10, or None for the curves as they are."
    return finite_number("HistoryPlotter", "smoothing_std", std, minimum=0.0, advice=advice)


def _checked_mode(mode: str, metric: str) -> str:
    advice = "Use 'min' for losses and 'max' for accuracies."
    one_of("HistoryPlotter", "mode", mode, ("auto", "min", "max"), advice=advice)
    if mode != "auto":
        return mode
    return "max" if direction_of_name(metric) == "max" else "min"
