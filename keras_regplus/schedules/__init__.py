"""Factors over time: `value = schedule(t)`, pure and serializable."""

from keras_regplus.schedules.base import Schedule, deserialize, get, serialize
from keras_regplus.schedules.shapes import Constant, LinearWarmup

__all__ = ["Constant", "LinearWarmup", "Schedule", "deserialize", "get", "serialize"]
