"""What a training step costs with each dropping layer, over one with Keras's own Dropout.

    KERAS_BACKEND=jax python -m benchmarks.cost.layers_time [ROUNDS [STEPS]]

The step makes a batch of 64 maps of 32 by 32 with 64 channels from a weight, drops from it
and takes the mean: hardly more than the layer itself, forwards and backwards. In each of
ROUNDS (20) every variant trains for STEPS (10), one after the other in one process, so that
a busy moment hits all alike; a ratio compares two of one round. The null is Keras's Dropout
against a twin of itself: what differs there is noise. "no layer" is the rest of the step.
Quartiles are those of the ratios.
"""

from __future__ import annotations

import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.layers import DropBlock2D, DropPath, ScheduledDropout
from keras_regplus.schedules import LinearWarmup

BATCH, MAP = 64, (32, 32, 64)
WARMUP = LinearWarmup(1000)

VARIANTS: dict[str, Callable[[], keras.layers.Layer]] = {
    "keras Dropout": lambda: keras.layers.Dropout(0.1),
    "keras Dropout again": lambda: keras.layers.Dropout(0.1),
    "no layer": lambda: keras.layers.Identity(),
    "ScheduledDropout": lambda: ScheduledDropout(0.1, WARMUP),
    "DropPath": lambda: DropPath(0.1, WARMUP),
    "DropBlock2D, shared mask": lambda: DropBlock2D(0.1, 7, WARMUP, shared_mask=True),
    "DropBlock2D, per channel": lambda: DropBlock2D(0.1, 7, WARMUP),
    "DropBlock2D, exact rate": lambda: DropBlock2D(0.1, 7, WARMUP, exact_rate=True),
}


class Maps(keras.layers.Layer):
    """A weight in the shape of a map, times one number for each sample."""

    def build(self, input_shape: tuple) -> None:
        self.map = self.add_weight(shape=MAP, initializer="ones")

    def call(self, inputs: object) -> object:
        return ops.reshape(inputs, (-1, 1, 1, 1)) * self.map


def model_with(layer: keras.layers.Layer) -> keras.Model:
    model = keras.Sequential([keras.Input((1,)), Maps(), layer])
    model.compile("sgd", loss=lambda y, prediction: ops.mean(prediction))
    return model


def measure(rounds: int, steps: int) -> dict[str, np.ndarray]:
    """Milliseconds a step by variant, one number a round."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH * steps, 1)).astype("float32")
    trainings = {
        name: (model_with(make()), [RegularizationScheduler(log=False)])
        for name, make in VARIANTS.items()
    }
    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    # The first rounds compile.
    for number in range(-1, rounds + 1):
        # A fixed order would favour whoever follows an idle moment.
        for name in rng.permutation(list(trainings)):
            model, callbacks = trainings[name]
            start = time.perf_counter()
            model.fit(x, x, batch_size=BATCH, verbose=0, shuffle=False, callbacks=callbacks)
            if number > 0:
                times[name].append(1e3 * (time.perf_counter() - start) / steps)
    return {name: np.array(values) for name, values in times.items()}


def main(arguments: Sequence[str]) -> int:
    rounds, steps = [*map(int, arguments), *(20, 10)[len(arguments) :]]
    # The schedule is longer than the rounds, and some models have nothing scheduled.
    warnings.simplefilter("ignore", RegPlusWarning)
    print(f"{keras.backend.backend()}, {platform.machine()}, {os.cpu_count()} cores,", end=" ")
    print(f"Python {platform.python_version()}, Keras {keras.__version__},", end=" ")
    print(f"{rounds} rounds of {steps} steps\n")
    print(f"{'':26s}{'ms/step':>9s}{'ratio':>8s}{'25 %':>8s}{'75 %':>8s}")
    times = measure(rounds, steps)
    for name, values in times.items():
        low, middle, high = np.percentile(values / times["keras Dropout"], [25, 50, 75])
        print(f"{name:26s}{np.median(values):9.2f}{middle:8.3f}{low:8.3f}{high:8.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
