"""Whether a training ends before its schedules do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

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
    """A schedule that a training does not reach the end of."""

    path: str
    schedule: Any
    last: int
    """When the training ends, in the unit of the schedule."""

    def message(self) -> str:
        """What to warn of."""
        unit = unit_of(self.schedule)
        factor = values_at(self.schedule, np.array([self.last]))[0]
        return (
            f"the schedule {describe(self.schedule)} of {self.path} ends at {unit} "
            f"{end_of(self.schedule)}, and this training at {unit} {self.last}, so it is longer "
            f"than the training: its factor only gets to {factor:g}. Shorten the schedule, train "
            "for longer, or go on with another `fit`."
        )


def cut_short(model: keras.Model, ends: Mapping[str, int]) -> CutShort | None:
    """The schedule that a training to these `ends`, by unit, cuts most.

    None where all schedules end in time, or have no end.
    """
    too_long = []
    for path, part in scheduled_parts(model):
        end, last = end_of(part.schedule), ends.get(unit_of(part.schedule) or "")
        if end is not None and last is not None and end > last:
            too_long.append((end - last, CutShort(path, part.schedule, last)))
    return max(too_long, key=lambda row: row[0])[1] if too_long else None
