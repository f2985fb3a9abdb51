"""Schedules that are made of values, or of other schedules."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Sequence
from typing import Any

import keras
from keras import ops

from keras_regplus._checks import error_text
from keras_regplus.schedules._arguments import checked_factor, checked_time
from keras_regplus.schedules.evaluation import evaluate
from keras_regplus.schedules.schedule import Schedule
from keras_regplus.schedules.serialization import (
    MOST_LEVELS,
    PartLike,
    checked_part,
    describe,
    equality_key,
    serialize,
)
from keras_regplus.schedules.units import Unit, check_unit, common_unit, end_of, unit_of

_UNIT_ADVICE = 'Pass the same `unit=`, "step" or "epoch", to all.'


@keras.saving.register_keras_serializable(package="keras_regplus")
class Piecewise(Schedule):
    """Jumps from value to value at the boundaries.

    Use it to switch a strength on or off, or to change it in stages. A value applies
    from its boundary on; Keras's `PiecewiseConstantDecay` changes one step later.

    `value(t) = values[i]` for `boundaries[i - 1] <= t < boundaries[i]`, so for
    `Piecewise([2, 4], [0.0, 0.5, 1.0])`:

    | t | 0 | 1 | 2 | 3 | 4 | 5 |
    | --- | --- | --- | --- | --- | --- | --- |
    | value | 0 | 0 | 0.5 | 0.5 | 1 | 1 |

    Args:
        boundaries: Steps or epochs at which the factor jumps, a list of whole numbers
            of at least 1 that rise.
        values: The factors, a list of finite numbers of at least 0, one more than
            there are boundaries.
        unit: What `t` counts: `"step"` (optimizer updates finished) or `"epoch"`
            (epochs finished). Defaults to `"step"`.

    Raises:
        TypeError: If `boundaries` or `values` is not a list of numbers.
        ValueError: If `boundaries` does not rise, `values` does not have one entry more, a
            number in either is out of its range, or `unit` is unknown.

    Example:
        >>> from keras_regplus import schedules
        >>> schedules.Piecewise([2, 4], [0.0, 0.5, 1.0]).preview(6).tolist()
        [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float], *, unit: Unit = "step"):
        self.boundaries = _checked_boundaries("Piecewise", boundaries)
        self.values = _checked_values("Piecewise", values)
        _check_length("Piecewise", "values", values, len(self.boundaries) + 1)
        self.unit = check_unit("Piecewise", unit)
        self.ends_at = self.boundaries[-1]

    def __call__(self, t: Any) -> Any:
        factor = ops.convert_to_tensor(self.values[0], dtype="float32")
        for boundary, value in zip(self.boundaries, self.values[1:], strict=True):
            factor = ops.where(ops.greater_equal(t, boundary), value, factor)
        return factor

    def get_config(self) -> dict[str, Any]:
        return {
            "boundaries": list(self.boundaries),
            "values": list(self.values),
            "unit": self.unit,
        }


class _Composite(Schedule):
    """The base of the schedules that are made of others."""

    _arguments: tuple[str, ...] = ()

    @functools.cached_property
    def _key(self) -> Hashable:
        # Not the config, since a function among the parts has none.
        return tuple(_mapped(equality_key, getattr(self, name)) for name in self._arguments)

    def __repr__(self) -> str:
        arguments = (f"{name}={_describe(getattr(self, name))}" for name in self._arguments)
        return f"{type(self).__name__}({', '.join(arguments)})"


@keras.saving.register_keras_serializable(package="keras_regplus")
class Join(_Composite):
    """Runs one schedule after another, each from its own time 0.

    Use it to build a schedule from simple shapes: a rise, a rest, a fall.

    `value(t) = schedules[i](t - boundaries[i - 1])` for
    `boundaries[i - 1] <= t < boundaries[i]`, so for
    `Join([Linear(2), Linear(2, 1.0, 0.0)], [3])`:

    | t | 0 | 1 | 2 | 3 | 4 | 5 | 6 |
    | --- | --- | --- | --- | --- | --- | --- | --- |
    | value | 0 | 0.5 | 1 | 1 | 0.5 | 0 | 0 |

    Args:
        schedules: The parts, a list of schedules of this package, Keras's learning-rate
            schedules, configs of these, or functions. At least one must have a unit, and
            all that have one must have the same: `boundaries` are counted in it.
        boundaries: Steps or epochs at which the next part begins, a list of whole
            numbers of at least 1 that rise, one fewer than there are parts.

    Raises:
        TypeError: If `schedules` is not a list of schedules, or `boundaries` not a list of
            numbers.
        ValueError: If the units of `schedules` differ or none of them has one,
            `boundaries` does not rise, or does not have one entry fewer.

    Example:
        >>> from keras_regplus import schedules
        >>> rise, fall = schedules.Linear(2), schedules.Linear(2, 1.0, 0.0)
        >>> schedules.Join([rise, fall], [3]).preview(7).tolist()
        [0.0, 0.5, 1.0, 1.0, 0.5, 0.0, 0.0]
    """

    _arguments = ("schedules", "boundaries")

    def __init__(self, schedules: Sequence[PartLike], boundaries: Sequence[int]):
        self.boundaries = _checked_boundaries("Join", boundaries)
        self.schedules = _checked_parts("Join", schedules)
        _check_length("Join", "schedules", schedules, len(self.boundaries) + 1)
        self.unit = common_unit("Join", "schedules", self.schedules, _UNIT_ADVICE)
        if self.unit is None:
            raise ValueError(
                error_text(
                    "Join",
                    "schedules",
                    "schedules of which one has a unit",
                    schedules,
                    "Use `Piecewise` to join constants.",
                )
            )
        self._levels = _checked_levels("Join", self.schedules)
        last = end_of(self.schedules[-1])
        self.ends_at = None if last is None else self.boundaries[-1] + last

    def __call__(self, t: Any) -> Any:
        factor = evaluate(self.schedules[0], t)
        for boundary, part in zip(self.boundaries, self.schedules[1:], strict=True):
            # Every part is computed at every time, and none is defined for times below 0.
            later = evaluate(part, ops.maximum(t - boundary, 0))
            factor = ops.where(ops.greater_equal(t, boundary), later, factor)
        return factor

    def get_config(self) -> dict[str, Any]:
        return {
            "schedules": [serialize(part) for part in self.schedules],
            "boundaries": list(self.boundaries),
        }


@keras.saving.register_keras_serializable(package="keras_regplus")
class Product(_Composite):
    """Multiplies the factors of several schedules.

    Use it to scale a schedule, or to lay a slow change over a fast one.

    `value(t) = schedules[0](t) * schedules[1](t) * ...`, so for
    `Product([Linear(4), Constant(0.5)])`:

    | t | 0 | 1 | 3 | 4 | 5 |
    | --- | --- | --- | --- | --- | --- |
    | value | 0 | 0.125 | 0.375 | 0.5 | 0.5 |

    Args:
        schedules: The parts, a list of schedules of this package, Keras's learning-rate
            schedules, configs of these, or functions. All that have a unit must have the
            same.

    Raises:
        TypeError: If `schedules` is not a list of schedules.
        ValueError: If `schedules` is empty, or the units differ.

    Example:
        >>> from keras_regplus import schedules
        >>> half = schedules.Product([schedules.Linear(4), schedules.Constant(0.5)])
        >>> half.preview(6).tolist()
        [0.0, 0.125, 0.25, 0.375, 0.5, 0.5]
    """

    _arguments = ("schedules",)

    def __init__(self, schedules: Sequence[PartLike]):
        self.schedules = _checked_parts("Product", schedules)
        self.unit = common_unit("Product", "schedules", self.schedules, _UNIT_ADVICE)
        self._levels = _checked_levels("Product", self.schedules)
        ends = [end for end in map(end_of, self.schedules) if end is not None]
        self.ends_at = max(ends) if len(ends) == len(self.schedules) else None

    def __call__(self, t: Any) -> Any:
        factor = evaluate(self.schedules[0], t)
        for part in self.schedules[1:]:
            factor = factor * evaluate(part, t)
        return factor

    def get_config(self) -> dict[str, Any]:
        return {"schedules": [serialize(part) for part in self.schedules]}


@keras.saving.register_keras_serializable(package="keras_regplus")
class Clip(_Composite):
    """Holds the factor of a schedule between two limits.

    Use it to keep a factor from 0 to 1, or to never let it fall to 0.

    `value(t) = min(max(schedule(t), minimum), maximum)`, so for
    `Clip(Linear(4), minimum=0.2, maximum=0.8)`:

    | t | 0 | 1 | 3 | 4 | 5 |
    | --- | --- | --- | --- | --- | --- |
    | value | 0.2 | 0.25 | 0.75 | 0.8 | 0.8 |

    Args:
        schedule: A schedule of this package, a Keras learning-rate schedule, the config of
            one, or a function. Its unit is the unit of the whole.
        minimum: The least factor, a finite number of at least 0. Defaults to 0.0.
        maximum: The greatest factor, a finite number of at least `minimum`.
            Defaults to 1.0.

    Raises:
        TypeError: If `schedule` is not a schedule, or `minimum` or `maximum` not a number.
        ValueError: If `minimum` or `maximum` is out of its range.

    Example:
        >>> from keras_regplus import schedules
        >>> clipped = schedules.Clip(schedules.Linear(4), minimum=0.25, maximum=0.75)
        >>> clipped.preview(6).tolist()
        [0.25, 0.25, 0.5, 0.75, 0.75, 0.75]
    """

    _arguments = ("schedule", "minimum", "maximum")

    def __init__(self, schedule: PartLike, minimum: float = 0.0, maximum: float = 1.0):
        self.schedule = checked_part("Clip", "schedule", schedule)
        self.unit = unit_of(self.schedule)
        self._levels = _checked_levels("Clip", [self.schedule])
        self.ends_at = end_of(self.schedule)
        self.minimum = checked_factor("Clip", "minimum", minimum)
        self.maximum = checked_factor("Clip", "maximum", maximum)
        if self.maximum < self.minimum:
            rule = f"at least `minimum`, which is {self.minimum:g}"
            raise ValueError(error_text("Clip", "maximum", rule, maximum, "Exchange the two."))

    def __call__(self, t: Any) -> Any:
        return ops.clip(evaluate(self.schedule, t), self.minimum, self.maximum)

    def get_config(self) -> dict[str, Any]:
        return {
            "schedule": serialize(self.schedule),
            "minimum": self.minimum,
            "maximum": self.maximum,
        }


def _mapped(function: Any, value: Any) -> Any:
    return tuple(map(function, value)) if isinstance(value, tuple) else function(value)


def _describe(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_describe, value))}]"
    return repr(value) if isinstance(value, (int, float)) else describe(value)


def _checked_levels(owner: str, parts: Sequence[Any]) -> int:
    """How many levels of schedules a composite of `parts` has, or raise if too many."""
    levels = 1 + max(getattr(part, "_levels", 1) for part in parts)
    if levels > MOST_LEVELS:
        raise ValueError(
            f"{owner}: schedules must be made of schedules at most {MOST_LEVELS} levels deep, "
            f"got {levels}. Write it with fewer parts, or subclass `schedules.Schedule`."
        )
    return levels


def _checked_parts(owner: str, parts: Any) -> tuple[Any, ...]:
    advice = "Use for example [Linear(1000), Constant(0.5)]."
    parts = _checked_list(owner, "schedules", parts, advice)
    return tuple(checked_part(owner, "schedules", part) for part in parts)


def _checked_boundaries(owner: str, boundaries: Any) -> tuple[int, ...]:
    rule, advice = "whole numbers that rise", "Use for example [1000, 2000]."
    times = tuple(
        checked_time(owner, "boundaries", boundary, advice=advice)
        for boundary in _checked_list(owner, "boundaries", boundaries, advice)
    )
    if list(times) != sorted(set(times)):
        raise ValueError(error_text(owner, "boundaries", rule, boundaries, advice))
    return times


def _checked_values(owner: str, values: Any) -> tuple[float, ...]:
    values = _checked_list(owner, "values", values, "Use for example [0.0, 0.5, 1.0].")
    return tuple(checked_factor(owner, "values", value) for value in values)


def _checked_list(owner: str, name: str, values: Any, advice: str) -> Sequence[Any]:
    """Return `values`, or raise if it is not a list or is empty."""
    rule = "a list with at least one entry"
    if not isinstance(values, (list, tuple)):
        raise TypeError(error_text(owner, name, rule, values, advice))
    if not values:
        raise ValueError(error_text(owner, name, rule, values, advice))
    return values


def _check_length(owner: str, name: str, values: Sequence[Any], length: int) -> None:
    if len(values) != length:
        rule = f"a list of {length}, one more than there are boundaries"
        advice = "Each boundary stands between two entries."
        raise ValueError(error_text(owner, name, rule, values, advice))
