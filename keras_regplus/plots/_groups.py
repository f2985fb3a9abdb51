"""The runs that have a name and a colour in common, and their curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keras_regplus.histories.epochs import History
from keras_regplus.plots._lines import Line, line_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Group", "draw_curves"]


@dataclass(frozen=True)
class Group:
    """One run, or several that are drawn as their mean."""

    name: str
    runs: list[History]
    color: str
    marker: str | None = None

    @property
    def last_epoch(self) -> int:
        """The last one that all runs have; the curves of one run are equally long."""
        return min(len(next(iter(run.values()))) for run in self.runs) - 1

    @property
    def note(self) -> str:
        """What a label says of more than one run."""
        return f" (mean of {len(self.runs)})" if len(self.runs) > 1 else ""

    def has(self, key: str) -> bool:
        return all(key in run for run in self.runs)


def draw_curves(ax: Axes, group: Group, metric: str, std: float | None = None) -> None:
    """Training solid, validation dashed."""
    style: dict[str, Any] = {"color": group.color}
    if group.marker:
        # Parts of the picture's width, so that lines of any length have some.
        style |= {"marker": group.marker, "markevery": 0.1, "markersize": 5}
    train, val = f"{group.name} Train{group.note}", f"{group.name} Val{group.note}"
    _draw_line(ax, line_of(group.runs, metric, std), label=train, **style)
    if group.has(f"val_{metric}"):
        line = line_of(group.runs, f"val_{metric}", std)
        _draw_line(ax, line, label=val, linestyle="--", **style)


def _draw_line(ax: Axes, line: Line, **style: Any) -> None:
    ax.plot(line.epochs, line.values, **style)
    if line.deviation is not None:
        low, high = line.values - line.deviation, line.values + line.deviation
        ax.fill_between(line.epochs, low, high, color=style["color"], alpha=0.2, linewidth=0)
