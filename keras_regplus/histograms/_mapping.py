"""Counts of float32 arrays in a few reads of memory, exact on the edges they report.

The bucket of `x` is the whole part of `(x - lowest) * scale` in float32. That rounds, so
it is not quite the bucket of the ideal edges; but it never falls as `x` rises, so each
bucket has a first float32 value. These values are found by bisection and are the edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["BLOCK", "can_map", "mapped_counts", "mapped_edges"]

# Large enough that the interpreter lock is taken rarely, small enough for a core's cache.
# Even, so that buckets can be counted in pairs.
BLOCK = 131_072

_TINY, _HUGE = (float(bound) for bound in (np.finfo("f4").tiny, np.finfo("f4").max))


def can_map(lowest: float, highest: float, buckets: int) -> bool:
    """Whether float32 holds the range and its reciprocal, and a byte the number of a bucket."""
    width = highest - lowest
    return buckets <= 255 and 0 < width < _HUGE and _TINY <= buckets / width < _HUGE


def mapped_edges(ranges: Sequence[tuple[float, float]], buckets: int) -> np.ndarray:
    """The edges of each range, as rows: the first value of each bucket, then the highest."""
    lowest, highest = np.array(ranges, np.float32).reshape(-1, 2).T[..., None]
    scale = _scale(lowest, highest, buckets)
    wanted = np.arange(1, buckets)
    below = np.broadcast_to(_rank(lowest), (len(ranges), wanted.size))
    first = np.broadcast_to(_rank(highest), below.shape)
    while np.any(first - below > 1):
        middle = (below + first) // 2
        reached = (_of_rank(middle) - lowest) * scale >= wanted
        first = np.where(reached, middle, first)
        below = np.where(reached, below, middle)
    return np.concatenate((lowest, _of_rank(first), highest), axis=1)


def mapped_counts(values: np.ndarray, lowest: float, highest: float, buckets: int) -> np.ndarray:
    """The counts of finite values, of a type that float32 holds, between these edges."""
    start, scale = np.float32(lowest), _scale(np.float32(lowest), np.float32(highest), buckets)
    scaled = np.empty(min(BLOCK, values.size + 1), np.float32)
    numbers = np.empty(scaled.size, np.uint8)
    pairs = np.zeros(buckets * 256, np.int64)
    for begin in range(0, values.size, BLOCK):
        block = values[begin : begin + BLOCK]
        # One more, a zero, makes an odd block even. It is taken out in the end.
        even = block.size + block.size % 2
        scaled[even - 1] = 0
        np.subtract(block, start, out=scaled[: block.size])
        np.multiply(scaled[: block.size], scale, out=scaled[: block.size])
        np.copyto(numbers[:even], scaled[:even], casting="unsafe")
        # The highest value may be rounded into a bucket that there is not.
        np.minimum(numbers, np.uint8(buckets - 1), out=numbers)
        # Two bytes are one number of 16 bits: half as many to count.
        pairs += np.bincount(numbers[:even].view(np.uint16), minlength=pairs.size)
    square = pairs.reshape(buckets, 256)
    counts = square.sum(axis=1) + square.sum(axis=0)[:buckets]
    counts[0] -= values.size % 2
    return counts


def _scale(lowest: Any, highest: Any, buckets: int) -> Any:
    return (buckets / (highest.astype(np.float64) - lowest)).astype(np.float32)


def _rank(values: np.ndarray) -> np.ndarray:
    """The place of a float32 among all of them, in their order."""
    bits = values.view(np.int32).astype(np.int64)
    return np.where(bits >= 0, bits, -(bits & 0x7FFFFFFF))


def _of_rank(rank: np.ndarray) -> np.ndarray:
    bits = np.where(rank >= 0, rank, 2**31 - rank)
    return bits.astype(np.uint32).view(np.float32)
