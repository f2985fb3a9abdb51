"""Which weights are recorded, and under which names."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from typing import Any

from keras_regplus._checks import error_text

__all__ = ["Filter", "checked_filter", "chosen", "named"]

Filter = tuple[re.Pattern[str], ...] | Callable[[str], bool]


def checked_filter(argument: str, value: Any) -> Filter | None:
    """The rule that a user gave: compiled patterns, a function of the path, or None."""
    if value is None or callable(value):
        return value
    rule = "a regular expression, a list of them, a function of the path, or None"
    problem = error_text(
        "WeightHistogram", argument, rule, value, 'Use a string such as "kernel$".'
    )
    try:
        patterns = [value] if isinstance(value, str | re.Pattern) else list(value)
        compiled = tuple(re.compile(pattern) for pattern in patterns)
    except TypeError as error:
        raise TypeError(problem) from error
    except re.error as error:
        raise ValueError(problem) from error
    if any(not isinstance(pattern.pattern, str) for pattern in compiled):
        raise TypeError(problem)
    return compiled


def chosen(path: str, include: Filter | None, exclude: Filter | None) -> bool:
    """Whether the weight of this path is recorded."""
    included = include is None or _matches(include, path)
    return included and not (exclude is not None and _matches(exclude, path))


def named(weights: Iterable[Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Each weight with a name that no other has; equal paths are numbered in their order."""
    found: dict[str, Any] = {}
    for weight in weights:
        path = weight.path.removeprefix(prefix).replace(":", "_")
        numbered = (f"{path}_{number}" for number in itertools.count(2))
        found[next(name for name in itertools.chain([path], numbered) if name not in found)] = (
            weight
        )
    return list(found.items())


def _matches(rule: Filter, path: str) -> bool:
    if callable(rule):
        return bool(rule(path))
    return any(pattern.search(path) for pattern in rule)
