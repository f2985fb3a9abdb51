"""Weights chosen by the class of a layer: its own, and those of all that it holds."""

from __future__ import annotations

import keras
import pytest
from keras import layers

from keras_regplus._weight_choice import checked_choice, is_chosen
from keras_regplus.clock.model_parts import layers_of_weights


def model_with(*middle):
    """The layers of `middle` between an `Embedding` and a `Dense`."""
    return keras.Sequential(
        [keras.Input((4,)), layers.Embedding(7, 6), *middle, layers.Flatten(), layers.Dense(2)]
    )


class Attention(layers.Layer):
    """A layer of the user's own that holds another."""

    def __init__(self):
        super().__init__()
        self.attention = layers.MultiHeadAttention(2, 3)

    def build(self, shape):
        self.attention.build(shape, shape)

    def call(self, x):
        return self.attention(x, x)


@pytest.mark.parametrize(
    ("middle", "cls", "number"),
    [
        (layers.Dense(5), layers.Embedding, 1),
        (layers.Dense(5), layers.Dense, 4),
        (layers.LSTM(3, return_sequences=True), layers.LSTM, 3),
        (layers.LSTM(3, return_sequences=True), layers.LSTMCell, 3),
        (layers.RNN([layers.GRUCell(3), layers.GRUCell(2)]), layers.RNN, 6),
        (layers.Bidirectional(layers.GRU(3)), layers.GRU, 6),
        (layers.Bidirectional(layers.GRU(3)), layers.Bidirectional, 6),
        (layers.TimeDistributed(layers.Dense(5)), layers.TimeDistributed, 2),
        (Attention(), layers.MultiHeadAttention, 8),
        (Attention(), Attention, 8),
        (keras.Sequential([layers.Dense(5), layers.BatchNormalization()]), keras.Sequential, 9),
        (keras.Sequential([layers.Dense(5), layers.Dropout(0.1)]), layers.Dropout, 0),
    ],
    ids=lambda value: getattr(value, "__name__", None) or type(value).__name__,
)
def test_a_class_means_all_weights_of_its_layers(middle, cls, number):
    model = model_with(middle)
    rule, around = checked_choice("owner", "include", cls), layers_of_weights(model)
    chosen = [w for w in model.weights if is_chosen(w.path, around[id(w)], rule)]
    assert len(chosen) == number
    others = [w for w in model.weights if is_chosen(w.path, around[id(w)], None, rule)]
    assert len(others) == len(model.weights) - number
