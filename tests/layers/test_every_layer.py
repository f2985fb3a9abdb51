"""What holds for every layer of the package, whatever it drops or adds."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from keras_regplus import at, layers
from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.schedules import Constant, LinearWarmup, Piecewise

BACKEND = keras.backend.backend()


def ones_dense() -> keras.layers.Layer:
    return keras.layers.Dense(4, use_bias=False, kernel_initializer="ones")


@dataclass(frozen=True)
class Case:
    """A layer with its base value as the first keyword, and the shape of one input."""

    cls: type
    shape: tuple[int, ...]
    base: str = "rate"
    arguments: Callable[[], dict[str, Any]] = dict

    def make(self, value: float, schedule: Any = None, **kwargs: Any) -> keras.layers.Layer:
        return self.cls(**{self.base: value}, schedule=schedule, **self.arguments(), **kwargs)

    def call(self, value: float, schedule: Any = None, n: int = 64, **kwargs: Any) -> np.ndarray:
        with at(step=0, epoch=0):
            y = self.make(value, schedule, **kwargs)(np.ones((n, *self.shape)), training=True)
        return numpy_of(y)


CASES = {
    "dropout": Case(layers.ScheduledDropout, (4,)),
    "path": Case(layers.DropPath, (3, 4)),
    "path per batch": Case(layers.DropPath, (4,), arguments=lambda: {"per": "batch"}),
    "connect": Case(layers.DropConnect, (4,), arguments=lambda: {"layer": ones_dense()}),
    "block 1": Case(layers.DropBlock1D, (6, 4), arguments=lambda: {"block_size": 2}),
    "block 2": Case(layers.DropBlock2D, (6, 5, 4), arguments=lambda: {"block_size": 2}),
    "block 3": Case(layers.DropBlock3D, (4, 3, 3, 2), arguments=lambda: {"block_size": 2}),
    "noise": Case(layers.ScheduledGaussianNoise, (4,), "stddev"),
}
DROPPING = {name: case for name, case in CASES.items() if case.base == "rate"}

# Compiling takes most of the time here, and these share their code with another row.
ALIKE = {"path per batch", "block 1", "block 3"}


def each(cases: dict[str, Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(case, id=name, marks=[pytest.mark.grid] if name in ALIKE else [])
            for name, case in cases.items()
        ],
    )


every_layer, every_dropping_layer = each(CASES), each(DROPPING)


def numpy_of(tensor: Any) -> np.ndarray:
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def model_of(case: Case, layer: keras.layers.Layer, **compile_arguments: Any) -> keras.Model:
    """A layer with weights before and behind it, so that gradients pass through it."""
    inputs = keras.Input(case.shape)
    x = keras.layers.Dense(case.shape[-1], kernel_initializer="identity")(inputs)
    x = keras.layers.Dense(1, kernel_initializer="ones")(keras.layers.Flatten()(layer(x)))
    model = keras.Model(inputs, x)
    model.compile(keras.optimizers.SGD(0.01), loss="mse", **compile_arguments)
    return model


def fit(case: Case, model: keras.Model, *more: Any, n: int = 32, **kwargs: Any) -> Any:
    scheduler = RegularizationScheduler()
    return model.fit(
        np.ones((n, *case.shape), "float32"),
        np.ones((n, 1), "float32"),
        batch_size=4,
        verbose=0,
        callbacks=[scheduler, *more],
        **kwargs,
    )


def test_every_layer_has_a_row():
    public = {getattr(layers, name) for name in layers.__all__}
    assert {case.cls for case in CASES.values()} == {c for c in public if inspect.isclass(c)}


@every_layer
@pytest.mark.parametrize("training", [False, None])
def test_inference_is_exact(case, training):
    x = np.random.default_rng(0).normal(size=(3, *case.shape)).astype("float32")
    layer = case.make(0.5, Constant())
    expected = layer.layer(x) if isinstance(layer, keras.layers.Wrapper) else x
    np.testing.assert_array_equal(numpy_of(layer(x, training=training)), numpy_of(expected))


@every_layer
def test_one_seed_gives_one_sequence_of_draws(case):
    one, two = case.make(0.5, seed=11), case.make(0.5, seed=11)
    x = np.ones((64, *case.shape))
    first = [numpy_of(one(x, training=True)) for _ in range(9)]
    second = [numpy_of(two(x, training=True)) for _ in range(9)]
    np.testing.assert_array_equal(first, second)
    assert len({draw.tobytes() for draw in first}) > 1


@every_layer
def test_the_global_seed_makes_unseeded_layers_repeatable(case):
    draws = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        layer = case.make(0.5)
        draws.append([numpy_of(layer(np.ones((64, *case.shape)), training=True)) for _ in "abc"])
    np.testing.assert_array_equal(*draws)


@every_dropping_layer
@pytest.mark.parametrize("schedule", [None, Constant()], ids=["unscheduled", "scheduled"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_ends_of_the_rate(case, schedule, dtype):
    plain = 4.0 if case.cls is layers.DropConnect else 1.0
    np.testing.assert_array_equal(case.call(0.0, schedule, dtype=dtype), plain)
    np.testing.assert_array_equal(case.call(1.0, schedule, dtype=dtype), 0.0)


@every_dropping_layer
def test_a_rate_is_cut_at_one(case):
    np.testing.assert_array_equal(case.call(0.6, Constant(5.0)), 0.0)


def negative(t):
    return -1.0


@every_dropping_layer
def test_a_rate_below_zero_counts_as_zero(case):
    np.testing.assert_array_equal(case.call(0.5, negative), case.call(0.0))


# A compilation for a single step; compiled steps have tests of their own below.
ONE_STEP = {"run_eagerly": BACKEND == "tensorflow"}


def first_loss(case: Case, layer: keras.layers.Layer, raised: float, gain: float = 1.0) -> float:
    """Of a step on targets of 1: it is 1 if nothing reaches the last layer."""
    model = model_of(case, layer, **ONE_STEP)
    scheduler = RegularizationScheduler()
    scheduler.set_model(model)
    scheduler._clock.set_rate_offset(raised)
    scheduler._clock.set_gain(gain)
    return model.train_on_batch(np.ones((4, *case.shape), "float32"), np.ones((4, 1), "float32"))


def full_loss(case: Case, layer: keras.layers.Layer) -> float:
    """The same if everything reaches the last layer."""
    width = np.prod(layer.compute_output_shape((1, *case.shape)))
    return float(width * (4 if case.cls is layers.DropConnect else 1) - 1) ** 2


@every_dropping_layer
def test_a_rate_of_zero_can_rise(case):
    assert first_loss(case, case.make(0.0, Constant()), raised=1.0) == pytest.approx(1.0)
    layer = case.make(0.0, Constant())
    assert first_loss(case, layer, raised=0.0) == pytest.approx(full_loss(case, layer))


@every_dropping_layer
def test_the_gain_counts(case):
    assert first_loss(case, case.make(0.25, Constant()), 0.0, gain=4.0) == pytest.approx(1.0)


def test_noise_is_not_raised_with_the_rates():
    case = CASES["noise"]
    layer = case.make(1e-6, Constant())
    assert first_loss(case, layer, raised=1.0) == pytest.approx(full_loss(case, layer), rel=1e-4)


@every_layer
def test_without_a_schedule_nothing_changes_it_and_nothing_is_logged(case):
    layer = case.make(1e-6, seed=1)
    found = first_loss(case, layer, raised=1.0, gain=1e6)
    assert found == pytest.approx(full_loss(case, layer), rel=1e-4)
    history = fit(case, model_of(case, case.make(0.5))).history
    assert not [key for key in history if key.startswith("rate/")]


class Calls(keras.callbacks.Callback):
    """Counts how often Python runs through a layer, after each training step."""

    def __init__(self, layer):
        super().__init__()
        self.count, self.after_steps = 0, []
        self.call, layer.call = layer.call, self._counted

    def _counted(self, inputs, training=False):
        self.count += 1
        return self.call(inputs, training=training)

    def on_train_batch_end(self, batch, logs=None):
        self.after_steps.append(self.count)


@every_layer
def test_a_change_of_rate_never_compiles_again(case):
    layer = case.make(0.5, LinearWarmup(16))
    model = model_of(case, layer)
    calls = Calls(layer)
    history = fit(case, model, calls, epochs=2).history
    steps = range(16) if BACKEND == "torch" else [0] * 16
    assert calls.after_steps == [calls.after_steps[0] + step for step in steps]
    (key,) = (key for key in history if key.startswith(("rate/", "strength/")))
    assert history[key] == pytest.approx([0.25, 0.5])


# JAX has compiled without being asked, and torch takes half a minute for the smallest model.
COMPILED = pytest.param(
    {"jit_compile": True}, marks=[] if BACKEND == "tensorflow" else [pytest.mark.slow]
)


@every_dropping_layer
@pytest.mark.parametrize("how", [{}, COMPILED], ids=str)
def test_the_rate_follows_its_schedule_in_a_fit(case, how):
    """Rate 1 in the first 4 steps of 8, then 0: with frozen weights the loss is known."""
    layer = case.make(1.0, Piecewise([4], [1.0, 0.0]))
    model = model_of(case, layer, **how)
    model.optimizer.learning_rate = 0.0
    losses = []
    noted = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: losses.append(logs["loss"] * (batch + 1))
    )
    fit(case, model, noted)
    expected = [1.0] * 4 + [full_loss(case, layer)] * 4
    np.testing.assert_allclose(np.diff([0.0, *losses]), expected, rtol=1e-5)


@every_layer
def test_gradients_are_finite_where_all_is_dropped_in_half_precision(case):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        layer = case.make(1.0, Constant())
        # A loss scale would skip the steps that this is about.
        model = model_of(case, layer, auto_scale_loss=False)
    finally:
        keras.config.set_dtype_policy(before)
    fit(case, model, n=8)
    assert layer.compute_dtype == "float16"
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@every_layer
def test_masks_pass_through_and_shapes_are_announced(case):
    layer = case.make(0.5)
    x = keras.KerasTensor((None, *case.shape))
    y = layer(x)
    assert y.shape == layer.compute_output_shape((None, *case.shape)) == (None, *case.shape)
    assert layer.supports_masking
    mask = np.array([True, False])
    assert layer.compute_mask(x, mask) is mask


@every_layer
def test_a_layer_among_operations_of_keras(case):
    inputs = keras.Input(case.shape)
    model = keras.Model(inputs, ops.relu(case.make(1.0)(inputs)) + 2.0)
    y = model(np.ones((2, *case.shape)), training=True)
    assert tuple(y.shape) == (2, *case.shape)
    if case in DROPPING.values():
        np.testing.assert_array_equal(numpy_of(y), 2.0)


@every_layer
def test_batches_of_any_size_in_one_fit(case):
    model = model_of(case, case.make(0.5, Constant()))
    history = fit(case, model, n=6)
    assert np.isfinite(history.history["loss"][0])


@pytest.mark.skipif(BACKEND != "tensorflow", reason="elsewhere Keras hands over NumPy arrays")
@every_layer
def test_a_dataset_of_unknown_batch_size(case):
    import tensorflow as tf

    arrays = np.ones((6, *case.shape), "float32"), np.ones((6, 1), "float32")
    dataset = tf.data.Dataset.from_tensor_slices(arrays).batch(4)
    model = model_of(case, case.make(0.5, Constant()))
    history = model.fit(dataset, verbose=0, callbacks=[RegularizationScheduler()])
    assert np.isfinite(history.history["loss"][0])
    layer = case.make(0.5)
    layer.build((None, *case.shape))
    mapped = dataset.map(lambda x, y: layer(x, training=True))
    assert [tuple(batch.shape) for batch in mapped] == [(4, *case.shape), (2, *case.shape)]


@pytest.mark.slow
@every_layer
def test_keras_own_layer_test(case):
    # Not every version of Keras ships it.
    keras_testing = pytest.importorskip("keras.src.testing")
    is_wrapper = issubclass(case.cls, keras.layers.Wrapper)
    keras_testing.TestCase("run").run_layer_test(
        case.cls,
        init_kwargs={case.base: 0.5, **case.arguments()},
        input_shape=(2, *case.shape),
        call_kwargs={"training": True},
        expected_output_shape=(2, *case.shape),
        expected_num_trainable_weights=1 if is_wrapper else 0,
        expected_num_non_trainable_weights=0,
        expected_num_seed_generators=1,
        expected_num_losses=0,
        supports_masking=True,
        # It sets the dtype of the wrapper alone; the layer inside decides.
        run_mixed_precision_check=not is_wrapper,
    )
