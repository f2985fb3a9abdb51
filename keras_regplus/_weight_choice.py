"""Which weights of a model are meant: by path, by the class of a layer, by a function."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras

from keras_regplus._checks import error_text

__all__ = ["Choice", "WeightRule", "checked_choice", "compiled_patterns", "is_chosen"]

Choice = str | re.Pattern[str] | type[keras.layers.Layer] | Callable[[str], bool]
"""What a user may give: a regular expression that is searched for in the path of a weight, the
class of a layer that it belongs to, or a function of the path; also an iterable of these, any of
which will do."""

WeightRule = tuple[re.Pattern[str] | type | Callable[[str], bool], ...]


def checked_choice(
    owner: str, argument: str, value: Choice | Iterable[Choice] | None
) -> WeightRule | None:
    """The rule that a user gave, or None for None; raise for what is not a rule."""
    if value is None:
        return None
    rule = "a regular expression, a class of layers, a function of the path, or a list of these"
    problem = error_text(owner, argument, rule, value, 'Use a string such as "kernel$".')
    is_list = isinstance(value, Iterable) and not isinstance(value, str | type)
    parts: list[Any] = []
    for item in value if is_list else [value]:  # type: ignore[union-attr]
        if isinstance(item, type) and not issubclass(item, keras.layers.Layer):
            raise TypeError(problem)
        parts += [item] if callable(item) else compiled_patterns([item], problem)
    return tuple(parts)


def compiled_patterns(values: Iterable[Any], problem: str) -> list[re.Pattern[str]]:
    """Regular expressions, compiled; `problem` is the text of the error for what is none."""
    try:
        patterns = [re.compile(value) for value in values]
    except TypeError as error:
        raise TypeError(problem) from error
    except re.error as error:
        raise ValueError(problem) from error
    if any(not isinstance(pattern.pattern, str) for pattern in patterns):
        raise TypeError(problem)
    return patterns


def is_chosen(
    path: str,
    layers: Sequence[Any],
    include: WeightRule | None,
    exclude: WeightRule | None = None,
) -> bool:
    """Whether the weight of this path, which belongs to these layers, is meant."""
    is_included = include is None or _matches(include, path, layers)
    return is_included and not (exclude is not None and _matches(exclude, path, layers))


def _matches(rule: WeightRule, path: str, layers: Sequence[Any]) -> bool:
    return any(_fits(part, path, layers) for part in rule)


def _fits(part: Any, path: str, layers: Sequence[Any]) -> bool:
    if isinstance(part, re.Pattern):
        return part.search(path) is not None
    if isinstance(part, type):
        return any(isinstance(layer, part) for layer in layers)
    return bool(part(path))
