"""The content of a record: weights are copied in the training thread, counted in another."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_regplus.callbacks.weight_histogram._on_device import counted_on_device
from keras_regplus.callbacks.weight_histogram._reader import WeightReader, host_view, is_on_host
from keras_regplus.histograms import Histogram
from keras_regplus.histograms.buckets import histograms_of
from keras_regplus.histograms.statistics import statistics

__all__ = ["Recorder"]

# The most bytes to copy for the other thread; weights beyond them are counted at once.
_BUDGET = 256 * 2**20

# From so many values on, a weight on an accelerator is counted there; smaller ones are fetched.
_LARGE = 2**20

# In bytes: each copy starts where the vector instructions of any processor are fast.
_ALIGNMENT = 64

Arrays = dict[str, np.ndarray]
Summary = tuple[str, Histogram, Mapping[str, float]]
"""Name of a weight, its histogram, and its scalars by name."""


class Recorder:
    """Makes records of named weights, each the values of one moment.

    Each weight gets a histogram of so many `buckets`, and the `scalars` of these names; of a
    weight with more than `sample_size` values only so many are used.
    """

    def __init__(self, buckets: int, scalars: Sequence[str], sample_size: int | None) -> None:
        self.problems: list[str] = []
        self.descriptions: dict[str, str] = {}
        self._buckets, self._scalars, self._sample_size = buckets, scalars, sample_size
        self._reader = WeightReader()
        # The change since the last record needs its copy, too: each has half of the budget.
        self._buffers = [np.empty(0, np.uint8)] * (2 if "update_ratio" in scalars else 1)
        self._previous: Arrays = {}
        self._once_not_finite: set[str] = set()

    def record(self, named: Sequence[tuple[str, Any]]) -> Iterator[tuple[str, Histogram | float]]:
        """Copy the weights, and return the tags and values of a record.

        Counting is left to the thread that iterates. The next record overwrites the copies,
        so it must wait until then.
        """
        budget = _BUDGET // len(self._buffers)
        views: Arrays = {}
        summaries: list[Summary] = []
        pending: dict[str, Callable[[], Any]] = {}
        tensors = self._reader.tensors([weight for _, weight in named])
        for (name, _), tensor in zip(named, tensors, strict=True):
            try:
                if not is_on_host(tensor):
                    pending[name] = self._started_on_device(name, tensor)
                    continue
                view = self._sampled(name, host_view(tensor).reshape(-1))
                if (size := _aligned(view.nbytes)) <= budget:
                    views[name], budget = view, budget - size
                else:
                    summaries += self._summaries({name: view}, {})
            except Exception as error:
                self.problems.append(f"`{name}` cannot be read ({type(error).__name__}: {error})")
        previous, self._previous = self._previous, {}
        return self._values(summaries, pending, self._copied(views), previous)

    def _started_on_device(self, name: str, tensor: Any) -> Callable[[], Any]:
        """Start work on the accelerator beside the training; a call waits for its result."""
        if self._sample_size is None and math.prod(tensor.shape) >= _LARGE:
            return counted_on_device(tensor, self._buckets)
        copy = ops.copy(self._sampled(name, ops.reshape(tensor, (-1,))))
        return functools.partial(ops.convert_to_numpy, copy)

    def _sampled(self, name: str, flat: Any) -> Any:
        size, wanted = flat.shape[0], self._sample_size
        if wanted is None or size <= wanted:
            return flat
        self.descriptions[f"{name}/histogram"] = f"A sample of {wanted:,} of {size:,} values."
        return flat[_places(size, wanted)]

    def _copied(self, views: Arrays) -> Arrays:
        # Memory is reused, since to allocate it takes longer than to copy.
        buffer = self._buffers.pop(0)
        size = sum(_aligned(view.nbytes) for view in views.values())
        if buffer.size < size:
            buffer = np.empty(size, np.uint8)
        self._buffers.append(buffer)
        copies, start = {}, 0
        for name, view in views.items():
            copies[name] = buffer[start : start + view.nbytes].view(view.dtype)
            np.copyto(copies[name], view)
            start += _aligned(view.nbytes)
        return copies

    def _values(
        self,
        summaries: list[Summary],
        pending: Mapping[str, Callable[[], Any]],
        copies: Arrays,
        previous: Arrays,
    ) -> Iterator[tuple[str, Histogram | float]]:
        for name, wait in pending.items():
            result = wait()
            if isinstance(result, Histogram):
                summaries.append((name, result, {}))
            else:
                copies[name] = result
        for name, histogram, numbers in [*summaries, *self._summaries(copies, previous)]:
            yield f"{name}/histogram", histogram
            if histogram.not_finite or name in self._once_not_finite:
                self._once_not_finite.add(name)
                yield f"{name}/not_finite", float(histogram.not_finite)
            for scalar in self._scalars:
                if scalar in numbers:
                    yield f"{name}/{scalar}", numbers[scalar]
        if "update_ratio" in self._scalars:
            self._previous = copies

    def _summaries(self, arrays: Arrays, previous: Arrays) -> Iterator[Summary]:
        histograms = histograms_of(arrays.values(), self._buckets)
        for (name, values), histogram in zip(arrays.items(), histograms, strict=True):
            numbers = statistics(values, previous.get(name)) if self._scalars else {}
            yield name, histogram, numbers


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


@functools.lru_cache(maxsize=8)
def _places(size: int, wanted: int) -> np.ndarray:
    """A random place in each of `wanted` equal stretches, always the same ones."""
    chance = np.random.default_rng(size).random(wanted)
    return ((np.arange(wanted) + chance) * (size / wanted)).astype(np.int64)
