"""Checks of constructor arguments, with one form of error for the whole package.

Every message has three parts: what was wrong with its value, what is allowed,
what to do. `owner` is the class that is being constructed.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any

__all__ = [
    "MODE_ADVICE",
    "boolean",
    "checked_mode",
    "count",
    "error_text",
    "finite_number",
    "one_of",
]

_LONGEST_VALUE = 300

MODE_ADVICE = "Use 'min' for losses and 'max' for accuracies."


def error_text(owner: str, name: str, rule: str, value: Any, advice: str) -> str:
    """The text of a three-part error; `advice` is a sentence with its full stop."""
    return f"{owner}: `{name}` must be {rule}, got {_short(value)}. {advice}"


def _short(value: Any) -> str:
    """`repr`, cut where nobody would read on."""
    try:
        text = repr(value)
    except Exception:
        return f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def finite_number(
    owner: str,
    name: str,
    value: Any,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    advice: str,
) -> float:
    """Return `value` as a Python float, or raise if it is no number in the range.

    `minimum` and `maximum` are allowed themselves, `above` and `below` are not.
    """
    rule = "a finite number" + _range_text(minimum, maximum, above, below)
    # bool is a number to Python, and never what a user of ours meant.
    if isinstance(value, bool) or not isinstance(_unboxed(value), numbers.Real):
        raise TypeError(error_text(owner, name, rule, value, advice))
    result = float(_unboxed(value))
    if not math.isfinite(result) or _is_outside(result, minimum, maximum, above, below):
        raise ValueError(error_text(owner, name, rule, value, advice))
    return result


def count(owner: str, name: str, value: Any, *, minimum: int = 1, advice: str) -> int:
    """Return `value` as a Python int, or raise if it is no whole number of at least `minimum`."""
    rule = f"a whole number of at least {minimum}"
    if isinstance(value, bool) or not isinstance(_unboxed(value), numbers.Real):
        raise TypeError(error_text(owner, name, rule, value, advice))
    number = float(_unboxed(value))
    if not math.isfinite(number) or number != int(number) or number < minimum:
        raise ValueError(error_text(owner, name, rule, value, advice))
    return int(_unboxed(value))


def one_of(owner: str, name: str, value: Any, allowed: Iterable[Any], *, advice: str) -> Any:
    """Return `value`, or raise if it is none of the `allowed` ones."""
    allowed = tuple(allowed)
    if value not in allowed:
        rule = "one of " + ", ".join(repr(item) for item in allowed)
        raise ValueError(error_text(owner, name, rule, value, advice))
    return value


def checked_mode(owner: str, mode: Any, *, auto: bool = False) -> Any:
    """Return `mode`, or raise if it does not say which way a metric is better."""
    allowed = ("auto", "min", "max") if auto else ("min", "max")
    return one_of(owner, "mode", mode, allowed, advice=MODE_ADVICE)


def boolean(owner: str, name: str, value: Any, *, advice: str) -> bool:
    """Return `value`, or raise if it is not True or False."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError(error_text(owner, name, "True or False", value, advice))
    return bool(value)


def _unboxed(value: Any) -> Any:
    """A NumPy scalar or 0-d array as the Python number in it."""
    if hasattr(value, "dtype") and getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return value


def _range_text(
    minimum: float | None, maximum: float | None, above: float | None, below: float | None
) -> str:
    if minimum is not None and maximum is not None:
        return f" from {minimum:g} to {maximum:g}"
    bounds = {"of at least": minimum, "above": above, "of at most": maximum, "below": below}
    stated = [f"{words} {bound:g}" for words, bound in bounds.items() if bound is not None]
    return " ".join(["", " and ".join(stated)]) if stated else ""


def _is_outside(
    value: float,
    minimum: float | None,
    maximum: float | None,
    above: float | None,
    below: float | None,
) -> bool:
    return (
        (minimum is not None and value < minimum)
        or (maximum is not None and value > maximum)
        or (above is not None and value <= above)
        or (below is not None and value >= below)
    )
