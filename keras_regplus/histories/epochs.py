"""Numbers as a log holds them, by step, row or epoch, made into one value for each epoch."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from keras_regplus.histories.metric_names import keras_name

__all__ = ["History", "Points", "from_points", "from_table", "has_number", "numbered_by"]

History = dict[str, list[float | None]]
"""Name to one value for each epoch from 0 on; None where an epoch has none."""

Points = list[tuple[float, float]]
"""Pairs of a step, or an epoch, and the value there."""

# With `validation_freq` there are some epochs to each validation; of batches there are more.
_EPOCHS_A_VALIDATION = 10
# Greater numbers count no epochs.
_MOST_EPOCHS = 100_000


def from_table(columns: Mapping[Any, Sequence[Any]], by_keras: bool = False) -> History:
    """The history in a table with a row for each epoch, or with `epoch` and several rows each.

    Columns that are shorter than others, as with `validation_freq`, are spread evenly. Names
    become those of Keras, unless they are.
    """
    length = max((len(column) for column in columns.values()), default=0)
    table = {
        str(name).strip(): _spread([_number(cell) for cell in column], length)
        for name, column in columns.items()
    }
    epochs, steps = _pop_column(table, "epoch"), _pop_column(table, "step")
    numbers = epochs or steps or list(range(length))
    rows = _rows_that_count(numbers, one_row_each=epochs is not None and steps is None)
    series = [
        (*((name, 0) if by_keras else keras_name(name)), _points_at(rows, column))
        for name, column in table.items()
    ]
    return from_points(series, are_epochs=epochs is not None or steps is None)


def from_points(series: list[tuple[str, int, Points]], are_epochs: bool) -> History:
    """The history in names with their ranks and points, whose numbers are epochs or steps."""
    points: dict[str, Points] = {}
    for name, _, values in sorted(series, key=lambda item: item[1]):
        if values:
            points.setdefault(name, values)
    numbers = _all_numbers(points) if are_epochs else _ends_of_epochs(points)
    epochs = _epochs_of(numbers, are_epochs)
    history: History = {}
    for name, values in points.items():
        history[name] = [None] * (epochs[-1] + 1 if epochs else 0)
        for epoch, mean in zip(epochs, _means(values, numbers), strict=True):
            history[name][epoch] = mean
    return history


def numbered_by(points: Points, epochs: Points) -> Points:
    """The points with epochs for steps; `epochs` says which epoch it is from a step on."""
    steps = [step for step, _ in epochs]
    return [(epochs[max(bisect_right(steps, step) - 1, 0)][1], value) for step, value in points]


def has_number(values: Sequence[float | None]) -> bool:
    """Whether there is any value, if only NaN."""
    return any(value is not None for value in values)


def _pop_column(table: History, name: str) -> list[float | None] | None:
    """Remove the column of that name, in whatever case, and return it."""
    key = next((key for key in table if key.lower() == name), None)
    return None if key is None else table.pop(key)


def _number(cell: Any) -> float | None:
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return None


def _spread(column: list[float | None], length: int) -> list[float | None]:
    if not column or len(column) == length:
        return column or [None] * length
    spacing = length // len(column)
    spread: list[float | None] = [None] * length
    for index, value in enumerate(column):
        spread[(index + 1) * spacing - 1] = value
    return spread


def _rows_that_count(
    numbers: Sequence[float | None], one_row_each: bool
) -> list[tuple[float, int]]:
    """Numbers and indices of the rows; where numbers start again, the later rows count."""
    rows: list[tuple[float, int]] = []
    for index, number in enumerate(numbers):
        if number is None or not math.isfinite(number):
            continue
        while rows and (rows[-1][0] > number or (one_row_each and rows[-1][0] == number)):
            rows.pop()
        rows.append((number, index))
    return rows


def _points_at(rows: list[tuple[float, int]], column: list[float | None]) -> Points:
    cells = ((number, column[row]) for number, row in rows)
    return [(number, cell) for number, cell in cells if cell is not None]


def _all_numbers(points: Mapping[str, Points]) -> list[float]:
    return sorted({number for values in points.values() for number, _ in values})


def _ends_of_epochs(points: Mapping[str, Points]) -> list[float]:
    """The steps at which epochs end, given by the values of validation.

    Where each of them has a training value beside it, training was written by epoch, too.
    """
    twins = {f"val_{name}": name for name in points if f"val_{name}" in points}
    train = _all_numbers({name: points[name] for name in twins.values()})
    val = _all_numbers({name: points[name] for name in twins})
    if not val:
        return _all_numbers(points)
    by_epoch = set(val) <= set(train) and len(train) <= _EPOCHS_A_VALIDATION * len(val)
    return train if by_epoch else val


def _epochs_of(numbers: list[float], are_epochs: bool) -> list[int]:
    """The epoch that each number stands for: itself, or its place if it counts something else."""
    if not numbers:
        return []
    first, last = numbers[0], numbers[-1]
    are_epochs = are_epochs or last - first < 2 * len(numbers)
    in_range = first >= 0 and last < _MOST_EPOCHS
    if are_epochs and in_range and all(float(number).is_integer() for number in numbers):
        return [int(number) for number in numbers]
    return list(range(len(numbers)))


def _means(points: Points, numbers: list[float]) -> list[float | None]:
    """For each number the mean of the values after the one before, up to it."""
    groups: list[list[float]] = [[] for _ in numbers]
    for number, value in points:
        place = bisect_left(numbers, number)
        if place < len(groups):
            groups[place].append(value)
    return [sum(group) / len(group) if group else None for group in groups]
