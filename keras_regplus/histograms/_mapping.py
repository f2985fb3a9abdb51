"""Counts of float32 arrays in a few reads of memory, exact on the edges they report.

The bucket of `x` is the whole part of `(x - lowest) * scale` in float32. That rounds, so
it may differ from the bucket between the ideal edges; but it never falls as `x` rises, so
each bucket has a first float32 value. Bisection finds these values, and they are the edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["BLOCK", "can_map", "mapped_counts", "mapped_edges"]

# Large enough that the interpreter lock is taken rarely, small enough for a core's cache.
BLOCK = 131_072

_TINY, _HUGE = (float(bound) for bound in (np.finfo("f4").tiny, np.finfo("f4").max))


def can_map(lowest: float, highest: float, buckets: int) -> bool:
    """Whether float32 holds the range and its reciprocal, and there are at most 255 buckets."""
    width = highest - lowest
    return buckets <= 255 and 0 < width < _HUGE and _TINY <= buckets / width < _HUGE


def mapped_edges(ranges: Sequence[tuple[float, float]], buckets: int) -> np.ndarray:
    """The edges of each range, as rows: the first value of each bucket, then the highest."""
    lowest, highest = np.array(ranges, np.float32).reshape(-1, 2).T[..., None]
    scale = _scale(lowest, highest, buckets)
    wanted = np.arange(1, buckets, dtype=np.float32)
    start, end, factor, number = map(np.ravel, np.broadcast_arrays(lowest, highest, scale, wanted))

    # Three roundings, each by 2**-24 at most, of a distance of at most twice the larger bound:
    # the first value is not even this far from the ideal edge.
    error = np.maximum(abs(start), abs(end)) * 2.0**-20
    ideal = start + number * ((end.astype(np.float64) - start) / buckets)
    below = _rank(np.maximum(ideal - error, start).astype(np.float32))
    first = _rank(np.minimum(ideal + error, end).astype(np.float32))
    while (at := np.flatnonzero(first - below > 1)).size:
        middle = (below[at] + first[at]) // 2
        is_reached = (_of_rank(middle) - start[at]) * factor[at] >= number[at]
        first[at] = np.where(is_reached, middle, first[at])
        below[at] = np.where(is_reached, below[at], middle)
    inner = _of_rank(first).reshape(len(ranges), buckets - 1)
    return np.concatenate((lowest, inner, highest), axis=1)


def mapped_counts(values: np.ndarray, lowest: float, highest: float, buckets: int) -> np.ndarray:
    """The counts of finite values, of a type that float32 holds, between these edges."""
    start, scale = np.float32(lowest), _scale(np.float32(lowest), np.float32(highest), buckets)
    # The highest value may be rounded into one more bucket than there is.
    base = buckets + 1
    digits = _digits(values.size, base)
    scaled = np.empty(min(BLOCK, values.size), np.float32)
    numbers = np.empty(scaled.size, np.uint16)
    joint = np.zeros(base**digits, np.int64)
    counts = np.zeros(base, np.int64)
    for begin in range(0, values.size, BLOCK):
        block = values[begin : begin + BLOCK]
        size = block.size
        np.subtract(block, start, out=scaled[:size])
        np.multiply(scaled[:size], scale, out=scaled[:size])
        np.copyto(numbers[:size], scaled[:size], casting="unsafe")
        whole = size - size % digits
        first, *others = numbers[:whole].reshape(digits, -1)
        for other in others:
            np.multiply(first, np.uint16(base), out=first)
            np.add(first, other, out=first)
        joint += np.bincount(first, minlength=joint.size)
        if whole < size:
            counts += np.bincount(numbers[whole:size], minlength=base)
    for place in range(digits):
        counts += joint.reshape(base**place, base, -1).sum(axis=(0, 2))
    counts[-2] += counts[-1]
    return counts[:-1]


def _digits(size: int, base: int) -> int:
    """How many bucket indices to pack into one number of 16 bits, since counting is slow.

    With more of them there are fewer numbers to count, but more counts to add up in the end.
    """
    most = min(2**16, size // 16)
    return 3 if base**3 <= most else 2 if base**2 <= most else 1


def _scale(lowest: Any, highest: Any, buckets: int) -> Any:
    return (buckets / (highest.astype(np.float64) - lowest)).astype(np.float32)


def _rank(values: np.ndarray) -> np.ndarray:
    """The place of a float32 among all of them, in their order."""
    bits = values.view(np.int32).astype(np.int64)
    return np.where(bits >= 0, bits, -(bits & 0x7FFFFFFF))


def _of_rank(rank: np.ndarray) -> np.ndarray:
    bits = np.where(rank >= 0, rank, 2**31 - rank)
    return bits.astype(np.uint32).view(np.float32)
