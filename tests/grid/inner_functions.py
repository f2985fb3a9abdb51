"""Ways to compile or transform a function inside a training step, and models that do it.

A way makes of `compute`, which maps an array to one of its shape, a function that computes
the same. A host puts that function into a model: into a layer, a penalty or the loss. In
a frozen fit the loss of its model is `FULL * factor`, and that of its plain twin `FULL`.
"""

from __future__ import annotations

import importlib

import keras
import numpy as np
from keras import layers, ops

import keras_regplus as kr
from keras_regplus.clock.scheduled import ScheduledMixin
from keras_regplus.layers import ScheduledDropout
from keras_regplus.regularizers import ScheduledL2

from .models import BACKEND

here = importlib.import_module(f".inner_functions_{BACKEND}", __package__)

FEATURES, FULL = 4, 0.5
SQUARES = 12.0  # of the kernel with a penalty


# Ways that Keras has on each backend.


def keras_remat(compute):
    return keras.remat(compute)


def keras_cond(compute):
    return lambda x: ops.cond(ops.sum(x) > -1e9, lambda: compute(x), lambda: 0.0 * x)


def keras_while_loop(compute):
    """Not one that is differentiated, as JAX itself cannot."""

    def run(x):
        still = ops.stop_gradient(x)

        def body(i, total):
            return i + 1, total + compute(still) / 3.0

        return 0.0 * x + ops.while_loop(lambda i, _: i < 3, body, (0, ops.zeros_like(x)))[1]

    return run


def keras_map(compute):
    return lambda x: ops.map(compute, x)


def keras_scan(compute):
    return lambda x: ops.scan(lambda carry, row: (carry, compute(row)), 0.0 * x[0], x)[1]


def keras_vectorized_map(compute):
    return lambda x: ops.vectorized_map(compute, x)


def keras_custom_gradient(compute):
    @ops.custom_gradient
    def run(x):
        def gradient(*args, upstream=None):
            return args[0] if upstream is None else upstream

        return compute(x), gradient

    return run


def at_once(compute):
    return compute


WAYS = {
    "nothing around it": at_once,
    "keras.remat": keras_remat,
    "ops.cond": keras_cond,
    "ops.while_loop": keras_while_loop,
    "ops.map": keras_map,
    "ops.scan": keras_scan,
    "ops.vectorized_map": keras_vectorized_map,
    "ops.custom_gradient": keras_custom_gradient,
    **here.WAYS,
}


# What is scheduled, and its twins.


class Level(ScheduledMixin, layers.Layer):
    """A scheduled layer whose output tells its strength."""

    def __init__(self, base, schedule, **arguments):
        super().__init__(**arguments)
        self.base, self.schedule = base, schedule

    def call(self, x):
        return 0.0 * x + ops.cast(self._now(self.base), x.dtype)

    def _strengths(self):
        return {"": self.base}


class PlainLevel(layers.Layer):
    def __init__(self, base, **arguments):
        super().__init__(**arguments)
        self.base = base

    def call(self, x):
        return 0.0 * x + self.base


class Through:
    """A penalty that is computed in a compiled function."""

    def __init__(self, way, *arguments):
        super().__init__(FULL / SQUARES, *arguments)
        self.run = way(self.compute)

    def compute(self, x):
        shares = ops.ones_like(x) / float(np.prod(x.shape))
        return shares * super().__call__(x)

    def __call__(self, x):
        return ops.sum(self.run(1.0 * x))


class ThroughScheduled(Through, ScheduledL2):
    pass


class ThroughPlain(Through, keras.regularizers.L2):
    pass


class Scheduled:
    """Makes what is scheduled."""

    def __init__(self, schedule):
        self.schedule = schedule

    def level(self):
        return Level(FULL, self.schedule, name="level")

    def l2(self, way=at_once):
        return ThroughScheduled(way, self.schedule)

    def now(self):
        return kr.now(self.schedule)

    def dropout(self, rate):
        return ScheduledDropout(rate, self.schedule, seed=3, name="drop")


class Plain:
    """Makes the twins of plain Keras."""

    def level(self):
        return PlainLevel(FULL, name="level")

    def l2(self, way=at_once):
        return ThroughPlain(way)

    def now(self):
        return 1.0

    def dropout(self, rate):
        return layers.Dropout(rate, seed=3, name="drop")


# Hosts.


class Host(layers.Layer):
    def __init__(self, part, way, **arguments):
        super().__init__(name="host", **arguments)
        self.part = part
        self.run = way(self.compute)

    def compute(self, x):
        return self.part(x)

    def call(self, x):
        return self.run(x)


def mean_of_prediction(y, y_pred):
    return ops.mean(y_pred, axis=-1)


def sequential(*chain, regularizer=None):
    """Layers behind one of weights that hold ones."""
    first = layers.Dense(
        3, use_bias=False, kernel_initializer="ones", kernel_regularizer=regularizer, name="dense"
    )
    return keras.Sequential([keras.Input((FEATURES,)), first, *chain], name="net")


def nothing(y, y_pred):
    return 0.0 * mean_of_prediction(y, y_pred)


def in_layer(parts, way):
    return sequential(Host(parts.level(), way)), mean_of_prediction


def in_layer_with_now(parts, way):
    """A loss of `FULL` times the factor, by the maths of a user's own layer."""

    class OwnMaths(Host):
        def compute(self, x):
            return 0.0 * x + FULL * parts.now()

    return sequential(OwnMaths(None, way)), mean_of_prediction


def in_penalty(parts, way):
    return sequential(regularizer=parts.l2(way)), nothing


def in_loss(parts, way):
    run = way(lambda y_pred: 0.0 * y_pred + FULL * parts.now())
    return sequential(), lambda y, y_pred: ops.mean(run(y_pred), axis=-1)


HOSTS = {
    "layer": in_layer,
    "now in a layer": in_layer_with_now,
    "penalty": in_penalty,
    "loss": in_loss,
}


# Models that bring a way of their own.


class Cell(layers.Layer):
    """Of a recurrent layer; its state is what the part has told."""

    state_size = output_size = 3

    def __init__(self, part):
        super().__init__()
        self.part = part

    def call(self, x, states):
        told = self.part(x)
        return told, [told]


def recurrent(parts, unroll=False):
    rnn = layers.RNN(Cell(parts.level()), unroll=unroll)
    return sequential(layers.RepeatVector(4), rnn), mean_of_prediction


def recurrent_at_once(parts):
    return recurrent(parts, unroll=True)


def distributed_over_time(parts):
    chain = layers.RepeatVector(4), layers.TimeDistributed(parts.level())
    return sequential(*chain), lambda y, y_pred: ops.mean(y_pred, axis=(-1, -2))


class CallsStateless(layers.Layer):
    def __init__(self, part):
        super().__init__(name="host")
        self.part = part

    def call(self, x):
        values = [[v.value for v in group] for group in _variables(self.part)]
        return self.part.stateless_call(*values, x)[0]


def _variables(layer):
    return layer.trainable_variables, layer.non_trainable_variables


def stateless_call(parts):
    part = parts.level()
    part.build((None, 3))
    return sequential(CallsStateless(part)), mean_of_prediction


def remat_scope(parts):
    with keras.RematScope("full"):
        level, first = parts.level(), parts.l2()
    return sequential(level, regularizer=first), lambda y, y_pred: 0.5 * nothing(y, y_pred)


class Read(layers.Layer):
    """Puts out `1 / (1 - rate)` of the dropout in it, wherever nothing was dropped."""

    def __init__(self, dropout, way):
        super().__init__(name="host")
        self.dropout = dropout
        self.run = way(self.compute)

    def compute(self, x):
        return self.dropout(0.0 * x + 1.0, training=True)

    def call(self, x, training=False):
        return self.run(x) if training else 0.0 * x + 1.0


def rate_read(y, y_pred):
    return 0.0 * mean_of_prediction(y, y_pred) + 1.0 - 1.0 / ops.max(y_pred)


OWN_WAYS = {
    "RNN": recurrent,
    "RNN, unrolled": recurrent_at_once,
    "TimeDistributed": distributed_over_time,
    "stateless_call": stateless_call,
    "keras.RematScope": remat_scope,
}
