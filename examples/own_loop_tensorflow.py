"""A hand-written TensorFlow loop whose penalty follows a schedule."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf

import keras_regplus as kr

l2 = kr.regularizers.ScheduledL2(0.1, kr.schedules.LinearWarmup(4))
model = keras.Sequential(
    [keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="ones", kernel_regularizer=l2)]
)
optimizer = keras.optimizers.SGD(0.0)
x, y = np.ones((8, 3), "float32"), np.full((8, 1), 3.0, "float32")


@tf.function
def train_step(x, y):
    # The optimizer's own count is a variable: read inside the compiled step, it moves on.
    with kr.at(step=optimizer.iterations.value), tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(x, training=True) - y) ** 2) + sum(model.losses)
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply(gradients, model.trainable_variables)
    return loss


optimizer.build(model.trainable_variables)
# The data loss is 0 and the sum of squares 3, so the loss tells the strength.
print([round(float(train_step(x, y)) / 3, 6) for _ in range(6)])
