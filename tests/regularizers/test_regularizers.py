"""Penalties against their formulas in NumPy, and the traps around them."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_regplus import at, regularizers
from keras_regplus.regularizers import (
    Scheduled,
    ScheduledL1,
    ScheduledL1L2,
    ScheduledL2,
    WarmupL1L2,
)
from keras_regplus.schedules import Constant, LinearWarmup

W = np.array([[1.0, -2.0, 0.0], [0.5, 3.0, -1.0]], "float32")
L1, L2 = 7.5, 15.25  # sum(|W|) and sum(W^2), by hand
HALF = LinearWarmup(4)  # at step 2

# regularizer, penalty of W at step 2
PENALTIES = [
    (ScheduledL1(0.1), 0.1 * L1),
    (ScheduledL1(0.1, HALF), 0.05 * L1),
    (ScheduledL2(0.1), 0.1 * L2),
    (ScheduledL2(0.1, HALF), 0.05 * L2),
    (ScheduledL2(0.1, Constant(3)), 0.3 * L2),
    (ScheduledL2(0.0, HALF), 0.0),
    (ScheduledL1L2(0.1, 0.2, HALF), 0.05 * L1 + 0.1 * L2),
    (ScheduledL1L2(0.0), 0.0),
    (WarmupL1L2(0.1, 0.2, warmup=8), 0.025 * L1 + 0.05 * L2),
    (Scheduled(keras.regularizers.L1L2(0.1, 0.2), HALF), 0.05 * L1 + 0.1 * L2),
    (Scheduled("l2", HALF), 0.005 * L2),
    (
        ScheduledL2(0.1, keras.optimizers.schedules.PiecewiseConstantDecay([1], [1.0, 0.5])),
        0.05 * L2,
    ),
]


@pytest.mark.parametrize("regularizer, expected", PENALTIES, ids=lambda v: repr(v)[:60])
def test_penalty_is_the_formula(regularizer, expected):
    with at(step=2):
        penalty = regularizer(ops.convert_to_tensor(W))
    assert tuple(penalty.shape) == ()
    assert float(penalty) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    strength=st.floats(0, 9.9),
    step=st.integers(0, 20),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4),
)
def test_linear_in_strength_and_factor_over_ranks(strength, step, shape):
    w = np.random.default_rng(0).normal(size=shape).astype("float32")
    with at(step=step):
        penalty = ScheduledL1L2(strength, strength, LinearWarmup(10))(ops.convert_to_tensor(w))
    wide = w.astype("float64")
    expected = strength * min(step / 10, 1) * (np.abs(wide).sum() + (wide**2).sum())
    assert float(penalty) == pytest.approx(expected, rel=1e-5, abs=1e-30)


@pytest.mark.parametrize("pair", [(ScheduledL1, "L1"), (ScheduledL2, "L2")], ids=str)
def test_without_a_schedule_it_equals_its_plain_twin(pair):
    ours, plain = pair[0](0.013), getattr(keras.regularizers, pair[1])(0.013)
    w = ops.convert_to_tensor(W)
    assert float(ours(w)) == float(plain(w))


def gradient(function, w):
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(function)(w))
    if backend == "tensorflow":
        import tensorflow as tf

        w = tf.Variable(w)
        with tf.GradientTape() as tape:
            value = function(w)
        return tape.gradient(value, w).numpy()
    import torch

    w = torch.tensor(w, requires_grad=True)
    function(w).backward()
    return w.grad.numpy()


def test_gradients_are_right_also_at_zero():
    with at(step=2):
        np.testing.assert_allclose(
            gradient(ScheduledL1(0.1, HALF), W), 0.05 * np.sign(W), rtol=1e-6
        )
        np.testing.assert_allclose(gradient(ScheduledL2(0.1, HALF), W), 0.1 * W, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_does_not_overflow(dtype):
    w = ops.ones((300, 300), dtype=dtype)
    assert float(ScheduledL2(1.0)(w)) == pytest.approx(90000.0)
    assert float(ScheduledL1(1.0)(w)) == pytest.approx(90000.0)


@pytest.mark.parametrize(
    "name, cls",
    [
        ("scheduled_l1", ScheduledL1),
        ("scheduled_l2", ScheduledL2),
        ("ScheduledL2", ScheduledL2),
        ("l2", keras.regularizers.L2),
    ],
)
@pytest.mark.filterwarnings("ignore:.*made without arguments")
def test_get_by_name(name, cls):
    assert type(regularizers.get(name)) is cls


@pytest.mark.filterwarnings("ignore:.*made without arguments")
@pytest.mark.parametrize("name", ["l1l2", "scheduled_l1_l2", "WarmupL1L2"])
def test_a_name_that_would_mean_strength_0_is_refused(name):
    with pytest.raises(ValueError, match="must name a penalty with a strength"):
        regularizers.get(name)


def test_get_none_object_and_config():
    assert regularizers.get(None) is None
    l2 = ScheduledL2(0.1, HALF)
    assert regularizers.get(l2) is l2
    assert regularizers.get(keras.regularizers.serialize(l2)) == l2


@pytest.mark.parametrize("bad", [None, 0.1, lambda x: x, ScheduledL2, [1]])
def test_scheduled_refuses_what_is_no_regularizer(bad):
    with pytest.raises(TypeError, match=r"^Scheduled: `regularizer` must be .*, got .*\. A plain"):
        Scheduled(bad, HALF)


def test_scheduled_refuses_a_second_schedule():
    with pytest.raises(TypeError, match=r"must be one without a sch.*got ScheduledL2.*Product"):
        Scheduled(ScheduledL2(0.1, HALF), HALF)


@pytest.mark.parametrize("regularizer", [row[0] for row in PENALTIES], ids=lambda v: repr(v)[:60])
def test_equal_by_what_it_was_made_of(regularizer):
    twin = type(regularizer).from_config(regularizer.get_config())
    assert twin == regularizer and hash(twin) == hash(regularizer)
    assert "position" not in regularizer.get_config()
    assert regularizer != ScheduledL2(0.123)


def test_the_position_is_kept_ignored_by_equality_and_checked():
    position = {"step": 2, "epoch": 1, "gain": 2.0}
    config = {**ScheduledL2(0.1, HALF).get_config(), "position": position}
    loaded = ScheduledL2.from_config(config)
    assert loaded == ScheduledL2(0.1, HALF)
    assert loaded.get_config()["position"] == position
    assert float(loaded(ops.convert_to_tensor(W))) == pytest.approx(0.1 * 0.5 * 2 * L2, rel=1e-6)
    for bad in ({"step": 2}, 3, {"step": "x", "epoch": 0, "gain": 1}):
        with pytest.raises(ValueError, match="`position` must be"):
            ScheduledL2.from_config({**config, "position": bad})
