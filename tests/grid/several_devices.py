"""Schedules on several devices: `MirroredStrategy`, `DataParallel` and `ModelParallel`.

A process has its number of devices for life, so this is a script, which
`test_several_devices.py` runs: `KERAS_BACKEND=jax python -m tests.grid.several_devices`.
It prints what was found in each cell beside the closed form.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import traceback
import warnings
from contextlib import nullcontext, redirect_stdout
from functools import partial

import keras
import numpy as np
from keras import layers

from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.testing import frozen_fit

from .models import (
    BACKEND,
    BATCH,
    DROPPED,
    STEPS,
    X,
    base_penalty,
    compiled,
    dropping,
    l2,
    rate_seen,
    warmed,
)

EPOCHS = 2
TARGETS = X[:, :2]


def network():
    """Predicts 0, so its data loss is the mean square of the targets."""
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(6, kernel_regularizer=l2()),
            layers.Dense(2, kernel_initializer="zeros"),
        ]
    )


def sgd(**arguments):
    return keras.optimizers.SGD(0.0, **arguments)


def fit(model, x=X, y=TARGETS, epochs=EPOCHS):
    return frozen_fit(
        model,
        x,
        y,
        batch_size=BATCH,
        epochs=epochs,
        validation_data=(x, y),
        validation_batch_size=BATCH,
        callbacks=[RegularizationScheduler()],
    )


def compared(model, start=0, accumulate=1, group=1):
    """What a fit shows, each beside the closed form; `start` updates were made before."""
    run, full = fit(model), base_penalty(model)
    batches = np.arange(EPOCHS * STEPS + 1)
    penalty = full * warmed(start + batches // accumulate)
    data = np.square(TARGETS.astype("float64")).reshape(STEPS, -1).mean(1)
    losses = (penalty[:-1].reshape(EPOCHS, STEPS) + data).tolist()
    groups = [np.mean(epoch[i : i + group]) for epoch in losses for i in range(0, STEPS, group)]
    validated = penalty[STEPS::STEPS]
    return {
        "loss of each step": (run.loss, groups),
        "loss": (run.history["loss"], np.mean(losses, axis=1)),
        "data_loss": (run.history["data_loss"], [data.mean()] * EPOCHS),
        "penalty": (run.history["penalty"], penalty[:-1].reshape(EPOCHS, STEPS).mean(1)),
        "val_loss": (run.val_loss, validated + data.mean()),
        "val_data_loss": (run.history["val_data_loss"], [data.mean()] * EPOCHS),
        "val_penalty": (run.history["val_penalty"], validated),
    }


def several_fits(model):
    """A second fit goes on; with a new optimizer the third begins at 0."""
    fit(model, epochs=1)
    second = compared(model, start=STEPS)
    scope = model.distribute_strategy.scope() if BACKEND == "tensorflow" else nullcontext()
    with scope:
        compiled(model, sgd())
    return named("second fit", second) | named("recompiled", compared(model))


def named(fit, found):
    return {f"{fit}, {key}": pair for key, pair in found.items()}


def late(model):
    """The callback comes with the second fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RegPlusWarning)
        model.fit(X, TARGETS, batch_size=BATCH, verbose=0)
    return compared(model, start=STEPS)


def uneven(model, last=4):
    """Means weigh each batch by its size; the last one is smaller."""
    kept = slice(0, (STEPS - 1) * BATCH + last)
    run = fit(model, X[kept], TARGETS[kept])
    sizes = np.array([BATCH] * (STEPS - 1) + [last])
    factors = warmed(range(EPOCHS * STEPS)).reshape(EPOCHS, STEPS)
    penalty = base_penalty(model) * (factors * sizes).sum(1) / sizes.sum()
    data = np.square(TARGETS[kept].astype("float64")).mean()
    return {
        "loss": (run.history["loss"], penalty + data),
        "data_loss": (run.history["data_loss"], [data] * EPOCHS),
        "penalty": (run.history["penalty"], penalty),
    }


def rates(model):
    """The loss holds the rate of a `ScheduledDropout`, in training alone."""
    run = fit(model, y=np.ones_like(X))
    full, strength = base_penalty(model), warmed(range(EPOCHS * STEPS + 1))
    return {
        "loss of each step": (run.loss, (full + DROPPED) * strength[:-1]),
        "val_loss": (run.val_loss, full * strength[STEPS::STEPS]),
    }


@functools.cache
def strategy():
    """One for all cells: TensorFlow's collectives do not take a second one in a process."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def mirrored(check=compared, optimizer=sgd, build=network, loss=None, **arguments):
    with strategy().scope():
        model = compiled(build(), optimizer(), loss, **arguments)
    return check(model)


def data_parallel(check=compared, optimizer=sgd, **arguments):
    distribution = keras.distribution.DataParallel(devices=["cpu:0", "cpu:1"])
    with distribution.scope():
        return check(compiled(network(), optimizer(), **arguments))


def model_parallel(shape, shard, check=compared, build=network, loss=None):
    """With the columns of each kernel spread over the second axis of the mesh."""
    mesh = keras.distribution.DeviceMesh(shape, ["batch", "model"], ["cpu:0", "cpu:1"])
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*dense.*kernel"] = (None, "model")
    distribution = keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
    with distribution.scope():
        model = compiled(build(), sgd(), loss)
        kernel = model.trainable_weights[0].value
        found = kernel.sharding.shard_shape(kernel.shape)
        return {"shard": (found, shard), **check(model)}


def scaled():
    return keras.optimizers.LossScaleOptimizer(sgd())


accumulating = partial(sgd, gradient_accumulation_steps=2)

CELLS = {
    "tensorflow": {
        "MirroredStrategy": mirrored,
        "MirroredStrategy, run_eagerly=True": partial(mirrored, run_eagerly=True),
        "MirroredStrategy, LossScaleOptimizer": partial(mirrored, optimizer=scaled),
        "MirroredStrategy, uneven last batch": partial(mirrored, uneven),
        "MirroredStrategy, second fit and recompiled": partial(mirrored, several_fits),
        "MirroredStrategy, a fit before the callback": partial(mirrored, late),
        "MirroredStrategy, ScheduledDropout": partial(
            mirrored, rates, build=dropping, loss=rate_seen
        ),
    },
    "jax": {
        "DataParallel": data_parallel,
        "DataParallel, run_eagerly=True": partial(data_parallel, run_eagerly=True),
        "DataParallel, steps_per_execution=3": partial(
            data_parallel, partial(compared, group=3), steps_per_execution=3
        ),
        "DataParallel, accumulation of 2": partial(
            data_parallel, partial(compared, accumulate=2), accumulating
        ),
        "DataParallel, uneven last batch": partial(data_parallel, uneven),
        "DataParallel, second fit and recompiled": partial(data_parallel, several_fits),
        "DataParallel, a fit before the callback": partial(data_parallel, late),
        "ModelParallel, mesh 1 x 2": partial(model_parallel, (1, 2), (4, 3)),
        "ModelParallel, mesh 2 x 1": partial(model_parallel, (2, 1), (4, 6)),
        "ModelParallel, mesh 1 x 2, ScheduledDropout": partial(
            model_parallel, (1, 2), (4, 2), rates, dropping, rate_seen
        ),
    },
    "torch": {},
}[BACKEND]


def plain(optimizer=sgd, **arguments):
    with strategy().scope():
        model = keras.Sequential([keras.Input((4,)), layers.Dense(2, kernel_regularizer="l2")])
        compiled(model, optimizer(), **arguments)
    model.fit(X, TARGETS, batch_size=BATCH, verbose=0)
    return {}


PLAIN = {
    "MirroredStrategy, steps_per_execution=3": partial(plain, steps_per_execution=3),
    "MirroredStrategy, accumulation of 2": partial(plain, accumulating),
}
# What Keras itself cannot do, with a plain penalty, and words of its error.
REFUSED = {
    "tensorflow": {
        "MirroredStrategy, steps_per_execution=3": "InvalidArgumentError",
        "MirroredStrategy, accumulation of 2": "`merge_call` called while defining a new graph",
    },
}.get(BACKEND, {})


def split_devices():
    """Two devices out of one CPU, before anything has asked for one."""
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    if BACKEND == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, halves)


def outcome(cell):
    keras.utils.set_random_seed(0)
    try:
        found = cell()
    except Exception:
        return {"error": traceback.format_exc()}
    return {key: np.asarray(pair, dtype="float64").tolist() for key, pair in found.items()}


def main(names):
    split_devices()
    # Keras and TensorFlow print to the stream that the outcome is meant for.
    with redirect_stdout(sys.stderr):
        found = {name: outcome((CELLS | PLAIN)[name]) for name in names or CELLS}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
