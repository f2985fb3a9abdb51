"""Schedules as pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_regplus._checks import count, error_text
from keras_regplus.plots._drawing import COLORS, pyplot
from keras_regplus.schedules import ScheduleLike
from keras_regplus.schedules.evaluation import values_at
from keras_regplus.schedules.serialization import checked_part
from keras_regplus.schedules.units import common_unit, end_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_schedule"]

_OWNER = "plot_schedule"

# More points than this no picture shows.
_MOST_POINTS = 10_000


def plot_schedule(
    schedules: ScheduleLike | Mapping[Any, ScheduleLike],
    length: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one schedule, or several to compare, before any training.

    Use it to see that a schedule does what you mean, and how it fits the length of a
    training. Each factor is drawn for as long as it holds, so the lines have steps.

    Args:
        schedules: A schedule, or a dict of name to schedule. All that
            `schedules.get` takes, functions too.
        length: Steps or epochs to draw, a whole number of at least 1. Defaults to
            None: a little further than the last schedule ends.
        ax: The matplotlib Axes to draw on. Defaults to pyplot's current one; where it
            is given, pyplot is not touched.

    Returns:
        The Axes.

    Raises:
        ImportError: If matplotlib is not installed and no `ax` is given.
        TypeError: If `schedules` is not a schedule or a dict of them, or `length` is not a
            number.
        ValueError: If `schedules` is empty or its units differ, `length` is not a whole
            number of at least 1, or it is None and no schedule has an end.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from keras_regplus import schedules
        >>> from keras_regplus.plots import plot_schedule
        >>> shapes = {"warmup": schedules.LinearWarmup(100), "cosine": schedules.Cosine(200)}
        >>> ax = plot_schedule(shapes, ax=Figure().add_subplot())
        >>> ax.get_xlabel(), [line.get_label() for line in ax.lines]
        ('Steps', ['warmup', 'cosine'])
    """
    drawn = _checked_schedules(schedules)
    advice = "Draw steps and epochs on two Axes."
    unit = common_unit(_OWNER, "schedules", drawn.values(), advice) or "step"
    times = _times(_checked_length(length, drawn))
    ax = pyplot().gca() if ax is None else ax
    for (name, schedule), color in zip(drawn.items(), COLORS * len(drawn), strict=False):
        # A factor holds until the next time, the last one too.
        ends = np.append(times, times[-1] + 1)
        factors = values_at(schedule, times)
        factors = np.append(factors, factors[-1])
        ax.plot(ends, factors, drawstyle="steps-post", color=color, label=str(name))
    ax.set_xlabel(f"{unit.capitalize()}s")
    ax.set_ylabel("Factor")
    ax.set_xlim(0, times[-1] + 1)
    ax.grid(True)
    if list(drawn) != [""]:
        ax.legend()
    return ax


def _checked_schedules(schedules: Any) -> dict[Any, Any]:
    """Schedules by name, which is empty for a single one."""
    owner, name = _OWNER, "schedules"
    # A config is a dictionary too.
    if not isinstance(schedules, Mapping) or "class_name" in schedules:
        return {"": checked_part(owner, name, schedules, "a dict of name to schedule, ")}
    if not schedules:
        advice = 'Pass for example {"warmup": LinearWarmup(1000)}.'
        raise ValueError(error_text(owner, name, "at least one schedule", schedules, advice))
    return {key: checked_part(owner, name, schedule) for key, schedule in schedules.items()}


def _checked_length(length: Any, drawn: Mapping[Any, Any]) -> int:
    advice = "Use a number of steps or epochs."
    if length is not None:
        return count(_OWNER, "length", length, advice=advice)
    ends = [end for end in map(end_of, drawn.values()) if end]
    if not ends:
        rule = "a whole number where no schedule has an end"
        raise ValueError(error_text(_OWNER, "length", rule, None, advice))
    return math.ceil(1.1 * max(ends))


def _times(length: int) -> np.ndarray:
    points = np.linspace(0, length - 1, min(length, _MOST_POINTS))
    return np.unique(points.round().astype("int64"))
