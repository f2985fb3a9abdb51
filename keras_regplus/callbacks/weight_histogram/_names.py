"""Unique names of weights."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

__all__ = ["named"]


def named(weights: Iterable[Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Each weight with a unique name; weights of the same path are numbered in their order."""
    names: dict[str, Any] = {}
    for weight in weights:
        path = weight.path.removeprefix(prefix).replace(":", "_")
        numbered = (f"{path}_{number}" for number in itertools.count(2))
        name = next(name for name in itertools.chain([path], numbered) if name not in names)
        names[name] = weight
    return list(names.items())
