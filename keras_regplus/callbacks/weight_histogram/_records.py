"""What a record says of the weights: copied in the training thread, counted in another."""

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

# What is copied for the other thread at most, in bytes; weights beyond it are counted at once.
_BUDGET = 256 * 2**20

# Of so many values on, a weight on an accelerator is counted there; smaller ones are fetched.
_LARGE = 2**20

# The start of each copy suits the vectors of any processor.
_ALIGNMENT = 64

Arrays = dict[str, np.ndarray]
Told = tuple[str, Histogram, Mapping[str, float]]


class Recorder:
    """Makes records of named weights, each the values of one moment.

    `scalars` names what is told of each weight beside its histogram of so many
    `buckets`; of weights with more than `sample_size` values so many are taken.
    """

    def __init__(self, buckets: int, scalars: Sequence[str], sample_size: int | None) -> None:
        self.problems: list[str] = []
        self.descriptions: dict[str, str] = {}
        self._buckets, self._scalars, self._sample_size = buckets, scalars, sample_size
        self._reader = WeightReader()
        # The change since the last record needs that one, too: each has half of the budget.
        self._buffers = [np.empty(0, np.uint8)] * (2 if "update_ratio" in scalars else 1)
        self._previous: Arrays = {}
        self._once_not_finite: set[str] = set()

    def take(self, named: Sequence[tuple[str, Any]]) -> Iterator[tuple[str, Histogram | float]]:
        """Tags and values of a record; whoever iterates does the work that can wait.

        The copies are overwritten by a later record, which must wait for this one.
        """
        room = _BUDGET // len(self._buffers)
        views: Arrays = {}
        told: list[Told] = []
        awaited: dict[str, Callable[[], Any]] = {}
        tensors = self._reader.tensors([weight for _, weight in named])
        for (name, _), tensor in zip(named, tensors, strict=True):
            try:
                if not is_on_host(tensor):
                    awaited[name] = self._started_on_device(name, tensor)
                    continue
                view = self._sampled(name, host_view(tensor).reshape(-1))
                if (size := _aligned(view.nbytes)) <= room:
                    views[name], room = view, room - size
                else:
                    told += self._counted({name: view}, {})
            except Exception as error:
                self.problems.append(f"`{name}` cannot be read ({type(error).__name__}: {error})")
        previous, self._previous = self._previous, {}
        return self._values(told, awaited, self._copied(views), previous)

    def _started_on_device(self, name: str, tensor: Any) -> Callable[[], Any]:
        """What the accelerator does while training goes on; calling it waits for the result."""
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
        # In memory that is used again, since fresh memory costs more than the copying.
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
        told: list[Told],
        awaited: Mapping[str, Callable[[], Any]],
        copies: Arrays,
        previous: Arrays,
    ) -> Iterator[tuple[str, Histogram | float]]:
        for name, result in awaited.items():
            found = result()
            if isinstance(found, Histogram):
                told.append((name, found, {}))
            else:
                copies[name] = found
        for name, counted, numbers in [*told, *self._counted(copies, previous)]:
            yield f"{name}/histogram", counted
            if counted.not_finite or name in self._once_not_finite:
                self._once_not_finite.add(name)
                yield f"{name}/not_finite", float(counted.not_finite)
            for scalar in self._scalars:
                if scalar in numbers:
                    yield f"{name}/{scalar}", numbers[scalar]
        if "update_ratio" in self._scalars:
            self._previous = copies

    def _counted(self, arrays: Arrays, previous: Arrays) -> Iterator[Told]:
        counted = histograms_of(arrays.values(), self._buckets)
        for (name, values), histogram in zip(arrays.items(), counted, strict=True):
            numbers = statistics(values, previous.get(name)) if self._scalars else {}
            yield name, histogram, numbers


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


@functools.lru_cache(maxsize=8)
def _places(size: int, wanted: int) -> np.ndarray:
    """One place in each of equal stretches, by chance but always the same."""
    chance = np.random.default_rng(size).random(wanted)
    return ((np.arange(wanted) + chance) * (size / wanted)).astype(np.int64)
