"""What is marked on curves: the best epoch, and the stretch of overfitting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from keras_regplus.diagnosis.report import is_best_after_onset
from keras_regplus.plots._groups import Group
from keras_regplus.plots._lines import diagnose_runs, line_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Marks"]


@dataclass(frozen=True)
class Marks:
    """Which of them are wanted, and what best means."""

    best: bool
    onset: bool
    mode: Literal["min", "max"]

    def draw(self, ax: Axes, group: Group, metric: str, std: float | None) -> None:
        """Mark a group that has validation."""
        if not group.has(f"val_{metric}"):
            return
        if self.best:
            self._draw_best(ax, group, metric, std)
        if self.onset:
            self._draw_onset(ax, group, metric, std)

    def _draw_best(self, ax: Axes, group: Group, metric: str, std: float | None) -> None:
        measured = line_of(group.runs, f"val_{metric}").values
        if not len(measured):
            return
        best = np.argmin(measured) if self.mode == "min" else np.argmax(measured)
        drawn = line_of(group.runs, f"val_{metric}", std)
        point = drawn.epochs[best], drawn.values[best]
        ax.plot(*point, "o", color=group.color, markersize=8, zorder=3)

    def _draw_onset(self, ax: Axes, group: Group, metric: str, std: float | None) -> None:
        diagnosis = diagnose_runs(group.runs, metric, self.mode)
        if diagnosis.onset_epoch is None:
            return
        line = line_of(group.runs, f"val_{metric}", std)
        stretch = line.epochs >= diagnosis.onset_epoch
        which = " of the smoothed curve" if is_best_after_onset(diagnosis) else ""
        label = f"{group.name} Overfitting{which}{group.note}"
        # As with a text marker: with several runs, shade of full height would overlap.
        style = {"color": group.color, "alpha": 0.3, "linewidth": 9, "solid_capstyle": "butt"}
        ax.plot(line.epochs[stretch], line.values[stretch], label=label, **style)
