"""Scheduled dropout: the rate is exact, the expectation kept, inference untouched."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_regplus import RegPlusWarning, at
from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.layers import ScheduledDropout
from keras_regplus.schedules import Constant, LinearWarmup

pytestmark = pytest.mark.meets_keras

WARMUP = LinearWarmup(10)
N = 200_000


def dropped(layer, step, dtype="float32", n=N):
    with at(step=step):
        y = layer(ops.ones((n,), dtype=dtype), training=True)
    return ops.convert_to_numpy(ops.cast(y, "float32"))


# The number dropped is binomial: 5 standard deviations are exceeded once in 1.7 million.
def bound(rate):
    return 5 * math.sqrt(max(rate * (1 - rate), 1e-12) / N)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("base, step", [(0.5, 10), (0.5, 5), (0.9, 10), (0.01, 1), (0.1, 3)])
def test_share_dropped_and_expectation(base, step, dtype):
    rate = base * min(step / 10, 1)
    y = dropped(ScheduledDropout(base, WARMUP, seed=1, dtype=dtype), step, dtype)
    assert abs((y == 0).mean() - rate) <= bound(rate)
    kept = y[y != 0]
    # One rounding of 1 / (1 - rate) in the dtype, at most.
    unit = {"float32": 2**-22, "float16": 2**-10, "bfloat16": 2**-7}[dtype]
    np.testing.assert_allclose(kept, 1 / (1 - rate), rtol=unit)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("schedule", [None, Constant()], ids=["unscheduled", "scheduled"])
@pytest.mark.parametrize("rate", [0.001, 0.01, 0.1, 0.5, 0.9])
def test_small_and_large_rates_are_kept_in_half_precision(rate, schedule, dtype):
    y = dropped(ScheduledDropout(rate, schedule, seed=1, dtype=dtype), 0, dtype)
    assert abs((y == 0).mean() - rate) <= bound(rate)
    # Half a unit in the last place, for the scale and for the product with it.
    unit = {"float32": 2**-20, "float16": 2**-10, "bfloat16": 2**-7}[dtype]
    assert abs(y.mean(dtype="float64") - 1) <= bound(rate) / (1 - rate) + unit


def test_the_mask_is_drawn_in_float32_whatever_the_default():
    layer = ScheduledDropout(0.001, Constant(), seed=1, dtype="bfloat16")
    keras.config.set_floatx("bfloat16")
    try:
        y = dropped(layer, 0, "bfloat16")
    finally:
        keras.config.set_floatx("float32")
    assert abs((y == 0).mean() - 0.001) <= bound(0.001)


@pytest.mark.parametrize("rate, expected", [(0.0, 1.0), (1.0, 0.0)])
def test_the_ends(rate, expected):
    np.testing.assert_array_equal(dropped(ScheduledDropout(rate, Constant()), 0, n=100), expected)


def test_a_factor_above_one_drops_everything_at_most():
    np.testing.assert_array_equal(dropped(ScheduledDropout(0.6, Constant(5.0)), 0, n=100), 0.0)


def test_infinite_inputs_are_dropped_not_multiplied():
    with at(step=10):
        y = ScheduledDropout(0.5, WARMUP, seed=0)(ops.full((1000,), np.inf), training=True)
    assert set(ops.convert_to_numpy(y)) == {0.0, np.inf}


class Scale(keras.layers.Layer):
    def build(self, input_shape):
        self.scale = self.add_weight(shape=input_shape[1:], initializer="ones")

    def call(self, inputs):
        return inputs * self.scale


@pytest.mark.parametrize("slope", [1.0, np.inf, np.nan])
def test_what_is_dropped_has_gradient_zero_whatever_comes_from_above(slope):
    scale = Scale()
    dropout = ScheduledDropout(0.5, Constant(), seed=1)
    model = keras.Sequential([keras.Input((1000,)), scale, dropout])
    model.compile(keras.optimizers.SGD(0.25), loss=lambda y, p: ops.sum(y * p))
    x = np.ones((1, 1000), "float32")
    model.fit(x, slope * x, verbose=0, callbacks=[RegularizationScheduler(log=False)])
    found = ops.convert_to_numpy(scale.scale)
    # What is kept is scaled by 2, and so is its gradient.
    dropped = found == 1
    assert abs(dropped.mean() - 0.5) <= 5 * math.sqrt(0.25 / 1000)
    np.testing.assert_array_equal(found[~dropped], 1 - 0.25 * 2 * slope)


def test_inference_is_the_identity_to_the_bit():
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    for training in (False, None):
        y = ScheduledDropout(0.5, WARMUP)(x, training=training)
        np.testing.assert_array_equal(ops.convert_to_numpy(y), x)


def test_noise_shape_drops_slices_together():
    with at(step=10):
        y = ScheduledDropout(0.5, WARMUP, noise_shape=(None, 1, None), seed=3)(
            ops.ones((16, 7, 9)), training=True
        )
    y = ops.convert_to_numpy(y)
    assert (y == y[:, :1, :]).all()
    assert 0 < (y == 0).mean() < 1


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_without_a_schedule_it_is_keras_dropout_to_the_bit(rate):
    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    try:
        plain = keras.layers.Dropout(rate, seed=7)(x, training=True)
    except ValueError:
        pytest.skip(f"Keras's own Dropout({rate}) fails here, as on TensorFlow before 3.14")
    ours = ScheduledDropout(rate, seed=7)(x, training=True)
    np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(plain))


def test_without_a_schedule_a_fit_is_silent_and_logs_no_rate():
    x = np.ones((100, N // 100), "float32")
    history = dropout_model(0.5, None).fit(
        x, x, batch_size=100, verbose=0, callbacks=[RegularizationScheduler()]
    )
    assert not [key for key in history.history if key.startswith("rate/")]


def test_one_seed_one_sequence_of_masks():
    one, two = (ScheduledDropout(0.5, WARMUP, seed=11) for _ in range(2))
    first, second = dropped(one, 10, n=1000), dropped(one, 10, n=1000)
    np.testing.assert_array_equal(first, dropped(two, 10, n=1000))
    assert (first != second).any()


def dropout_model(rate, schedule, **compile_arguments):
    """Its loss is the share dropped; it has a weight, for an optimizer to count updates of."""
    inputs = keras.Input((N // 100,))
    nothing = keras.layers.Dense(1, kernel_initializer="zeros")(inputs)
    model = keras.Model(inputs, ScheduledDropout(rate, schedule, seed=5)(inputs) + nothing)
    model.compile(
        keras.optimizers.SGD(0.0),
        # The second summand is 0; torch refuses a loss without a gradient.
        loss=lambda y, p: ops.mean(ops.cast(ops.equal(p, 0), "float32")) + 0 * ops.mean(p),
        **compile_arguments,
    )
    return model


# torch.compile takes half a minute for the smallest model, with plain Keras too.
COMPILED = pytest.param(
    {"jit_compile": True}, marks=[pytest.mark.grid] if keras.backend.backend() == "torch" else []
)


@pytest.mark.parametrize("compile_arguments", [{}, COMPILED, {"run_eagerly": True}], ids=str)
def test_the_rate_follows_the_schedule_in_a_compiled_fit(compile_arguments):
    shares = []

    class Shares(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            shares.append(float(logs["loss"]) * (batch + 1) - sum(shares))

    x = np.ones((800, N // 100), "float32")
    model = dropout_model(0.8, LinearWarmup(4), **compile_arguments)
    model.fit(x, x, batch_size=100, verbose=0, callbacks=[RegularizationScheduler(), Shares()])
    expected = [0.8 * min(t / 4, 1) for t in range(8)]
    assert shares == pytest.approx(expected, abs=max(map(bound, expected)) + 1e-4)
    assert model.evaluate(x, x, verbose=0) == 0.0


def test_forgotten_callback_means_full_rate_and_one_warning():
    x = np.ones((100, N // 100), "float32")
    model = dropout_model(0.5, LinearWarmup(10**6))
    with pytest.warns(RegPlusWarning, match=model.name) as caught:
        history = model.fit(x, x, batch_size=100, epochs=2, verbose=0)
    assert sum(issubclass(w.category, RegPlusWarning) for w in caught) == 1
    assert history.history["loss"] == pytest.approx([0.5, 0.5], abs=bound(0.5) + 1e-4)


def test_it_is_no_weight_and_works_in_every_kind_of_model():
    layer = ScheduledDropout(0.5, WARMUP)
    assert layer(ops.ones((2, 3))).shape == (2, 3)
    assert layer.get_weights() == []
    assert layer.compute_output_shape((None, 4)) == (None, 4)
    assert layer.supports_masking
    timed = keras.layers.TimeDistributed(ScheduledDropout(0.5, WARMUP))
    assert tuple(timed(ops.ones((2, 3, 4))).shape) == (2, 3, 4)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_bad_rates_are_refused(rate):
    with pytest.raises(ValueError, match=r"^ScheduledDropout: `rate` must be .*, got .*\. Use"):
        ScheduledDropout(rate)


@pytest.mark.parametrize("noise_shape", ["1", (0, 1), (1.5,), 3])
def test_bad_noise_shapes_are_refused(noise_shape):
    with pytest.raises(ValueError, match=r"^ScheduledDropout: `noise_shape` must be .*, got"):
        ScheduledDropout(0.5, noise_shape=noise_shape)
