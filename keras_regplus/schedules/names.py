"""Schedules by name."""

from __future__ import annotations

import difflib
import re
from typing import Any

from keras_regplus._checks import error_text

# How each is written with no more arguments than it needs.
_EXAMPLES = (
    "Clip(schedule=LinearWarmup(1000))",
    "Constant()",
    "Cosine(duration=1000)",
    "Cyclic(duration=1000)",
    "Exponential(duration=1000)",
    "Join(schedules=[LinearWarmup(1000), Cosine(1000)], boundaries=[1000])",
    "Linear(duration=1000)",
    "LinearWarmup(duration=1000)",
    "Piecewise(boundaries=[1000], values=[0.0, 1.0])",
    "Polynomial(duration=1000)",
    "Product(schedules=[LinearWarmup(1000), Constant(0.5)])",
    "early(until=1000)",
    "late(start=1000)",
    "one_cycle(duration=1000)",
    "warmup_hold_decay(warmup=1000, hold=1000, decay=1000)",
)


def by_name(owner: str, argument: str, name: str) -> Any:
    """The schedule that `name` means, where it needs no arguments."""
    example = _BY_NAME.get(name)
    if example is None:
        rule = "the name of a schedule"
        raise ValueError(error_text(owner, argument, rule, name, _known(name)))
    if not example.endswith("()"):
        rule = "more than a name where a schedule needs arguments"
        raise ValueError(error_text(owner, argument, rule, name, f"Use `{example}`."))
    # The shapes stand above this file.
    from keras_regplus import schedules

    return getattr(schedules, example.removesuffix("()"))()


def _known(name: str) -> str:
    close = difflib.get_close_matches(name, _BY_NAME, n=1)
    guess = f"Did you mean {close[0]!r}? " if close else ""
    return f"{guess}Known are: {', '.join(map(_name_in, _EXAMPLES))}."


def _name_in(example: str) -> str:
    return example.partition("(")[0]


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


_BY_NAME = {
    name: example
    for example in _EXAMPLES
    for name in (_name_in(example), _snake(_name_in(example)))
}
