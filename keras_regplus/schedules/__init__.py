"""Factors over time: `value = schedule(t)`, pure and serializable."""

from keras_regplus.schedules.compose import Clip, Join, Piecewise, Product
from keras_regplus.schedules.recipes import early, late, one_cycle, warmup_hold_decay
from keras_regplus.schedules.schedule import Schedule
from keras_regplus.schedules.serialization import (
    PartLike,
    ScheduleLike,
    deserialize,
    get,
    serialize,
)
from keras_regplus.schedules.shapes import (
    Constant,
    Cosine,
    Cyclic,
    Exponential,
    Linear,
    LinearWarmup,
    Polynomial,
)
from keras_regplus.schedules.units import Unit

__all__ = [
    "Clip",
    "Constant",
    "Cosine",
    "Cyclic",
    "Exponential",
    "Join",
    "Linear",
    "LinearWarmup",
    "PartLike",
    "Piecewise",
    "Polynomial",
    "Product",
    "Schedule",
    "ScheduleLike",
    "Unit",
    "deserialize",
    "early",
    "get",
    "late",
    "one_cycle",
    "serialize",
    "warmup_hold_decay",
]
