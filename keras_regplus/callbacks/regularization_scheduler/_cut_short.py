"""Whether a training ends before its schedules do."""

from __future__ import annotations

from collections.abc import Mapping

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


def cut_short(model: keras.Model, ends: Mapping[str, int]) -> str | None:
    """A warning about the schedule that a training to these `ends`, by unit, cuts most.

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
    return (
        f"the schedule {describe(schedule)} of {path} ends at {unit} {end_of(schedule)}, and this "
        f"training at {unit} {last}, so it is longer than the training: its factor only gets to "
        f"{factor:g}. Shorten the schedule, train for longer, or go on with another `fit`."
    )
