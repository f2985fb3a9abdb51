"""DropConnect drops weights in training, and is the plain layer otherwise."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_regplus import at
from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.layers import DropConnect
from keras_regplus.schedules import Constant, LinearWarmup

pytestmark = pytest.mark.meets_keras

KINDS = {
    "Dense": (lambda: layers.Dense(5), (4,)),
    "EinsumDense": (lambda: layers.EinsumDense("abc,cd->abd", (3, 5), bias_axes="d"), (3, 4)),
    "Conv1D": (lambda: layers.Conv1D(5, 3), (6, 4)),
    "Conv2D": (lambda: layers.Conv2D(5, 3, padding="same"), (6, 5, 4)),
    "Conv3D": (lambda: layers.Conv3D(5, 2), (3, 3, 3, 2)),
    "DepthwiseConv1D": (lambda: layers.DepthwiseConv1D(3, depth_multiplier=2), (6, 4)),
    "DepthwiseConv2D": (lambda: layers.DepthwiseConv2D(3), (6, 5, 4)),
    "SeparableConv1D": (lambda: layers.SeparableConv1D(5, 3), (6, 4)),
    "SeparableConv2D": (lambda: layers.SeparableConv2D(5, 3), (6, 5, 4)),
}
# Compiling takes most of the time here, and these share their code with another row.
ALIKE = {"Conv1D", "Conv3D", "DepthwiseConv1D", "SeparableConv1D"}
every_kind = pytest.mark.parametrize(
    "make, shape",
    [
        pytest.param(*row, id=name, marks=[pytest.mark.grid] if name in ALIKE else [])
        for name, row in KINDS.items()
    ],
)


def numpy_of(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def inputs_of(shape, n=3):
    return np.random.default_rng(0).normal(size=(n, *shape)).astype("float32")


def dense(**kwargs):
    """With ones for weights, so that the output counts them."""
    return layers.Dense(4, kernel_initializer="ones", bias_initializer="ones", **kwargs)


def model_of(layer, rate=0.0):
    model = keras.Sequential([keras.Input((8,)), layer])
    model.compile(keras.optimizers.SGD(rate), loss="mse")
    return model


@every_kind
def test_weights_are_those_of_the_plain_layer_in_its_order(make, shape):
    plain, wrapped = make(), DropConnect(make(), 0.5)
    plain.build((None, *shape))
    wrapped.build((None, *shape))
    assert [w.path.split("/")[-1] for w in wrapped.weights] == [w.name for w in plain.weights]
    wrapped.set_weights(plain.get_weights())
    x = inputs_of(shape)
    np.testing.assert_array_equal(numpy_of(wrapped(x)), numpy_of(plain(x)))
    plain.set_weights([weight + 1 for weight in wrapped.get_weights()])
    assert (numpy_of(wrapped(x)) != numpy_of(plain(x))).any()
    assert wrapped.compute_output_shape((None, *shape)) == plain.compute_output_shape(
        (None, *shape)
    )


@every_kind
def test_every_kernel_is_dropped_and_no_bias(make, shape):
    plain, wrapped = make(), DropConnect(make(), 1.0)
    plain.build((None, *shape))
    wrapped.build((None, *shape))
    # A separable layer has two kernels: each is to be seen by itself.
    for number in range(len(plain.weights) - 1):
        weights = [np.ones_like(weight) for weight in plain.get_weights()]
        wrapped.set_weights(weights)
        weights[number] = 0 * weights[number]
        plain.set_weights(weights)
        x = inputs_of(shape)
        np.testing.assert_array_equal(numpy_of(wrapped(x, training=True)), numpy_of(plain(x)))


# Half a unit in the last place of a number between 1 and 2.
ROUNDING = {"float32": 2**-24, "mixed_float16": 2**-11, "mixed_bfloat16": 2**-8}


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("rate", [0.001, 0.01, 0.1, 0.5, 0.9])
def test_share_dropped_and_expectation(rate, dtype):
    size = 400
    inner = layers.Dense(size, use_bias=False, kernel_initializer="ones", dtype=dtype)
    # Of the identity the output is the kernel.
    y = numpy_of(DropConnect(inner, rate, seed=1)(np.eye(size), training=True))
    # The number dropped is binomial: 5 standard deviations are exceeded once in 1.7 million.
    share = 5 * math.sqrt(rate * (1 - rate)) / size
    assert abs((y == 0).mean() - rate) <= share
    scale = 1 / (1 - rate)
    rounding = 2 * ROUNDING[dtype] + scale * ROUNDING["float32"]
    np.testing.assert_allclose(y[y != 0], scale, rtol=rounding)
    assert abs(y.mean(dtype="float64") - 1) <= scale * share + rounding
    assert inner.kernel.dtype == "float32"


def test_elements_of_the_kernel_are_drawn_one_by_one():
    inner = layers.Dense(50, use_bias=False, kernel_initializer="ones")
    mask = numpy_of(DropConnect(inner, 0.5, seed=1)(np.eye(50), training=True)) != 0
    for axis in (0, 1):
        # Sums of 50 fair coins, and no row or column all alike.
        assert 0 < mask.mean(axis=axis).min() < mask.mean(axis=axis).max() < 1


def test_one_mask_serves_the_whole_batch():
    y = DropConnect(dense(), 0.5, seed=1)(np.ones((6, 8)), training=True)
    assert len(np.unique(numpy_of(y), axis=0)) == 1


def test_a_kernel_with_infinite_values_is_dropped_too():
    inner = layers.Dense(1, use_bias=False, kernel_initializer=keras.initializers.Constant(np.inf))
    y = DropConnect(inner, 1.0)(np.ones((2, 3)), training=True)
    np.testing.assert_array_equal(numpy_of(y), 0.0)


def test_gradients_reach_the_kept_weights_and_the_bias():
    """One step of SGD on the sum of the outputs: each weight moves by its own scale."""
    inner = dense()
    model = keras.Sequential([keras.Input((8,)), DropConnect(inner, 0.5, seed=1)])
    model.compile(keras.optimizers.SGD(1.0), loss=lambda y, p: ops.sum(p, axis=-1))
    model.train_on_batch(np.ones((2, 8), "float32"), np.ones((2, 4), "float32"))
    kernel, bias = inner.get_weights()
    assert set(np.unique(kernel)) == {1.0, -1.0}
    np.testing.assert_array_equal(bias, 0.0)


def test_a_new_mask_is_drawn_at_each_step_of_a_fit():
    model = model_of(DropConnect(dense(), 0.5, seed=1))
    x, y = np.ones((4, 8), "float32"), np.ones((4, 4), "float32")
    assert len({float(model.train_on_batch(x, y)) for _ in range(8)}) > 3


def test_penalties_are_those_of_the_plain_layer():
    """The kernel penalty sees the whole kernel, and an activity penalty counts once."""
    l2 = keras.regularizers.L2(0.1)
    penalties = {"kernel_regularizer": l2, "activity_regularizer": l2}
    x, y = np.ones((4, 8), "float32"), np.ones((4, 4), "float32")
    histories, losses = [], []
    for layer in (DropConnect(dense(**penalties), 1.0, Constant(0.0)), dense(**penalties)):
        model = model_of(layer)
        callbacks = [RegularizationScheduler()]
        histories.append(model.fit(x, y, verbose=0, callbacks=callbacks).history)
        with at(step=0):
            model(x, training=True)
        losses.append([float(numpy_of(loss)) for loss in model.losses])
    assert histories[0]["penalty"] == pytest.approx(histories[1]["penalty"])
    assert histories[0]["data_loss"] == pytest.approx([64.0])
    assert losses[0] == pytest.approx(losses[1])
    # A kernel of 32 ones.
    assert losses[1][1] == pytest.approx(3.2)


def test_a_call_that_fails_leaves_nothing_behind():
    inner = dense()
    layer = DropConnect(inner, 1.0)
    layer.build((None, 8))
    with pytest.raises(ValueError):
        layer(np.ones((2, 5)), training=True)
    inner.kernel.assign(inner.kernel + 1)
    np.testing.assert_array_equal(numpy_of(layer(np.ones((2, 8)))), 17.0)


def test_a_shared_layer_is_dropped_where_it_is_wrapped():
    inner = dense()
    inputs = keras.Input((8,))
    model = keras.Model(inputs, [inner(inputs), DropConnect(inner, 1.0)(inputs)])
    plain, dropped = model(np.ones((2, 8)), training=True)
    np.testing.assert_array_equal(numpy_of(plain), 9.0)
    np.testing.assert_array_equal(numpy_of(dropped), 1.0)
    assert len(model.get_weights()) == 2


@every_kind
def test_a_trained_model_loads_and_gives_the_same(make, shape, tmp_path):
    model = keras.Sequential([keras.Input(shape), DropConnect(make(), 0.5, LinearWarmup(2))])
    model.compile("sgd", loss="mse")
    x = inputs_of(shape)
    y = np.zeros((3, *model.output_shape[1:]), "float32")
    model.fit(x, y, epochs=2, verbose=0, callbacks=[RegularizationScheduler()])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


CHANGES = {
    "quantized": lambda model: model.quantize("int8"),
    "with LoRA weights": lambda model: model.layers[0].layer.enable_lora(2),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_keras_adds_is_used_and_loaded_but_not_trained(change, tmp_path):
    model = model_of(DropConnect(layers.Dense(4), 0.5))
    change(model)
    x = inputs_of((8,))
    expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(numpy_of(model.layers[0].layer(x)), expected)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(again.predict(x, verbose=0), expected)
    with pytest.raises(ValueError, match=r"DropConnect: `layer` must be .*, got .*\. Wrap the"):
        again(x, training=True)


class CountsCalls(layers.Dense):
    def build(self, input_shape):
        super().build(input_shape)
        self.calls = self.add_weight(name="calls", initializer="zeros", trainable=False)


def test_a_subclass_with_state_is_refused_when_built():
    with pytest.raises(ValueError, match=r"^DropConnect: `layer` must be .*, got .*calls.*\. Wrap"):
        DropConnect(CountsCalls(4), 0.5).build((None, 8))


@pytest.mark.parametrize(
    "layer",
    [
        layers.BatchNormalization(),
        layers.Dropout(0.5),
        layers.LSTM(3),
        keras.Sequential([layers.Dense(3)]),
        None,
    ],
    ids=lambda layer: getattr(layer, "name", str(layer)).strip("_0123456789"),
)
def test_what_has_no_known_kernel_is_refused(layer):
    with pytest.raises(TypeError, match=r"^DropConnect: `layer` must be one of .*, got .*\. Use"):
        DropConnect(layer, 0.5)


def test_masks_and_dtype_are_those_of_the_layer():
    conv = layers.Conv1D(3, 2)
    assert DropConnect(conv, 0.5).supports_masking == conv.supports_masking
    half = DropConnect(layers.Dense(3, dtype="mixed_bfloat16"), 0.5)
    assert half(keras.KerasTensor((None, 4))).dtype == "bfloat16"
