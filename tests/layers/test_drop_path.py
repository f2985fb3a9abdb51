"""DropPath drops whole branches at the asked rate; the rates by depth are those of the papers."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_regplus import at
from keras_regplus.layers import DropPath, drop_path_rates
from keras_regplus.schedules import Constant, LinearWarmup

N = 200_000
RATES = [0.001, 0.01, 0.1, 0.5, 0.9]
# Half a unit in the last place of a number between 1 and 2.
ROUNDING = {"float32": 2**-24, "float16": 2**-11, "bfloat16": 2**-8}


def outcome(layer: keras.layers.Layer, x: np.ndarray) -> np.ndarray:
    with at(step=0):
        return ops.convert_to_numpy(ops.cast(layer(x, training=True), "float32"))


@pytest.mark.parametrize("schedule", [None, Constant()], ids=["unscheduled", "scheduled"])
@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("rate", RATES)
def test_share_dropped_and_expectation(rate, dtype, schedule):
    y = outcome(DropPath(rate, schedule, seed=1, dtype=dtype), np.ones((N, 1)))
    # The number dropped is binomial: 5 standard deviations are exceeded once in 1.7 million.
    share = 5 * math.sqrt(rate * (1 - rate) / N)
    assert abs((y == 0).mean() - rate) <= share
    scale = 1 / (1 - rate)
    # The scale is rounded, and so are the product with it and the rate itself.
    rounding = 2 * ROUNDING[dtype] + scale * ROUNDING["float32"]
    np.testing.assert_allclose(y[y != 0], scale, rtol=rounding)
    assert abs(y.mean(dtype="float64") - 1) <= scale * share + rounding


@pytest.mark.parametrize("shape", [(), (3,), (3, 2), (2, 3, 2), (2, 2, 2, 2)], ids=str)
def test_samples_are_dropped_whole_and_independently(shape):
    x = np.random.default_rng(0).uniform(1, 2, (64, *shape)).astype("float32")
    y = outcome(DropPath(0.5, seed=1), x)
    dropped = (y == 0).reshape(64, -1).all(axis=1)
    assert 0 < dropped.sum() < 64
    np.testing.assert_allclose(y[~dropped], 2 * x[~dropped], rtol=1e-6)


def test_a_batch_is_dropped_as_one_if_asked():
    layer = DropPath(0.3, per="batch", seed=1)
    calls = 400
    values = [np.unique(outcome(layer, np.ones((8, 2)))) for _ in range(calls)]
    assert {len(value) for value in values} == {1}
    share = np.mean([value[0] == 0 for value in values])
    assert abs(share - 0.3) <= 5 * math.sqrt(0.3 * 0.7 / calls)


def test_without_scaling_what_is_kept_is_untouched():
    x = np.random.default_rng(0).uniform(1, 2, (64, 3)).astype("float32")
    y = outcome(DropPath(0.5, scale_by_keep=False, seed=1), x)
    kept = (y != 0).any(axis=1)
    assert 0 < kept.sum() < 64
    np.testing.assert_array_equal(y[kept], x[kept])


@pytest.mark.parametrize("odd", [np.inf, np.nan])
@pytest.mark.parametrize("scale_by_keep", [True, False])
def test_values_that_are_not_finite_are_dropped_like_others(odd, scale_by_keep):
    layer = DropPath(0.5, scale_by_keep=scale_by_keep, seed=1)
    y = outcome(layer, np.full((64, 2), odd, "float32"))
    zeros = (y == 0).all(axis=1)
    assert 0 < zeros.sum() < 64
    np.testing.assert_array_equal(y[~zeros], odd)


def test_it_is_keras_dropout_of_whole_samples_in_distribution():
    """As EfficientNet of Keras does it, with `noise_shape`: the same values, as often."""
    x = np.ones((N, 2), "float32")
    keras_own = keras.layers.Dropout(0.25, noise_shape=(None, 1), seed=1)
    expected, found = outcome(keras_own, x), outcome(DropPath(0.25, seed=1), x)
    np.testing.assert_allclose(np.unique(found), np.unique(expected), rtol=1e-6)
    bound = 5 * math.sqrt(2 * 0.25 * 0.75 / N)
    assert abs((found == 0).mean() - (expected == 0).mean()) <= bound


def test_a_residual_branch_is_bypassed():
    inputs = keras.Input((4,))
    branch = keras.layers.Dense(4, bias_initializer="ones")(inputs)
    model = keras.Model(inputs, inputs + DropPath(1.0)(branch))
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(model(x, training=True)), x)


def test_inputs_without_a_batch_are_refused_when_built():
    with pytest.raises(ValueError, match=r"^DropPath: `inputs` must be .*, got \(\)\. Add"):
        DropPath(0.5)(ops.convert_to_tensor(1.0))


@pytest.mark.parametrize("blocks, max_rate", [(1, 0.3), (2, 0.3), (12, 0.1), (54, 0.5)])
def test_rates_of_timm_and_of_the_paper(blocks, max_rate):
    # timm: linspace(0, max_rate, blocks).
    expected = np.linspace(0, max_rate, blocks)
    np.testing.assert_allclose(drop_path_rates(blocks, max_rate), expected, rtol=1e-12)
    # The paper: block l of L survives with 1 - l / L * (1 - p_L).
    survival = [1 - block / blocks * (1 - (1 - max_rate)) for block in range(1, blocks + 1)]
    found = drop_path_rates(blocks, max_rate, start="step")
    np.testing.assert_allclose(found, 1 - np.array(survival), rtol=1e-12)
    assert found[-1] == max_rate


@pytest.mark.parametrize("start", ["zero", "step"])
@pytest.mark.parametrize("stages", [[3, 3, 9, 3], (2, 1), [5]], ids=str)
def test_stages_divide_the_same_rates(stages, start):
    rates = drop_path_rates(stages, 0.4, start)
    assert [len(stage) for stage in rates] == list(stages)
    flat = [rate for stage in rates for rate in stage]
    assert flat == drop_path_rates(sum(stages), 0.4, start)
    assert {type(rate) for rate in flat} == {float}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("depths", bad) for bad in (0, -1, 1.5, True, None, "12", [], [3, 0], [2, "3"])],
        *[("max_rate", bad) for bad in (-0.1, 1.1, float("nan"), None, "0.1")],
        *[("start", bad) for bad in ("paper", None, 0)],
    ],
    ids=str,
)
def test_bad_arguments_of_the_rates_are_refused(name, value):
    arguments = {"depths": 3, "max_rate": 0.1, "start": "zero", name: value}
    with pytest.raises((TypeError, ValueError), match=rf"^drop_path_rates: `{name}` must be .+\.$"):
        drop_path_rates(**arguments)


def test_rates_fit_the_layers_that_they_are_for():
    layers = [DropPath(rate, LinearWarmup(10)) for rate in drop_path_rates(3, 0.2)]
    assert [layer.rate for layer in layers] == [0.0, 0.1, 0.2]
