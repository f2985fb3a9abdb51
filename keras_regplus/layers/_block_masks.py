"""Masks of dropped blocks: where blocks may begin, with which probability, what they cover.

A block lies wholly inside the map, so cells near a border are covered by fewer of the
possible blocks than those in the middle. Sizes may be tensors, if a model is built for
maps of any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

__all__ = ["block_probability", "clipped", "cover", "padded", "positions"]

# From 0, six steps reach float32's precision for every map and rate that was tried.
_NEWTON_STEPS = 8


def clipped(block: int, size: Any) -> int:
    """The block's length on an axis of `size` cells, cut to it where it is known beforehand."""
    return min(block, size) if isinstance(size, int) else block


def positions(size: Any, block: int) -> Any:
    """At how many places of an axis a block can begin; a block that is too long has one."""
    free = size - block + 1
    return max(free, 1) if isinstance(free, int) else ops.maximum(free, 1)


def block_probability(rate: Any, sizes: Sequence[Any], blocks: Sequence[int], exact: bool) -> Any:
    """The probability that a block begins at a position, so that a share `rate` is dropped.

    The paper's formula divides the rate by the number of blocks that cover a cell on the
    average, as if blocks never overlapped. `exact` allows for overlaps.
    """
    rate = ops.convert_to_tensor(rate, "float32")
    covering = _covering_blocks(sizes, blocks)
    probability = _exact(rate, covering) if exact else rate / ops.mean(covering)
    # At rate 1 all is dropped; the paper's formula, which counts overlaps twice, drops less.
    return ops.where(rate >= 1.0, ops.ones_like(rate), probability)


def padded(drawn: Any, axes: Sequence[int], blocks: Sequence[int]) -> Any:
    """The numbers drawn, with a border around them in which no block begins.

    Numbers, since torch's compiler fails to pad booleans.
    """
    padding = [(0, 0)] * len(drawn.shape)
    for axis, block in zip(axes, blocks, strict=True):
        padding[axis] = (block - 1, block - 1)
    return ops.pad(drawn, padding, constant_values=1.0)


def cover(begun: Any, axis: int, size: Any, block: int) -> Any:
    """The cells along `axis` that lie in a block, from the padded positions where blocks begin.

    Cells are joined with neighbours 1, 2, 4, ... away, in log2(block) passes over booleans.
    This also works for blocks of even length.
    """
    cells, reach = begun, 1
    while reach < block:
        step = min(reach, block - reach)
        cells = ops.logical_or(_cut(cells, axis, 0, -step), _cut(cells, axis, step, None))
        reach += step
    return _cut(cells, axis, 0, size)


def _covering_blocks(sizes: Sequence[Any], blocks: Sequence[int]) -> Any:
    """How many of the possible blocks cover each cell of a map."""
    total = ops.ones((), "float32")
    for size, block in zip(sizes, blocks, strict=True):
        cell = ops.arange(size, dtype="float32")
        last = ops.cast(positions(size, block) - 1, "float32")
        along = ops.minimum(cell, last) - ops.maximum(cell - block + 1, 0.0) + 1
        total = total[..., None] * along
    return total


def _exact(rate: Any, covering: Any) -> Any:
    """Solve `mean((1 - probability) ** covering) = 1 - rate` by Newton's method.

    In x = -log(1 - probability) the logarithm of the left side is convex and falls, so the
    steps from x = 0 rise to the solution and never beyond it.
    """
    # The solution for rate 1 is infinite.
    wanted = ops.log1p(-ops.minimum(rate, 1.0 - 2.0**-20))
    x = ops.zeros_like(rate)
    for _ in range(_NEWTON_STEPS):
        dropped = -ops.mean(ops.expm1(-x * covering))
        slope = ops.mean(covering * ops.exp(-x * covering)) / (1.0 - dropped)
        x = x + (ops.log1p(-dropped) - wanted) / slope
    return -ops.expm1(-x)


def _cut(cells: Any, axis: int, start: Any, stop: Any) -> Any:
    return cells[(slice(None),) * axis + (slice(start, stop),)]
