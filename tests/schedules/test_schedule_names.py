"""What `schedules.get` takes: names, objects, configs, and how deep these may be."""

from __future__ import annotations

import keras
import pytest
from keras import ops

from keras_regplus import regularizers, schedules
from keras_regplus.schedules import Constant, Linear, LinearWarmup


def half(step):
    return 0.5


def number(value):
    return float(ops.convert_to_numpy(value))


class Unhashable:
    __hash__ = None

    def __call__(self, step):
        return 0.5


def no_argument():
    return 1.0


def two_arguments(t, more):
    return 1.0


@pytest.mark.parametrize(
    "bad",
    [0.5, LinearWarmup, keras.layers.Dense(1), no_argument, two_arguments, Unhashable(), [half]],
    ids=["number", "class", "layer", "no argument", "two arguments", "unhashable", "list"],
)
def test_get_refuses_what_is_no_schedule(bad):
    said = r"^get: `schedule` must be None, a schedule .+, got .+\. Use .+\.$"
    with pytest.raises(TypeError, match=said):
        schedules.get(bad)


@pytest.mark.parametrize("name", ["Constant", "constant"])
def test_a_name_is_enough_where_nothing_else_is_needed(name):
    assert schedules.get(name) == Constant()
    assert regularizers.ScheduledL2(0.1, name).schedule == Constant()


@pytest.mark.parametrize("name", ["LinearWarmup", "linear_warmup", "cosinus", "", "l1l2"])
def test_another_name_is_refused_with_what_to_write(name):
    with pytest.raises(ValueError, match=r"^get: `schedule` must be 'constant', .+, got '.*'"):
        schedules.get(name)


def test_a_name_of_any_length_is_answered_briefly():
    with pytest.raises(ValueError, match="must be 'constant'") as refusal:
        schedules.get("x" * 10**7)
    assert len(str(refusal.value)) < 1000


def nested(levels):
    config = schedules.serialize(Constant(0.5))
    for _ in range(levels - 1):
        clip = schedules.serialize(schedules.Clip(Constant(0.5)))
        clip["config"]["schedule"] = config
        config = clip
    return config


def test_schedules_may_be_nested_as_deep_as_documented():
    assert number(schedules.deserialize(nested(32))(0)) == 0.5


@pytest.mark.parametrize("levels", [33, 100, 1000, 10_000])
def test_a_deeper_config_is_refused(levels):
    said = r"must be .*at most 32 levels .*deep, got .+\. .+\."
    with pytest.raises(ValueError, match=said):
        schedules.deserialize(nested(levels))
    with pytest.raises(ValueError, match=said):
        schedules.Clip.from_config({"schedule": nested(levels)})
    with pytest.raises(ValueError, match=said):
        schedules.Product.from_config({"schedules": [nested(levels)]})


def test_lists_may_not_be_deeper_either():
    config = schedules.serialize(Constant())
    for _ in range(10_000):
        config["config"] = {"value": [config["config"]]}
    with pytest.raises(ValueError, match="at most 32 levels"):
        schedules.deserialize(config)


def test_a_deeper_schedule_is_refused():
    deep = Linear(2)
    for _ in range(31):
        deep = schedules.Product([Constant(1.0), deep])
    assert deep == schedules.deserialize(schedules.serialize(deep))
    assert eval(repr(deep), vars(schedules)) == deep
    for wrap in (
        schedules.Clip,
        lambda part: schedules.Product([part]),
        lambda part: schedules.Join([Linear(2), part], [3]),
    ):
        with pytest.raises(ValueError, match=r"at most 32 levels deep, got 33\. Write"):
            wrap(deep)
