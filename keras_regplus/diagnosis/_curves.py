"""Robust numbers about short curves, and a memory of fixed size for long ones."""

from __future__ import annotations

import numpy as np

# Enough points for smooth windows of a dozen points, few enough that a decision stays cheap.
_CAPACITY = 128
# Up to this many points a lag of one point would cost more than it saves.
_SHORT = 20
# The median absolute deviation of a normal variable is 0.6745 standard deviations.
_MAD_TO_DEVIATION = 1.4826
# Differences of order 2 and 3 of independent values have 1 + 4 + 1 and 1 + 9 + 9 + 1 times
# their variance.
_VARIANCE_OF_DIFFERENCE = {2: 6.0, 3: 20.0}
# Fewer blocks than this do not show how their means scatter.
_FEWEST_BLOCKS = 6
# The recent part of a curve is its last half, of at least so many points.
_RECENT_POINTS = 7


class ThinnedPoints:
    """Pairs of values, evenly thinned to at most 128 points whatever the length.

    Each point is the mean over `stride` consecutive epochs. When the memory is
    full, neighbours merge and the stride doubles, so a window that is a share of
    the points is the same share of the epochs seen.
    """

    def __init__(self) -> None:
        self.stride = 1
        self._points: list[np.ndarray] = []
        self._pending: list[tuple[float, float, float]] = []

    def add(self, epoch: int, train: float, val: float) -> bool:
        """Add one epoch and return whether it completed a point."""
        self._pending.append((epoch, train, val))
        if len(self._pending) < self.stride:
            return False
        self._points.append(np.mean(self._pending, axis=0))
        self._pending = []
        if len(self._points) == _CAPACITY:
            self._merge()
        return True

    def columns(self) -> np.ndarray:
        """The points as three rows: epochs, training values, validation values."""
        return np.array(self._points).reshape(-1, 3).T

    def _merge(self) -> None:
        points = np.array(self._points)
        self._points = list((points[::2] + points[1::2]) / 2)
        self.stride *= 2


class Curve:
    """One curve seen through windows of `width` points."""

    def __init__(self, values: np.ndarray, width: int) -> None:
        self.values = values
        calm = median_of_three(values)
        self.smooth = moving_mean(calm, width)
        self.level = float(self.smooth[-1])
        self._typical = median(np.abs(self.smooth))
        self.noise = noise_of(values)
        # Noise that lasts for several epochs, as that of a cyclic learning rate, does not
        # average out as that of single values does: then means over blocks show it.
        half, recent = max(width // 2, 1), calm[-max(len(calm) // 2, _RECENT_POINTS) :]
        spread = max(
            self.noise / width**0.5,
            deviation_of_blocks(recent, half) * (half / width) ** 0.5,
            deviation_of_blocks(calm, width),
        )
        self.error = 2**0.5 * spread
        """Standard error of the difference of two levels, by noise alone."""

    def scale(self, index: int) -> float:
        """What changes are relative to: the size of the level at `index`.

        At least a tenth of the curve's typical size, so that a curve through 0
        has a denominator; 0 only for a curve that is 0 for most of its length.
        """
        return max(abs(float(self.smooth[index])), 0.1 * self._typical)

    def recent_gain(self, share: float) -> float:
        """How much lower the best of the last `share` is than the best before, relative to it."""
        start = int((1 - share) * len(self.smooth))
        if start == 0:
            return 0.0
        before = int(self.smooth[:start].argmin())
        gain = float(self.smooth[before] - self.smooth[start:].min())
        return ratio(gain, self.scale(before))


def ratio(value: float, scale: float) -> float:
    """`value / scale`, and 0 where there is no scale: a curve of zeros changes by nothing."""
    return value / scale if scale else 0.0


def median(values: np.ndarray) -> float:
    """The median. `np.median` costs ten times as much on arrays as short as ours."""
    ordered = values.copy()
    ordered.sort()
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return float(ordered[middle])
    return float((ordered[middle - 1] + ordered[middle]) / 2)


def median_of_three(values: np.ndarray) -> np.ndarray:
    """The median of each value and its neighbours, so that no lone spike is left.

    The last value may be a spike, too, and becomes the median of the last three,
    but in short curves, where each epoch counts, it stays.
    """
    if len(values) < 3:
        return values
    left, middle, right = values[:-2], values[1:-1], values[2:]
    inner = np.maximum(np.minimum(left, middle), np.minimum(np.maximum(left, middle), right))
    last = values[-1:] if len(values) <= _SHORT else inner[-1:]
    return np.concatenate((values[:1], inner, last))


def moving_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Means over all full windows. No running sums: after 1e36 they would have no digits left."""
    return np.convolve(values, np.ones(width), "valid") / width


def noise_of(values: np.ndarray) -> float:
    """Standard deviation of the noise of one value, from differences of third order."""
    return _deviation(values, 3) if len(values) > 3 else _deviation(values, 2)


def deviation_of_blocks(values: np.ndarray, width: int) -> float:
    """Standard deviation of means over `width` values, 0 where there are too few blocks.

    The method of batch means: right for noise of any correlation that is shorter than
    a block.
    """
    count = len(values) // width
    if count < _FEWEST_BLOCKS:
        return 0.0
    blocks = values[len(values) - count * width :].reshape(count, width)
    return _deviation(blocks.mean(axis=1) if width > 1 else values, 3)


def _deviation(values: np.ndarray, order: int) -> float:
    """By the median of differences: a trend cancels, spikes and drops count little."""
    if len(values) <= order:
        return 0.0
    for _ in range(order):
        values = values[1:] - values[:-1]
    typical = median(np.abs(values))
    return _MAD_TO_DEVIATION * typical / _VARIANCE_OF_DIFFERENCE[order] ** 0.5


def slope_of(epochs: np.ndarray, values: np.ndarray) -> float:
    """Change per epoch: the median slope between points half the stretch apart.

    Theil's incomplete method: as robust as all pairs, at a cost linear in length.
    """
    half = len(values) // 2
    if half == 0:
        return 0.0
    return median((values[half:] - values[:-half]) / (epochs[half:] - epochs[:-half]))
