"""What `EpochDots` makes of the values in the logs: which, and as text or as JSON."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_regplus._checks import error_text

__all__ = ["checked_metrics", "chosen", "plain", "text_of"]

_LONGEST_TEXT = 60


def checked_metrics(metrics: Any) -> list[re.Pattern[str]] | None:
    """The patterns that a user gave, in their order."""
    if metrics is None:
        return None
    rule = "a name or regular expression, a list of them, or None"
    problem = error_text("EpochDots", "metrics", rule, metrics, 'Use ["val_loss", "val_.*"].')
    try:
        given = [metrics] if isinstance(metrics, str | re.Pattern) else list(metrics)
        patterns = [re.compile(each) for each in given]
    except TypeError as error:
        raise TypeError(problem) from error
    except re.error as error:
        raise ValueError(problem) from error
    if any(not isinstance(pattern.pattern, str) for pattern in patterns):
        raise TypeError(problem)
    if not patterns:
        raise ValueError(problem)
    return patterns


def chosen(logs: Any, patterns: Iterable[re.Pattern[str]] | None) -> dict[str, Any]:
    """The metrics to report: all by name, or those that match, in the order of the patterns."""
    values = {str(name): value for name, value in (logs or {}).items()}
    names = sorted(values)
    if patterns is not None:
        found = [name for pattern in patterns for name in names if _is(name, pattern)]
        names = list(dict.fromkeys(found))
    return {name: values[name] for name in names}


def _is(name: str, pattern: re.Pattern[str]) -> bool:
    # Names such as "f1(a)" are no patterns of themselves.
    return name == pattern.pattern or pattern.fullmatch(name) is not None


def text_of(value: Any, digits: int | None = None) -> str:
    """A value with four decimals, or with so many significant digits."""
    number_format = "0.4f" if digits is None else f".{digits}g"
    # Logs may hold anything, and whatever it is must not end a training.
    for text in (_number_text, _array_text, _object_text):
        with contextlib.suppress(Exception):
            return text(value, number_format)
    return "?"


def plain(value: Any) -> Any:
    """A value that JSON has: None for what is not finite, text for what is no number."""
    with contextlib.suppress(Exception):
        if value is None or isinstance(value, str):
            return value
        if hasattr(value, "shape"):
            value = keras.ops.convert_to_numpy(value).tolist()
        return _finite(value)
    return text_of(value)


def _finite(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, bool | int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None


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
