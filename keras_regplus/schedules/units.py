"""The unit that a schedule counts in, and when it ends in that unit."""

from __future__ import annotations

import typing
from collections.abc import Iterable
from typing import Any, Literal

from keras_regplus._checks import error_text, one_of

__all__ = ["Unit", "check_unit", "common_unit", "end_of", "unit_of"]

Unit = Literal["step", "epoch"]
"""What time is counted in: `"step"`, optimizer updates finished, or `"epoch"`, epochs finished."""


def check_unit(owner: str, unit: str) -> Unit:
    """Return `unit`, or raise if it is neither `"step"` nor `"epoch"`."""
    advice = 'Use "step" to count optimizer updates or "epoch" to count epochs.'
    return one_of(owner, "unit", unit, typing.get_args(Unit), advice=advice)


def unit_of(schedule: Any) -> Unit | None:
    """What `schedule` counts; functions and Keras's learning-rate schedules count steps."""
    return getattr(schedule, "unit", "step")


def common_unit(owner: str, argument: str, parts: Iterable[Any], advice: str) -> Unit | None:
    """The one unit of all parts; those that do not depend on time have none and go with any."""
    units = sorted({unit for unit in map(unit_of, parts) if unit is not None})
    if len(units) > 1:
        rule = "schedules of one unit"
        raise ValueError(error_text(owner, argument, rule, " and ".join(units), advice))
    return units[0] if units else None


def end_of(schedule: Any) -> int | None:
    """When `schedule` ends: 0 if it does not depend on time, None if that is not known."""
    return 0 if unit_of(schedule) is None else getattr(schedule, "ends_at", None)
