"""Histograms of tensors on an accelerator: a few numbers cross the bus, not the tensor."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_regplus.histograms import Histogram

__all__ = ["counted_on_device"]

# A count is an int32 on the device, and the masks of a block should need little memory.
_BLOCK = 2**26


def counted_on_device(tensor: Any, buckets: int) -> Callable[[], Histogram]:
    """Start counting a float tensor on its device; a call of the result waits for the counts.

    They are exact, as those of `histogram`: each value is compared with each edge, in float32.
    """
    flat = ops.reshape(tensor, (-1,))
    size = math.prod(tensor.shape)
    blocks = [slice(start, start + _BLOCK) for start in range(0, size, _BLOCK)]
    edges = _edges(*_range([flat[block] for block in blocks]), buckets)
    counted = [_counts(flat[block], edges) for block in blocks]

    def fetch() -> Histogram:
        # The first count is that of all finite values, which lie below the last edge.
        counts: np.ndarray = np.stack([_fetched(part) for part in counted]).sum(0, dtype=np.int64)
        finite = counts[0]
        below: np.ndarray = np.concatenate(([0], counts[1:], counts[:1]))
        bounds = _fetched(edges) if finite else np.zeros(buckets + 1)
        return Histogram(bounds.astype(np.float64), np.diff(below), int(size - finite))

    return fetch


def _range(blocks: list[Any]) -> tuple[Any, Any]:
    """The lowest and the highest finite value, on the device."""
    lowest = [ops.min(ops.where(ops.isfinite(block), block, math.inf)) for block in blocks]
    highest = [ops.max(ops.where(ops.isfinite(block), block, -math.inf)) for block in blocks]
    return ops.min(ops.stack(lowest)), ops.max(ops.stack(highest))


def _edges(lowest: Any, highest: Any, buckets: int) -> Any:
    """The edges, as many as `histogram` has; none is below the one before it."""
    lowest, highest = ops.cast(lowest, "float32"), ops.cast(highest, "float32")
    # Halves, because the width of the widest ranges overflows float32.
    width = highest / 2 - lowest / 2
    inner = [(lowest / 2 + width * (i / buckets)) * 2 for i in range(1, buckets)]
    inner = [ops.minimum(ops.maximum(edge, lowest), highest) for edge in inner]
    return ops.stack([lowest, *inner, highest])


def _counts(block: Any, edges: Any) -> Any:
    """The number of finite values, and of those below each inner edge."""
    block = ops.cast(block, "float32")
    # Nothing is less than NaN, and only one of the infinities is less than an edge.
    left_out = _number(block == -math.inf)
    below = [_number(block < edges[i]) for i in range(1, edges.shape[0] - 1)]
    finite = _number(ops.isfinite(block))
    return ops.stack([finite, *(number - left_out for number in below)])


def _number(mask: Any) -> Any:
    # Only torch has this method. There a sum is many times slower, and Keras's wrapper warns.
    return mask.count_nonzero() if hasattr(mask, "count_nonzero") else ops.sum(mask)


def _fetched(tensor: Any) -> np.ndarray:
    return np.array(ops.convert_to_numpy(tensor))
