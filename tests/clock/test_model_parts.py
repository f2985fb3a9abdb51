"""What is found in a model, under paths that are unique in all logs; what Keras ignores."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import RegularizationScheduler, WeightHistogram
from keras_regplus.clock.model_parts import (
    ignored_regularizers,
    layers_of_weights,
    scheduled_sites,
    unique_paths,
    weight_paths,
)
from keras_regplus.layers import DropConnect, ScheduledDropout
from keras_regplus.regularizers import ScheduledL1, ScheduledL2
from keras_regplus.schedules import LinearWarmup

X, Y = np.ones((4, 3), "float32"), np.ones((4, 3), "float32")
SEQUENCES = np.ones((4, 2, 3), "float32")
IMAGES = np.ones((4, 4, 4, 3), "float32")
WORDS = np.ones((4, 2), "int32")


def l2(strength=0.1):
    return ScheduledL2(strength, LinearWarmup(10))


@pytest.mark.parametrize(
    ("paths", "unique"),
    [
        ([], []),
        (["a", "b"], ["a", "b"]),
        (["a", "b", "a", "a"], ["a", "b", "a_2", "a_3"]),
        (["a", "a", "a_2"], ["a", "a_2", "a_2_2"]),
        (["a", "a_2", "a"], ["a", "a_2", "a_3"]),
    ],
)
def test_equal_paths_are_numbered(paths, unique):
    assert unique_paths(paths) == unique


class Towers(keras.Model):
    """Two towers of one name; `plain` ones have no schedule."""

    def __init__(self, *, first_is_plain=False):
        super().__init__(name="net")
        self.one = self.tower(0.1, is_plain=first_is_plain)
        self.two = self.tower(0.2)

    def tower(self, strength, *, is_plain=False):
        rate, penalty = strength, None if is_plain else l2(strength)
        drop = layers.Dropout(rate, name="drop")
        if not is_plain:
            drop = ScheduledDropout(rate, LinearWarmup(10), name="drop")
        dense = layers.Dense(3, name="dense", kernel_regularizer=penalty)
        return keras.Sequential([dense, drop], name="tower")

    def call(self, x, training=False):
        return self.two(self.one(x, training=training), training=training)


def fitted(model, *callbacks, **arguments):
    model.compile(keras.optimizers.SGD(0.0), "mse")
    scheduler = RegularizationScheduler(**arguments)
    history = model.fit(X, Y, epochs=1, verbose=0, callbacks=[scheduler, *callbacks])
    return history.history


def by_kind(logs, kind):
    return {key.removeprefix(f"{kind}/") for key in logs if key.startswith(f"{kind}/")}


KERNELS = "net/tower/dense/kernel", "net/tower/dense/kernel_2"
ACTIVITIES = "net/tower/dense/activity", "net/tower/dense_2/activity"


@pytest.mark.filterwarnings("ignore:.*longer than")
def test_two_parts_of_one_path_have_two_keys_in_every_log(tmp_path):
    model = Towers()
    logs = fitted(model, WeightHistogram(tmp_path, include="kernel"), per_layer=True)
    assert by_kind(logs, "strength") == set(KERNELS)
    assert by_kind(logs, "penalty") == set(KERNELS)
    assert by_kind(logs, "rate") == {"drop", "drop_2"}
    sums = [
        float(np.sum(ops.convert_to_numpy(w) ** 2)) for w in model.weights if "kernel" in w.path
    ]
    for path, strength, squares in zip(KERNELS, (0.01, 0.02), sums, strict=True):
        assert logs[f"strength/{path}"] == pytest.approx([strength])
        assert logs[f"penalty/{path}"] == pytest.approx([strength * squares])
    assert logs["rate/drop_2"] == pytest.approx([0.02])


@pytest.mark.filterwarnings("ignore:.*longer than")
def test_a_name_does_not_depend_on_what_else_is_logged():
    logs = fitted(Towers(first_is_plain=True), per_layer=True)
    assert by_kind(logs, "strength") == by_kind(logs, "penalty") == {KERNELS[1]}
    assert by_kind(logs, "rate") == {"drop_2"}


def test_every_site_has_a_path_of_its_own():
    model = Towers()
    model(X)
    for tower in (model.one, model.two):
        tower.layers[0].activity_regularizer = l2()
    paths = [site.path for site in scheduled_sites(model)]
    assert paths == [ACTIVITIES[0], KERNELS[0], "drop", ACTIVITIES[1], KERNELS[1], "drop_2"]


def test_names_do_not_change_when_a_layer_is_frozen():
    model = Towers()
    model(X)
    before = weight_paths(model)
    model.one.trainable = False
    assert weight_paths(model) == before
    assert list(before) == [id(weight) for weight in model.weights]


class Tied(keras.Model):
    """The second layer takes the kernel of the first, so that both hold it."""

    def __init__(self):
        super().__init__(name="net")
        self.one = layers.Dense(3, name="one", kernel_regularizer=l2())
        self.two = layers.Layer(name="two")

    def build(self, shape):
        self.one.build(shape)
        self.two.kernel = self.one.kernel
        self.built = True

    def call(self, x):
        return ops.matmul(self.one(x), self.two.kernel)


def test_a_weight_in_two_layers_is_one_site():
    model = Tied()
    model(X)
    assert [site.owner for site in scheduled_sites(model)] == [model.one.kernel]
    assert layers_of_weights(model)[id(model.one.kernel)] == [model, model.one, model.two]


def functional(x, *through):
    inputs = outputs = keras.Input(x.shape[1:], dtype=x.dtype.name)
    for layer in through:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs, name="net")


def attention():
    inputs = keras.Input((2, 3))
    layer = layers.MultiHeadAttention(2, 3, kernel_regularizer=l2(), bias_regularizer=l2(0.2))
    return keras.Model(inputs, layer(inputs, inputs), name="net")


def with_lora(layer, x):
    model = functional(x, layer)
    layer.enable_lora(2)
    return model


def loaded(tmp_path):
    dense = layers.Dense(3, kernel_regularizer=l2(), bias_regularizer=l2(0.2))
    model = functional(X, dense)
    fitted(model)
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras")


def quantized():
    model = functional(X, layers.Dense(3, kernel_regularizer=l2(), use_bias=False))
    model.quantize("int8")
    return model


def set_late(layer, name="kernel_regularizer", x=X):
    """A model that holds the built `layer`, whose attribute is set too late."""
    model = functional(x, layer)
    setattr(layer, name, l2())
    return model


def stacked():
    cells = [layers.GRUCell(2, kernel_regularizer=l2()), layers.LSTMCell(2, bias_regularizer=l2())]
    return functional(SEQUENCES, layers.RNN(cells))


class Adding(layers.Layer):
    """Computes its penalty by itself, as published layers do."""

    def __init__(self, regularizer):
        super().__init__()
        self.kernel_regularizer = regularizer

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 3), name="kernel")

    def call(self, x):
        self.add_loss(self.kernel_regularizer(self.kernel))
        return ops.matmul(x, self.kernel)


class Passing(layers.Layer):
    """Gives its regularizer to the layers that it holds."""

    def __init__(self, regularizer):
        super().__init__()
        self.kernel_regularizer = regularizer
        self.inner = layers.Dense(3, kernel_regularizer=regularizer)
        self.other = layers.Dense(3)

    def build(self, shape):
        self.inner.build(shape)
        self.other.build(shape)

    def call(self, x):
        return self.other(self.inner(x))


every_regularizer = {"kernel_regularizer": l2(), "bias_regularizer": l2(0.2)}
IN_ORDER = {
    "dense": lambda: functional(X, layers.Dense(3, **every_regularizer)),
    "no bias": lambda: functional(X, layers.Dense(3, use_bias=False, bias_regularizer=l2())),
    "no bias, set late": lambda: set_late(layers.Dense(3, use_bias=False), "bias_regularizer"),
    "not scheduled": lambda: functional(X, layers.Dense(3, kernel_regularizer="l2")),
    "activity": lambda: set_late(layers.Dense(3), "activity_regularizer"),
    "equal, set late": lambda: set_late(layers.Dense(3, kernel_regularizer=l2())),
    "frozen": lambda: set_late(layers.Dense(3, trainable=False)),
    "lstm": lambda: functional(
        SEQUENCES, layers.LSTM(2, recurrent_regularizer=l2(0.3), **every_regularizer)
    ),
    "cells": stacked,
    "bidirectional": lambda: functional(
        SEQUENCES, layers.Bidirectional(layers.GRU(2, recurrent_regularizer=l2()))
    ),
    "time distributed": lambda: functional(
        SEQUENCES, layers.TimeDistributed(layers.Dense(2, kernel_regularizer=l2()))
    ),
    "attention": attention,
    "separable": lambda: functional(
        IMAGES,
        layers.SeparableConv2D(2, 2, depthwise_regularizer=l2(), pointwise_regularizer=l2(0.2)),
    ),
    "depthwise": lambda: functional(
        IMAGES, layers.DepthwiseConv2D(2, depthwise_regularizer=l2(), bias_regularizer=l2(0.2))
    ),
    "embedding": lambda: functional(WORDS, layers.Embedding(5, 2, embeddings_regularizer=l2())),
    "normalization": lambda: functional(
        X, layers.BatchNormalization(beta_regularizer=l2(), gamma_regularizer=l2(0.2))
    ),
    "prelu": lambda: functional(X, layers.PReLU(alpha_regularizer=l2())),
    "lora dense": lambda: with_lora(layers.Dense(3, kernel_regularizer=l2()), X),
    "lora embedding": lambda: with_lora(layers.Embedding(5, 4, embeddings_regularizer=l2()), WORDS),
    "drop connect": lambda: functional(
        X, DropConnect(layers.Dense(3, kernel_regularizer=l2()), 0.1)
    ),
    "passing": lambda: functional(X, Passing(l2())),
    "not built": lambda: keras.Sequential([layers.Dense(3, kernel_regularizer=l2())]),
    "quantized": quantized,
}


@pytest.mark.grid
@pytest.mark.parametrize("name", IN_ORDER)
def test_no_false_alarm(name):
    assert ignored_regularizers(IN_ORDER[name]()) == []


@pytest.mark.filterwarnings("ignore:.*longer than")
def test_no_false_alarm_in_a_loaded_model(tmp_path):
    assert ignored_regularizers(loaded(tmp_path)) == []


@pytest.mark.filterwarnings("ignore:.*longer than")
def test_no_false_alarm_where_a_layer_computes_its_penalty_by_itself():
    model = functional(X, Adding(l2()))
    fitted(model)
    assert ignored_regularizers(model) == []


LATE = {
    "dense": (lambda: layers.Dense(3, name="l"), "kernel_regularizer", X),
    "bias": (lambda: layers.Dense(3, name="l"), "bias_regularizer", X),
    "other penalty": (
        lambda: layers.Dense(3, name="l", kernel_regularizer=ScheduledL1(0.1)),
        "kernel_regularizer",
        X,
    ),
    "embedding": (lambda: layers.Embedding(5, 2, name="l"), "embeddings_regularizer", WORDS),
    "separable": (
        lambda: layers.SeparableConv2D(2, 2, name="l"),
        "pointwise_regularizer",
        IMAGES,
    ),
    "depthwise": (lambda: layers.DepthwiseConv2D(2, name="l"), "depthwise_regularizer", IMAGES),
    "attention": (
        lambda: layers.GroupQueryAttention(2, 2, 1, name="l"),
        "kernel_regularizer",
        None,
    ),
    "normalization": (lambda: layers.LayerNormalization(name="l"), "gamma_regularizer", X),
}


@pytest.mark.parametrize("name", LATE)
def test_a_regularizer_that_came_too_late_is_named(name):
    make, attribute, x = LATE[name]
    layer = make()
    if x is None:
        inputs = keras.Input((2, 3))
        model = keras.Model(inputs, layer(inputs, inputs), name="net")
        setattr(layer, attribute, l2())
    else:
        model = set_late(layer, attribute, x)
    assert ignored_regularizers(model) == [f"l.{attribute}"]


@pytest.mark.filterwarnings("ignore:.*longer than")
def test_it_is_named_after_a_step_too_and_beside_a_layer_that_uses_the_same_one():
    shared = l2()
    good, late = layers.Dense(3, kernel_regularizer=shared), layers.Dense(3, name="late")
    model = functional(X, good, late)
    late.kernel_regularizer = shared
    with pytest.warns(RegPlusWarning, match=r"late\.kernel_regularizer has no effect: Keras"):
        fitted(model)
    assert ignored_regularizers(model) == ["late.kernel_regularizer"]


def test_cells_are_asked_themselves():
    model = functional(SEQUENCES, layers.LSTM(2, name="lstm"))
    model.layers[-1].cell.recurrent_regularizer = l2()
    assert ignored_regularizers(model) == ["lstm/lstm_cell.recurrent_regularizer"]


def test_the_private_names_of_keras_are_where_we_look():
    layer = layers.Dense(1)
    for name in ("_layers", "_trainable_variables", "_non_trainable_variables"):
        assert hasattr(layer, name), name
