"""Factors over time: `value = schedule(t)`, pure and serializable."""

from keras_regplus.schedules.compose import Clip, Join, Piecewise, Product
from keras_regplus.schedules.recipes import early, late, one_cycle, warmup_hold_decay
from keras_regplus.schedules.serialization import Schedule, deserialize, get, serialize
from keras_regplus.schedules.shapes import (
    Constant,
    Cosine,
    Cyclic,
    Exponential,
    Linear,
    LinearWarmup,
    Polynomial,
)

__all__ = [
    "Clip",
    "Constant",
    "Cosine",
    "Cyclic",
    "Exponential",
    "Join",
    "Linear",
    "LinearWarmup",
    "Piecewise",
    "Polynomial",
    "Product",
    "Schedule",
    "deserialize",
    "early",
    "get",
    "late",
    "one_cycle",
    "serialize",
    "warmup_hold_decay",
]
