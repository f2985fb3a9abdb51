"""Exact counts in buckets of equal width, in memory that does not grow with the array."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from keras_regplus._checks import complain, count

__all__ = ["Histogram", "histogram"]

# Large enough that the interpreter lock is taken rarely, small enough for a core's cache.
_BLOCK = 131_072


class Histogram(NamedTuple):
    """What `histogram` returns.

    Attributes:
        edges: The bounds of the buckets, float64, one more than there are buckets.
        counts: How many values each bucket holds, int64. A value on an edge
            belongs to the bucket on its right; the last bucket has both its edges.
        not_finite: How many values are NaN or infinite. No bucket holds them.

    Example:
        >>> from keras_regplus.histograms import histogram
        >>> histogram([1.0, 2.0, 2.0, float("inf")], buckets=2).not_finite
        1
    """

    edges: np.ndarray
    counts: np.ndarray
    not_finite: int


def histogram(values: Any, buckets: int = 30) -> Histogram:
    """Counts the finite values in buckets of equal width from the lowest to the highest.

    Use it where `numpy.histogram` fails or is slow: on NaN and infinite values,
    on bfloat16 and float8, on ranges that overflow. The counts are those of
    `numpy.histogram` on the edges that are returned, exactly. The edges are
    rounded to the precision of the values, so that no comparison rounds.

    An array of equal values has buckets of no width, the last of which holds
    them all; an array without finite values has edges and counts of zero.

    Args:
        values: Array of real numbers, of any shape and size.
        buckets: Number of buckets, at least 1. Defaults to 30.

    Returns:
        A `Histogram` of `edges`, `counts` and `not_finite`.

    Raises:
        TypeError: The values are no real numbers, or `buckets` is no number.
        ValueError: `buckets` is below 1 or no whole number.

    Example:
        >>> from keras_regplus.histograms import histogram
        >>> edges, counts, not_finite = histogram([0.0, 1.0, 1.5, 4.0, float("nan")], buckets=4)
        >>> edges
        array([0., 1., 2., 3., 4.])
        >>> counts
        array([1, 2, 0, 1])
        >>> not_finite
        1
    """
    buckets = count("histogram", "buckets", buckets, advice="Use 30, as TensorBoard does.")
    values = np.asarray(values).reshape(-1)
    number = _working_type(values.dtype)
    lowest, highest, finite = _range(values, number)
    edges = _edges(lowest, highest, buckets).astype(number)
    # Minimum and maximum are edges, so nothing lies outside and only the inner ones need a count.
    below = np.concatenate(([0], _count_below(edges[1:-1], values), [finite]))
    return Histogram(edges.astype(np.float64), np.diff(below), values.size - finite)


def _working_type(dtype: np.dtype) -> np.dtype:
    """The faster of two types that hold every value; only integers beyond 2**53 are rounded."""
    if np.can_cast(dtype, np.float32):
        return np.dtype(np.float32)
    if np.can_cast(dtype, np.float64, "same_kind"):
        return np.dtype(np.float64)
    raise TypeError(
        complain("histogram", "values", "real numbers", dtype.name, "Convert them to a float type.")
    )


def _finite_blocks(values: np.ndarray, number: np.dtype) -> Iterator[np.ndarray]:
    for start in range(0, values.size, _BLOCK):
        block = values[start : start + _BLOCK].astype(number, copy=False)
        finite = np.isfinite(block)
        yield block if finite.all() else block[finite]


def _range(values: np.ndarray, number: np.dtype) -> tuple[float, float, int]:
    lowest, highest, finite = math.inf, -math.inf, 0
    for block in _finite_blocks(values, number):
        if block.size:
            lowest = min(lowest, float(block.min()))
            highest = max(highest, float(block.max()))
            finite += block.size
    return (lowest, highest, finite) if finite else (0.0, 0.0, 0)


def _edges(lowest: float, highest: float, buckets: int) -> np.ndarray:
    # The width of the widest float64 ranges is no float64.
    scale = 0.5 if math.isinf(highest - lowest) else 1.0
    edges = np.linspace(lowest * scale, highest * scale, buckets + 1) / scale
    # Steps between subnormal numbers are rounded, and may add up to more than the range.
    return np.minimum(edges, highest)


def _count_below(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How many finite values lie below each edge."""
    below = np.zeros(edges.size, np.int64)
    is_below = np.empty(min(_BLOCK, values.size), bool)
    for block in _finite_blocks(values, edges.dtype):
        for i, edge in enumerate(edges):
            mask = np.less(block, edge, out=is_below[: block.size])
            below[i] += np.count_nonzero(mask)
    return below
