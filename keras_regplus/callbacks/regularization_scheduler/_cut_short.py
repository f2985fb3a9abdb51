"""Whether a training ends before its schedules do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import keras
import numpy as np

from keras_regplus.clock.model_parts import scheduled_parts
from keras_regplus.clock.updates import batches_per_update
from keras_regplus.schedules.evaluation import values_at
from keras_regplus.schedules.serialization import describe
from keras_regplus.schedules.units import end_of, unit_of


def updates_in(batches: int, model: keras.Model) -> int:
    """How many updates the optimizer of `model` makes of so many batches, at the most."""
    return -(-batches // batches_per_update(model))


class CutShort(NamedTuple):
    """A schedule that a training does not reach the end of, and what to warn of it."""

    schedule: str
    message: str


def cut_short(model: keras.Model, ends: Mapping[str, int]) -> CutShort | None:
    """The schedule that a training to these `ends`, by unit, cuts most.

    None where all schedules end in time, or have no end.
    """
    too_long = []
    for path, part in scheduled_parts(model):
        end, last = end_of(part.schedule), ends.get(unit_of(part.schedule) or "")
        if end is not None and last is not None and end > last:
            too_long.append((end - last, path, part.schedule))
    if not too_long:
        return None
    _, path, schedule = max(too_long, key=lambda row: row[0])
    unit = unit_of(schedule)
    last = ends[str(unit)]
    factor = values_at(schedule, np.array([last]))[0]
    name = describe(schedule)
    return CutShort(
        schedule=name,
        message=f"the schedule {name} of {path} ends at {unit} {end_of(schedule)}, and this training at "
        f"{unit} {last}, so it is longer than the training: its factor only gets to {factor:g}. "
        "Shorten the schedule, train for longer, or go on with another `fit`.",
    )
