"""Which metrics a report of `EpochDots` shows, and their values as text."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np

from keras_regplus._checks import error_text
from keras_regplus._weight_choice import compiled_patterns
from keras_regplus.callbacks._log_values import SCORE_KEY, as_float, is_of_package

__all__ = ["checked_metrics", "is_match", "metric_texts", "text_of"]

_LONGEST_TEXT = 60
_SMALL = 1e-3  # four decimals show one digit of what is smaller, or none


def checked_metrics(metrics: Any) -> list[re.Pattern[str]] | None:
    """The patterns that a user gave, in their order."""
    if metrics is None:
        return None
    rule = "a name or regular expression, a list of them, or None"
    problem = error_text("EpochDots", "metrics", rule, metrics, 'Use ["val_loss", "val_.*"].')
    is_one = isinstance(metrics, str | re.Pattern)
    patterns = compiled_patterns([metrics] if is_one else metrics, problem)
    if not patterns:
        raise ValueError(problem)
    return patterns


def metric_texts(
    logs: Any, patterns: Collection[re.Pattern[str]] | None, digits: int | None
) -> dict[str, str]:
    """All metrics, sorted by name, or those that match, in the order of the patterns.

    What says nothing new is left out, unless a pattern is its very name.
    """
    values = {str(name): value for name, value in (logs or {}).items()}
    names = sorted(name for name in values if not _is_ended_score(name, values[name]))
    wanted: set[str] = set()
    if patterns is not None:
        matches = [name for pattern in patterns for name in names if is_match(pattern, name)]
        names, wanted = list(dict.fromkeys(matches)), {pattern.pattern for pattern in patterns}
    return {
        name: text_of(values[name], digits, precise=is_of_package(name))
        for name in names
        if name in wanted or not _is_redundant(name, names, values, digits)
    }


def _is_ended_score(name: str, value: Any) -> bool:
    # A detector that judges no more fills the history with NaN, which tells a reader nothing.
    number = as_float(value) if name == SCORE_KEY else None
    return number is not None and math.isnan(number)


def _is_redundant(
    name: str, names: Collection[str], values: Mapping[str, Any], digits: int | None
) -> bool:
    """Whether it is a penalty of 0, or a `data_loss` beside the same `loss`."""
    if name in ("penalty", "val_penalty"):
        return as_float(values[name]) == 0
    loss = name.replace("data_loss", "loss")
    if name not in ("data_loss", "val_data_loss") or loss not in names:
        return False
    texts = {text_of(values[each], digits, precise=True) for each in (name, loss)}
    has_no_penalty = as_float(values.get(name.replace("data_loss", "penalty"))) == 0
    return has_no_penalty or len(texts) == 1


def is_match(pattern: re.Pattern[str], name: str) -> bool:
    """Whether a pattern fits a name, or is that name."""
    # A name such as "f1(a)" does not match itself as a pattern.
    return name == pattern.pattern or pattern.fullmatch(name) is not None


def text_of(value: Any, digits: int | None, *, precise: bool = False) -> str:
    """A value with four decimals, or with as many significant digits as `digits` says.

    Where it is `precise`, a small number has three significant digits in place of four decimals.
    """
    number_format = _number_format(value, digits, precise)
    # Logs may hold anything, and whatever it is must not end a training.
    for text in (_number_text, _array_text, _object_text):
        with contextlib.suppress(Exception):
            return text(value, number_format)
    return "?"


def _number_format(value: Any, digits: int | None, precise: bool) -> str:
    if digits is not None:
        return f".{digits}g"
    number = as_float(value) if precise else None
    return ".3g" if number is not None and 0 < abs(number) < _SMALL else "0.4f"


def _number_text(value: Any, number_format: str) -> str:
    return format(value, number_format)


def _array_text(value: Any, number_format: str) -> str:
    if not hasattr(value, "shape"):
        raise TypeError("not an array")
    array = keras.ops.convert_to_numpy(value)
    text = np.array2string(
        array,
        formatter={"float_kind": lambda item: format(item, number_format)},
        threshold=6,
        edgeitems=2,
    )
    return _shortened(text)


def _object_text(value: Any, number_format: str) -> str:
    return _shortened(str(value))


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= _LONGEST_TEXT else line[: _LONGEST_TEXT - 3] + "..."
