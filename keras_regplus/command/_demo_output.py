"""What the demo prints, and its picture."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_regplus._output import write
from keras_regplus.command._demo_training import (
    BASE,
    MEASUREMENTS,
    METRIC,
    Data,
    Result,
    mean_and_error,
)
from keras_regplus.plots import HistoryPlotter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "draw_curves",
    "print_comparison",
    "print_ending",
    "print_introduction",
    "print_notes",
    "print_table",
    "print_where_to_look",
]

_HEADERS = (
    "para-\nmeters",
    "epochs",
    "best\nepoch",
    "val.\nBCE",
    "\n+/-",
    "val.\nacc.",
    "test\nBCE",
    "test\nacc.",
    "verdict",
    "onset",
)


def print_introduction(data: Data) -> None:
    train, validation, test = (len(y) for _, y in data)
    _print_paragraph("Overfit and underfit: eight networks learn which tumours are benign.")
    _print_paragraph(
        f"The data are scikit-learn's, on breast cancer: {train} patients to train on, "
        f"{validation} to validate, {test} to test. Of the cells the networks see only "
        f"{', '.join(MEASUREMENTS)}; with the other measurements the task is easy. "
        f"Keras runs on {keras.backend.backend()}."
    )


def print_ending(result: Result) -> None:
    """The verdict on one training, below its dots."""
    diagnosis = result.diagnosis
    text = f"{diagnosis.verdict} at epoch {result.history.epoch[-1]}"
    if diagnosis.onset_epoch is not None:
        text += f", since epoch {diagnosis.onset_epoch}"
    print(f"{text}; best epoch {diagnosis.best_epoch}")
    _print_paragraph(diagnosis.reason)


def print_table(results: Sequence[Result]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column("run", no_wrap=True)
    for header in _HEADERS:
        table.add_column(header, justify="right", no_wrap=True)
    for result in results:
        table.add_row(*_cells(result))
    Console(highlight=False).print(table)
    print()


def print_notes(results: Sequence[Result]) -> None:
    """How to read the table, and how far to trust it."""
    validation = max(mean_and_error(result.validation.hits)[1] for result in results)
    test = max(mean_and_error(result.test.hits)[1] for result in results)
    _print_paragraph(
        "BCE is the binary crossentropy, acc. the accuracy, both of the best epoch's weights, "
        "which the detector restored. +/- is one standard error over the rows; that of an "
        f"accuracy is up to {validation:.3f} in validation and {test:.3f} in the test. "
        "Validation chose the best epochs and so flatters; the test rows did not, but the "
        "demo's settings were found by trials on these same data, so they flatter, too. "
        "All this is a single seed, and other backends draw other networks from it: try "
        "more with --seed."
    )


def print_comparison(results: Sequence[Result]) -> None:
    base = next(result for result in results if result.name == BASE)
    print(f"Test BCE against {BASE}, row by row (negative is better, from two errors on):")
    for result in results:
        if result is not base:
            mean, error = mean_and_error(result.test.crossentropy - base.test.crossentropy)
            print(f"  {result.name:15}  {mean:+.3f} +/- {error:.3f}  {_meaning(mean, error)}")


def print_where_to_look(picture: Path, logs: Path, seconds: float) -> None:
    write(
        f"\nDone in {seconds:.0f} s. To look further:\n"
        f"  curves:      {picture}\n"
        f"  TensorBoard: tensorboard --logdir {shlex.quote(str(logs))}"
    )


def draw_curves(results: Sequence[Result], path: Path) -> None:
    """The four sizes on the left, the largest and its regularized runs on the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), layout="constrained")
    plotter = HistoryPlotter(METRIC)
    base = [result.name for result in results].index(BASE)
    panels = {
        "Sizes": results[: base + 1],
        f"{BASE}, regularized (dropout is on in training)": results[base:],
    }
    for ax, (title, shown) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        plotter.plot({result.name: result.history for result in shown}, ax=ax, mark_best=True)
        _use_log_scale(ax, last_epoch=max(result.history.epoch[-1] for result in shown))
        _fit_height(ax, shown)
        ax.get_legend().remove()
        ax.set_title(title)
        ax.set_ylabel("")
    figure.axes[0].set_ylabel("Binary crossentropy")
    _add_legend(figure, plotter.color_table)
    figure.savefig(path, dpi=120)


def _print_paragraph(text: str) -> None:
    write(textwrap.fill(text, width=79), end="\n\n")


def _cells(result: Result) -> list[str]:
    diagnosis = result.diagnosis
    crossentropy, error = mean_and_error(result.validation.crossentropy)
    return [
        # Under its base line a run is what was added to it.
        result.name.removeprefix(f"{BASE} "),
        f"{result.parameters:,}",
        str(len(result.history.epoch)),
        str(diagnosis.best_epoch),
        f"{crossentropy:.3f}",
        f"{error:.3f}",
        f"{result.validation.hits.mean():.3f}",
        f"{result.test.crossentropy.mean():.3f}",
        f"{result.test.hits.mean():.3f}",
        diagnosis.verdict,
        "-" if diagnosis.onset_epoch is None else str(diagnosis.onset_epoch),
    ]


def _meaning(mean: float, error: float) -> str:
    if abs(mean) <= 2 * error:
        return "no clear difference"
    return "better" if mean < 0 else "worse"


def _use_log_scale(ax: Axes, last_epoch: int) -> None:
    from matplotlib.ticker import LogLocator

    # Large is done when Tiny has hardly begun, so epochs count by their ratios.
    ax.set_xscale("log")
    ax.set_xlim(1, max(1.1 * last_epoch, 2))
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("Epochs (log scale)")


def _fit_height(ax: Axes, shown: Sequence[Result]) -> None:
    """Let the usual curves fill the panel; its label says which ones leave it, and how far."""
    values = {result.name: _drawn_values(result) for result in shown}
    tops = {name: max(drawn) for name, drawn in values.items() if drawn}
    if not tops:
        return
    lowest = min(min(drawn) for drawn in values.values() if drawn)
    # The middle curve fills half of the panel at least, however high the others go.
    limit = lowest + 2 * (float(np.median(list(tops.values()))) - lowest)
    highest = min(limit, max(tops.values()))
    margin = 0.05 * (highest - lowest) or 0.05
    ax.set_ylim(lowest - margin, highest + margin)
    leaving = [f"{name} (to {top:.3g})" for name, top in tops.items() if top > highest]
    if leaving:
        ax.set_xlabel(f"{ax.get_xlabel()}. Above the panel: {', '.join(leaving)}")


def _drawn_values(result: Result) -> list[float]:
    """The values of both curves from epoch 1 on, where the log scale begins."""
    history = result.history.history
    both = [*history[METRIC][1:], *history[f"val_{METRIC}"][1:]]
    return [value for value in both if np.isfinite(value)]


def _add_legend(figure: Figure, colors: Mapping[str, str]) -> None:
    """One legend of colours and styles for both panels, below them, where no curve is."""
    from matplotlib.lines import Line2D

    styles = {
        "training": {},
        "validation": {"linestyle": "--"},
        "best epoch": {"linestyle": "", "marker": "o"},
    }
    handles = [Line2D([], [], color=color, linewidth=3, label=n) for n, color in colors.items()]
    handles += [Line2D([], [], color="0.3", label=name, **style) for name, style in styles.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize="small")
