"""Strengths and rates on an axis of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from keras_regplus._checks import error_text
from keras_regplus.histories.epochs import History
from keras_regplus.plots._drawing import title_of
from keras_regplus.plots._groups import Group
from keras_regplus.plots._lines import Line, line_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["checked_scheduled", "draw_strengths"]


def checked_scheduled(scheduled: str | None, groups: Iterable[list[History]]) -> str | None:
    """The beginning of the keys to draw, which some history must have."""
    if scheduled is None:
        return None
    owner, name = "HistoryPlotter", "scheduled"
    if not isinstance(scheduled, str):
        advice = "Use 'strength' or 'rate'."
        raise TypeError(error_text(owner, name, "a text or None", scheduled, advice))
    if not any(_keys(runs, scheduled) for runs in groups):
        rule = "the beginning of a key that a history has"
        advice = "Train with callbacks.RegularizationScheduler(), which logs them."
        raise ValueError(error_text(owner, name, rule, scheduled, advice))
    return scheduled


def draw_strengths(ax: Axes, groups: Sequence[Group], scheduled: str) -> Axes:
    """Draw them dotted on a second axis, below the curves, and return that."""
    second = ax.twinx()
    for group in groups:
        _draw_group(second, group, scheduled)
    second.set_ylabel(title_of(scheduled.partition("/")[0]), parse_math=False)
    second.grid(False)
    second.set_ylim(bottom=0)
    # The curves matter more; so the background becomes that of the lower Axes.
    ax.set_zorder(second.get_zorder() + 1)
    ax.patch.set_visible(False)
    second.patch.set_visible(True)
    # What is drawn next belongs on the first axis.
    ax.figure.sca(ax)
    return second


def _draw_group(ax: Axes, group: Group, scheduled: str) -> None:
    # Mostly all layers follow one schedule.
    different: dict[bytes, tuple[str, Line]] = {}
    for key in _keys(group.runs, scheduled):
        line = line_of(group.runs, key)
        different.setdefault(line.values.tobytes(), (key, line))
    for key, line in different.values():
        kind = title_of(scheduled.partition("/")[0]) if len(different) == 1 else key
        label = f"{group.name} {kind}{group.note}"
        ax.plot(line.epochs, line.values, linestyle=":", color=group.color, label=label)


def _keys(runs: Sequence[History], scheduled: str) -> list[str]:
    """Keys that all runs have, which begin with whole parts of a path."""
    beginning = scheduled.rstrip("/") + "/"
    shared = [key for key in runs[0] if all(key in run for run in runs)]
    return [key for key in shared if f"{key}/".startswith(beginning)]
