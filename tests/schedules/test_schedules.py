"""Schedules: values at, before and after each boundary, for every kind of number."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_regplus import schedules
from keras_regplus.schedules import Constant, LinearWarmup

# schedule, then (t, value) pairs written down by hand
VALUES = [
    (Constant(), [(0, 1.0), (10**9, 1.0)]),
    (Constant(0.25), [(0, 0.25), (7, 0.25)]),
    (LinearWarmup(4), [(0, 0.0), (1, 0.25), (3, 0.75), (4, 1.0), (5, 1.0), (10**9, 1.0)]),
    (LinearWarmup(1), [(0, 0.0), (1, 1.0), (2, 1.0)]),
    (LinearWarmup(3, "epoch"), [(0, 0.0), (3, 1.0)]),
    (LinearWarmup(2**26), [(2**25, 0.5), (2**26 - 2**20, 1 - 2**-6), (2**26, 1.0)]),
]
NUMBERS = {
    "int": int,
    "float": float,
    "numpy integer": np.int64,
    "numpy array": np.asarray,
    "tensor": lambda t: ops.convert_to_tensor(t, dtype="int32"),
}


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("schedule, points", VALUES, ids=repr)
def test_values(schedule, points, kind):
    for t, value in points:
        found = ops.convert_to_numpy(schedule(NUMBERS[kind](t)))
        assert found.shape == ()
        assert float(found) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("schedule", [schedule for schedule, _ in VALUES], ids=repr)
def test_a_schedule_is_a_value(schedule):
    twin = type(schedule).from_config(json.loads(json.dumps(schedule.get_config())))
    assert twin == schedule and hash(twin) == hash(schedule)
    assert eval(repr(schedule), vars(schedules)) == schedule
    assert schedules.deserialize(json.loads(json.dumps(schedules.serialize(schedule)))) == schedule


def test_different_schedules_differ():
    different = [
        LinearWarmup(4),
        LinearWarmup(5),
        LinearWarmup(4, "epoch"),
        Constant(),
        Constant(0.5),
    ]
    assert len(set(different)) == len(different)


def test_units():
    assert [s.unit for s in (LinearWarmup(1), LinearWarmup(1, "epoch"), Constant())] == [
        "step",
        "epoch",
        None,
    ]


def test_get_passes_on_what_is_a_schedule_and_none():
    cosine = keras.optimizers.schedules.CosineDecay(1.0, 10)
    assert schedules.get(None) is None
    assert schedules.get(cosine) is cosine
    assert schedules.get(schedules.serialize(LinearWarmup(3))) == LinearWarmup(3)
    assert schedules.get(schedules.serialize(cosine)).get_config() == cosine.get_config()


def test_the_config_of_something_else_is_refused():
    config = keras.saving.serialize_keras_object(keras.layers.Dense(1))
    with pytest.raises(ValueError, match="must be the config of a schedule, got one of Dense"):
        schedules.deserialize(config)


def test_a_schedule_of_the_users_own_needs_a_call():
    with pytest.raises(NotImplementedError, match="__call__"):
        schedules.Schedule()(0)
