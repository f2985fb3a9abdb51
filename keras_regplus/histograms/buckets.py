"""Exact counts in buckets of equal width, in memory that does not grow with the array."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from keras_regplus._checks import count, error_text
from keras_regplus.histograms._mapping import BLOCK, can_map, mapped_counts, mapped_edges

__all__ = ["Histogram", "histogram", "histograms_of"]

# For fewer values, to find the edges of a map takes longer than to compare with each edge.
_FEW = 65_536


class Histogram(NamedTuple):
    """The result of `histogram`.

    Use it to plot the counts, or hand it to `EventWriter.add`.

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


def histogram(values: ArrayLike, buckets: int = 30) -> Histogram:
    """Counts the finite values in buckets of equal width from the lowest to the highest.

    Use it where `numpy.histogram` fails or is slow: on NaN and infinite values,
    on bfloat16 and float8, on ranges that overflow. The counts are exactly those of
    `numpy.histogram` on the edges that are returned. The edges are
    rounded to the precision of the values, so that no comparison rounds.

    If all values are equal, the buckets have no width, and the last one holds all values;
    without finite values all edges and counts are zero.

    Args:
        values: Array of real numbers, of any shape and size, or a tensor that NumPy can read.
        buckets: Number of buckets, at least 1. Defaults to 30.

    Returns:
        A `Histogram` of `edges`, `counts` and `not_finite`.

    Raises:
        TypeError: If `values` are not real numbers, or `buckets` is not a number.
        ValueError: If `buckets` is not a whole number of at least 1.

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
    return histograms_of([values], buckets)[0]


def histograms_of(arrays: Iterable[ArrayLike], buckets: int) -> list[Histogram]:
    """The histogram of each array; many small arrays at once are faster than one by one."""
    flat = [np.asarray(values).reshape(-1) for values in arrays]
    ranges = [_Range.of(values) for values in flat]
    plain = [i for i, known in enumerate(ranges) if known.is_plain(flat[i].size, buckets)]
    if sum(flat[i].size for i in plain) < _FEW:
        plain = []
    edges = mapped_edges([ranges[i].bounds for i in plain], buckets)
    mapped = {
        i: Histogram(row.astype(np.float64), mapped_counts(flat[i], *ranges[i].bounds, buckets), 0)
        for i, row in zip(plain, edges, strict=True)
    }
    return [
        mapped[i] if i in mapped else _compared(values, known, buckets)
        for i, (values, known) in enumerate(zip(flat, ranges, strict=True))
    ]


class _Range(NamedTuple):
    """Bounds of the finite values, how many these are, and a type that holds them."""

    lowest: float
    highest: float
    finite: int
    number: np.dtype

    @classmethod
    def of(cls, values: np.ndarray) -> _Range:
        number = _working_type(values.dtype)
        lowest, highest, finite = math.inf, -math.inf, 0
        for block in _blocks(values, number):
            # One of the two is not finite if any value is NaN or infinite.
            low, high = float(block.min()), float(block.max())
            if not math.isfinite(low) or not math.isfinite(high):
                block = block[np.isfinite(block)]
                low = float(block.min(initial=math.inf))
                high = float(block.max(initial=-math.inf))
            lowest, highest = min(lowest, low), max(highest, high)
            finite += block.size
        return cls(*((lowest, highest) if finite else (0.0, 0.0)), finite, number)

    @property
    def bounds(self) -> tuple[float, float]:
        return self.lowest, self.highest

    def is_plain(self, size: int, buckets: int) -> bool:
        """Whether buckets can be computed from values, without comparing with each edge."""
        is_plain = self.number == np.float32 and self.finite == size
        return is_plain and can_map(self.lowest, self.highest, buckets)


def _compared(values: np.ndarray, known: _Range, buckets: int) -> Histogram:
    """The histogram by comparing each value with each edge."""
    edges = _edges(known.lowest, known.highest, buckets).astype(known.number)
    # The outer edges are the lowest and the highest value: only the inner ones need a count.
    below = np.concatenate(([0], _count_below(edges[1:-1], values), [known.finite]))
    return Histogram(edges.astype(np.float64), np.diff(below), values.size - known.finite)


def _working_type(dtype: np.dtype) -> np.dtype:
    """The faster of two types that hold every value; only integers beyond 2**53 are rounded."""
    if np.can_cast(dtype, np.float32):
        return np.dtype(np.float32)
    if np.can_cast(dtype, np.float64, "same_kind"):
        return np.dtype(np.float64)
    raise TypeError(
        error_text(
            "histogram", "values", "real numbers", dtype.name, "Convert them to a float type."
        )
    )


def _blocks(values: np.ndarray, number: np.dtype) -> Iterator[np.ndarray]:
    for start in range(0, values.size, BLOCK):
        yield values[start : start + BLOCK].astype(number, copy=False)


def _edges(lowest: float, highest: float, buckets: int) -> np.ndarray:
    # The width of the widest float64 ranges overflows.
    scale = 0.5 if math.isinf(highest - lowest) else 1.0
    edges = np.linspace(lowest * scale, highest * scale, buckets + 1) / scale
    # Steps between subnormal numbers are rounded, and may sum to more than the range.
    return np.minimum(edges, highest)


def _count_below(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How many finite values lie below each edge."""
    below = np.zeros(edges.size, np.int64)
    is_below = np.empty(min(BLOCK, values.size), bool)
    for block in _blocks(values, edges.dtype):
        # Nothing is less than NaN, and only one of the infinities is less than an edge.
        below -= np.count_nonzero(block == -np.inf)
        for i, edge in enumerate(edges):
            mask = np.less(block, edge, out=is_below[: block.size])
            below[i] += np.count_nonzero(mask)
    return below
