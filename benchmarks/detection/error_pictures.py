"""Small multiples of runs, with the outcome of a criterion on each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from PIL import Image

from benchmarks.detection.criteria import Outcome
from benchmarks.detection.labelled import Run
from benchmarks.detection.scores import kept

VALIDATION, TRAINING, STOP, BEST = "#0072B2", "#7F7F7F", "#D55E00", "#009E73"
_COLUMNS = 4
_COLORS = 64
# The first epochs fall from so high that a turn could not be seen beside them.
_SETTLED = 0.15


def draw_errors(
    runs: Sequence[Run], outcomes: Sequence[Outcome], source: Path, folder: Path
) -> str:
    """Draw wrong verdicts about overfitting and harmful stops; say what they are and where."""
    pairs = zip(runs, outcomes, strict=True)
    wrong = [pair for pair in pairs if is_wrong(*pair)]
    if not wrong:
        return f"Nothing is wrong in {source.name}."
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"diagnosis-errors-{source.name.partition('.')[0]}.png"
    figure, axes = small_multiples(len(wrong))
    for ax, pair in zip(axes, wrong, strict=False):
        draw_run(ax, *pair)
    finish(figure, path, run_legend())
    return "\n".join([*(caption(*pair).replace("\n", ", ") for pair in wrong), str(path)])


def is_wrong(run: Run, outcome: Outcome) -> bool:
    return outcome.overfits != run.overfits or not kept(run.val, outcome.stop)


def caption(run: Run, outcome: Outcome) -> str:
    sure = "" if outcome.confidence is None else f" ({outcome.confidence:.2f})"
    harm = "" if kept(run.val, outcome.stop) else ", harmful stop"
    return f"{run.id} is {run.label}\nsaid {outcome.verdict}{sure}{harm}"


def draw_run(ax: Any, run: Run, outcome: Outcome) -> None:
    """Both curves, the best epoch and the stop; training has a scale of its own."""
    own_scale = ax.twinx()
    own_scale.plot(run.train, color=TRAINING, linewidth=0.8)
    own_scale.set_ylim(*shown_range(run.train, None))
    own_scale.set_yticks([])
    own_scale.set_frame_on(False)
    ax.set_zorder(own_scale.get_zorder() + 1)
    ax.patch.set_visible(False)
    ax.plot(run.val, color=VALIDATION, linewidth=0.9)
    if np.isfinite(run.val).any():
        best = int(np.nanargmin(run.val))
        ax.plot(best, run.val[best], "o", color=BEST, markersize=5)
    if outcome.stop is not None:
        ax.axvline(outcome.stop, color=STOP, linestyle="--", linewidth=1)
    ax.set_ylim(*shown_range(run.val, outcome.stop))
    ax.set_title(caption(run, outcome), fontsize=8)


def shown_range(values: np.ndarray, stop: int | None) -> tuple[float, float]:
    """From the lowest value to nearly the highest after the first fall, and to that at a stop."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    low, high = finite.min(), np.quantile(finite[int(_SETTLED * len(finite)) :], 0.98)
    if stop is not None and np.isfinite(values[stop]):
        high = max(high, values[stop])
    margin = 0.1 * (high - low) or 0.1 * abs(low) or 0.1
    return float(low - margin), float(high + margin)


def small_multiples(count: int, columns: int = _COLUMNS) -> tuple[Any, Sequence[Any]]:
    """A figure, and its axes row by row; places that are not needed stay empty."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    size = (2.9 * columns, 2.1 * rows + 0.4)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, dpi=80)
    for ax in axes.flat:
        ax.tick_params(labelsize=7)
        ax.spines[["top", "right"]].set_visible(False)
    for ax in axes.flat[count:]:
        ax.set_axis_off()
    return figure, list(axes.flat)


def finish(figure: Any, path: Path, handles: Sequence[Any]) -> None:
    """Add the legend below and write the file."""
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), fontsize=8)
    figure.tight_layout(rect=(0, 0.3 / figure.get_figheight(), 1, 1))
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    plt.close(figure)
    # A page loads a picture of few colours three times as fast.
    few = Image.fromarray(pixels).quantize(
        _COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    )
    few.save(path, optimize=True)


def run_legend() -> list[Line2D]:
    return [
        Line2D([], [], color=VALIDATION, label="validation loss"),
        Line2D([], [], color=TRAINING, label="training loss, on a scale of its own"),
        Line2D([], [], color=BEST, marker="o", linestyle="", label="best epoch"),
        Line2D([], [], color=STOP, linestyle="--", label="should_stop"),
    ]
