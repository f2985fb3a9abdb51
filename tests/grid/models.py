"""Small models with a scheduled penalty at every place where a regularizer can sit.

Their weights stand still in a frozen fit, so the loss of a step is
`strength(t) * base * sum(w^2)`, all known in closed form.
"""

import contextlib

import keras
import numpy as np
from keras import layers, ops

from keras_regplus.layers import ScheduledDropout
from keras_regplus.regularizers import (
    Scheduled,
    ScheduledL1,
    ScheduledL1L2,
    ScheduledL2,
    WarmupL1L2,
)
from keras_regplus.schedules import LinearWarmup

BACKEND = keras.backend.backend()
BASE, WARMUP = 0.1, 10
BATCH, STEPS = 8, 6
X = np.random.default_rng(0).normal(size=(BATCH * STEPS, 4)).astype("float32")
SEQUENCES = np.random.default_rng(1).normal(size=(BATCH * STEPS, 3, 4)).astype("float32")
IMAGES = np.random.default_rng(2).normal(size=(BATCH * STEPS, 4, 4, 2)).astype("float32")
WORDS = np.random.default_rng(3).integers(0, 7, size=(BATCH * STEPS, 3))


def l2():
    return ScheduledL2(BASE, LinearWarmup(WARMUP))


def warmed(steps):
    """The factor at each of `steps`, written down once more."""
    return np.array([min(t / WARMUP, 1.0) for t in steps])


def base_penalty(model):
    """`base * sum(w^2)` over all weights that have a penalty, in float64."""
    return BASE * sum(
        float(np.sum(ops.convert_to_numpy(w).astype("float64") ** 2))
        for w in model.trainable_weights
        if w.regularizer is not None
    )


def compiled(model, optimizer=None, loss=None, **arguments):
    model.compile(
        optimizer or keras.optimizers.SGD(0.0),
        loss or keras.losses.MeanSquaredError(),
        **arguments,
    )
    return model


def sequential():
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(5, kernel_regularizer=l2()), layers.Dense(2)]
    )


def unbuilt_sequential():
    """Predicts 0, so that its targets are known before it has weights."""
    return keras.Sequential(
        [layers.Dense(5, kernel_regularizer=l2()), layers.Dense(2, kernel_initializer="zeros")]
    )


def functional():
    inputs = keras.Input((4,))
    hidden = layers.Dense(
        5, kernel_regularizer=l2(), bias_regularizer=l2(), bias_initializer="ones"
    )(inputs)
    return keras.Model(inputs, layers.Dense(2)(hidden) + layers.Dense(2)(inputs))


class Subclassed(keras.Model):
    """Predicts 0, so that its targets are known before it has weights."""

    def __init__(self):
        super().__init__()
        self.hidden = layers.Dense(5, kernel_regularizer=l2())
        self.out = layers.Dense(2, kernel_initializer="zeros")

    def call(self, x):
        return self.out(self.hidden(x))


class OnlyAddsWeight(layers.Layer):
    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], 2), regularizer=l2())

    def call(self, x):
        return ops.matmul(x, self.w)


def nested():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, kernel_regularizer=l2())])
    return keras.Sequential([keras.Input((4,)), inner, layers.Dense(2, kernel_regularizer=l2())])


def shared_instance():
    one = l2()
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, kernel_regularizer=one, bias_regularizer=one, bias_initializer="ones"),
            layers.Dense(2, kernel_regularizer=one),
        ]
    )


def recurrent_penalties():
    penalties = {f"{name}_regularizer": l2() for name in ("kernel", "recurrent", "bias")}
    return {**penalties, "bias_initializer": "ones"}


def lstm():
    return keras.Sequential([keras.Input((3, 4)), layers.LSTM(2, **recurrent_penalties())])


def gru():
    return keras.Sequential([keras.Input((3, 4)), layers.GRU(2, **recurrent_penalties())])


def bidirectional():
    both = layers.Bidirectional(layers.GRU(2, **recurrent_penalties()))
    return keras.Sequential([keras.Input((3, 4)), both])


def time_distributed():
    dense = layers.Dense(2, kernel_regularizer=l2())
    return keras.Sequential([keras.Input((3, 4)), layers.TimeDistributed(dense)])


def attention():
    inputs = keras.Input((3, 4))
    attend = layers.MultiHeadAttention(
        2, 3, kernel_regularizer=l2(), bias_regularizer=l2(), bias_initializer="ones"
    )
    return keras.Model(inputs, attend(inputs, inputs))


def convolutional():
    conv = layers.SeparableConv2D(
        3,
        2,
        depthwise_regularizer=l2(),
        pointwise_regularizer=l2(),
        bias_regularizer=l2(),
        bias_initializer="ones",
    )
    return keras.Sequential([keras.Input((4, 4, 2)), conv, layers.Flatten(), layers.Dense(2)])


def embedding():
    return keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            layers.Embedding(7, 2, embeddings_regularizer=l2()),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )


def wrapped():
    schedule = LinearWarmup(WARMUP)
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, kernel_regularizer=Scheduled(keras.regularizers.L2(BASE), schedule)),
            layers.Dense(2, kernel_regularizer=WarmupL1L2(l2=BASE, warmup=WARMUP)),
        ]
    )


def norms():
    schedule = LinearWarmup(WARMUP)
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, kernel_regularizer=ScheduledL1(BASE, schedule)),
            layers.Dense(2, kernel_regularizer=ScheduledL1L2(BASE, BASE, schedule)),
        ]
    )


def norms_penalty(model):
    """L1 on the first layer, L1 and L2 on the second."""
    first, second = (ops.convert_to_numpy(layer.kernel).astype("float64") for layer in model.layers)
    return BASE * (np.abs(first).sum() + np.abs(second).sum() + (second**2).sum())


def with_activity():
    dense = layers.Dense(
        5,
        bias_initializer="ones",
        kernel_regularizer=l2(),
        bias_regularizer=l2(),
        activity_regularizer=l2(),
    )
    return keras.Sequential([keras.Input((4,)), dense, layers.Dense(2, kernel_initializer="zeros")])


def averages_activities():
    """Whether this Keras divides the penalty of an activity by the batch size."""
    plain = layers.Activation("linear", activity_regularizer=keras.regularizers.L2(1.0))
    plain(np.ones((BATCH, 1)))
    return float(ops.convert_to_numpy(plain.losses[0])) == 1.0


def activity_penalty(model):
    """Of each batch of `X`; Keras divides the penalty of an activity by the batch size."""
    kernel, bias = (ops.convert_to_numpy(w).astype("float64") for w in model.layers[0].weights)
    activities = (X.astype("float64") @ kernel + bias).reshape(STEPS, -1)
    return base_penalty(model) + BASE * (activities**2).sum(1) / BATCH


def sharing():
    """Two models that share a layer."""
    shared = layers.Dense(5, kernel_regularizer=l2())
    inputs = keras.Input((4,))
    first = keras.Model(inputs, shared(inputs))
    return first, keras.Model(inputs, layers.Dense(2, kernel_regularizer=l2())(shared(inputs)))


DROPPED = 0.5


def dropping():
    """Puts out `1 / (1 - rate)` wherever nothing was dropped, whatever goes in."""
    inputs = keras.Input((4,))
    # Lost in 1, but not in a gradient that is not finite.
    nothing = 1e-12 * layers.Dense(4, use_bias=False, kernel_regularizer=l2())(inputs)
    dropout = ScheduledDropout(DROPPED, LinearWarmup(WARMUP), seed=5)
    return keras.Model(inputs, dropout(1.0 + nothing))


def rate_seen(y, predicted):
    """The rate that made `predicted`, read off a value that was kept; the targets are 1."""
    rate = 1 - 1 / ops.max(ops.cast(predicted, "float32"))
    return rate * ops.mean(ops.cast(y, "float32"), axis=-1)


@contextlib.contextmanager
def in_floatx(floatx):
    with contextlib.ExitStack() as stack:
        if BACKEND == "jax" and floatx == "float64":
            import jax

            jax.config.update("jax_enable_x64", True)
            stack.callback(jax.config.update, "jax_enable_x64", False)
        for configure in (keras.config.set_floatx, keras.config.set_dtype_policy):
            configure(floatx)
            stack.callback(configure, "float32")
        yield
