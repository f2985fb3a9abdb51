"""A few numbers about the values of an array, in memory that does not grow with it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from keras_regplus.histograms._mapping import BLOCK

__all__ = ["STATISTICS", "statistics"]

STATISTICS = ("mean", "std", "norm", "zeros", "near_zeros", "update_ratio")

# Near zero is what lies below this share of the root mean square.
_NEAR = 0.01


def statistics(values: np.ndarray, previous: np.ndarray | None = None) -> dict[str, float]:
    """The numbers of `STATISTICS`; those that are not finite are left out.

    Values that are NaN or infinite are left out. `zeros` and `near_zeros` are shares of
    the others; near zero is below a hundredth of the root mean square. `update_ratio` is
    the norm of the change since `previous` over the norm of `previous`.
    """
    values = values.reshape(-1)
    size = sum(block.size for block in _finite(values))
    if not size:
        return {}
    mean = math.fsum(float(block.sum()) for block in _finite(values)) / size
    variance = math.fsum(float(np.sum((block - mean) ** 2)) for block in _finite(values)) / size
    squares = math.fsum(float(np.dot(block, block)) for block in _finite(values))
    near = _NEAR * math.sqrt(squares / size)
    numbers = {
        "mean": mean,
        "std": math.sqrt(variance),
        "norm": math.sqrt(squares),
        "zeros": sum(np.count_nonzero(block == 0) for block in _finite(values)) / size,
        "near_zeros": sum(np.count_nonzero(abs(block) < near) for block in _finite(values)) / size,
    }
    if previous is not None:
        numbers["update_ratio"] = _update_ratio(values, previous.reshape(-1))
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def _update_ratio(values: np.ndarray, previous: np.ndarray) -> float:
    change = before = 0.0
    for new, old in zip(_blocks(values), _blocks(previous), strict=True):
        change += float(np.sum((new - old) ** 2))
        before += float(np.dot(old, old))
    return math.sqrt(change / before) if before else math.inf


def _finite(values: np.ndarray) -> Iterator[np.ndarray]:
    for block in _blocks(values):
        finite = np.isfinite(block)
        yield block if finite.all() else block[finite]


def _blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, values.size, BLOCK):
        yield values[start : start + BLOCK].astype(np.float64)
