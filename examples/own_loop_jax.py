"""A hand-written JAX loop whose penalty follows a schedule."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np

import keras_regplus as kr

l2 = kr.regularizers.ScheduledL2(0.1, kr.schedules.LinearWarmup(4))
model = keras.Sequential(
    [keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="ones", kernel_regularizer=l2)]
)
optimizer = keras.optimizers.SGD(0.0)
optimizer.build(model.trainable_variables)
x, y = np.ones((8, 3), "float32"), np.full((8, 1), 3.0, "float32")


def loss_of(trainable, non_trainable, step, x, y):
    # `step` is traced: it is an argument of the compiled step, not a number from outside.
    with kr.at(step=step):
        predicted, non_trainable, penalties = model.stateless_call(
            trainable, non_trainable, x, training=True, return_losses=True
        )
    return ((predicted - y) ** 2).mean() + sum(penalties), non_trainable


@jax.jit
def train_step(state, step, x, y):
    trainable, non_trainable, optimizer_variables = state
    compute = jax.value_and_grad(loss_of, has_aux=True)
    (loss, non_trainable), gradients = compute(trainable, non_trainable, step, x, y)
    trainable, optimizer_variables = optimizer.stateless_apply(
        optimizer_variables, gradients, trainable
    )
    return loss, (trainable, non_trainable, optimizer_variables)


state = (
    [v.value for v in model.trainable_variables],
    [v.value for v in model.non_trainable_variables],
    [v.value for v in optimizer.variables],
)
strengths = []
for step in range(6):
    loss, state = train_step(state, step, x, y)
    # The data loss is 0 and the sum of squares 3, so the loss tells the strength.
    strengths.append(round(float(loss) / 3, 6))
print(strengths)
