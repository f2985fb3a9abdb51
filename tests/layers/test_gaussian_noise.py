"""Scheduled Gaussian noise has the distribution that its schedule says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from keras import ops

from keras_regplus import at
from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.layers import ScheduledGaussianNoise
from keras_regplus.schedules import Constant, LinearWarmup

N = 200_000


def noise(layer, step=0, x=0.0, n=N):
    inputs = np.full((n,), x, "float32")
    with at(step=step):
        y = layer(inputs, training=True)
    return ops.convert_to_numpy(ops.cast(y, "float32")).astype("float64") - x


def cdf(values):
    return 0.5 * (1 + np.array([math.erf(value / math.sqrt(2)) for value in values]))


@pytest.mark.parametrize("stddev, step", [(1.0, 10), (0.2, 5), (3.0, 1)])
def test_the_noise_is_normal_with_the_scheduled_deviation(stddev, step):
    drawn = np.sort(noise(ScheduledGaussianNoise(stddev, LinearWarmup(10), seed=1), step))
    expected = cdf(drawn / (stddev * step / 10))
    distance = np.abs(expected - (np.arange(N) + 0.5) / N).max()
    # Dvoretzky, Kiefer and Wolfowitz: exceeded with probability 2 exp(-2 N d^2) = 1e-6.
    assert distance <= math.sqrt(math.log(2e6) / (2 * N)) + 0.5 / N


@pytest.mark.parametrize("dtype, digits", [("float32", 24), ("float16", 11), ("bfloat16", 8)])
@pytest.mark.parametrize("stddev", [0.001, 0.5])
def test_mean_and_deviation_in_every_dtype(stddev, dtype, digits):
    drawn = noise(ScheduledGaussianNoise(stddev, Constant(), seed=1, dtype=dtype))
    assert abs(drawn.mean()) <= 5 * stddev / math.sqrt(N)
    # A standard deviation of N normal numbers has the error 1 / sqrt(2 N); each was rounded.
    assert drawn.std() == pytest.approx(stddev, rel=5 / math.sqrt(2 * N) + 2.0**-digits)


def test_the_expectation_of_the_inputs_is_kept():
    drawn = noise(ScheduledGaussianNoise(0.5, seed=1), x=3.0)
    assert abs(drawn.mean()) <= 5 * 0.5 / math.sqrt(N)


def test_every_value_has_noise_of_its_own():
    y = ScheduledGaussianNoise(0.5, seed=1)(np.zeros((50, 40)), training=True)
    assert len(np.unique(ops.convert_to_numpy(y))) > 1990


@pytest.mark.parametrize("stddev, schedule", [(0.0, None), (0.0, Constant()), (2.0, Constant(0.0))])
def test_no_deviation_is_no_noise(stddev, schedule):
    np.testing.assert_array_equal(noise(ScheduledGaussianNoise(stddev, schedule), n=100), 0.0)


def test_without_a_schedule_no_clock_is_needed():
    y = ScheduledGaussianNoise(1.0, seed=1)(np.zeros((N,)), training=True)
    assert ops.convert_to_numpy(y).std() == pytest.approx(1.0, rel=5 / math.sqrt(2 * N))


def test_the_gain_counts():
    import keras

    inputs = keras.Input((N // 100,))
    nothing = keras.layers.Dense(1, kernel_initializer="zeros")(inputs)
    noisy = ScheduledGaussianNoise(0.5, Constant(), seed=5)(inputs)
    model = keras.Model(inputs, noisy + nothing)
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    scheduler = RegularizationScheduler()
    scheduler.set_model(model)
    x = np.zeros((100, N // 100), "float32")
    for gain in (1.0, 3.0):
        scheduler._clock.set_gain(gain)
        # The loss is the variance; that of N squares of normal numbers varies by sqrt(2 / N).
        expected = (0.5 * gain) ** 2
        assert model.train_on_batch(x, x) == pytest.approx(expected, rel=5 * math.sqrt(2 / N))
    assert model.test_on_batch(x, x) == 0.0
