"""What a training step costs with a scheduled penalty, over one with Keras's own L2.

    KERAS_BACKEND=jax python -m benchmarks.cost.step_time [ROUNDS [STEPS [NETWORK]]]

In each of ROUNDS (40) every variant trains for STEPS (100), one after the other in one
process, so that a busy moment hits all alike; a ratio compares two of one round. What a
callback does once an epoch is shared among these steps. The null is the plain model against
a twin of itself: what differs there is noise. Quartiles are those of the ratios; "us more"
is the median of the differences.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import layers

from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.regularizers import ScheduledL2
from keras_regplus.schedules import LinearWarmup


def dense_network(depth: int, width: int) -> Callable[[Callable], keras.Model]:
    def build(penalty: Callable) -> keras.Model:
        hidden = [layers.Dense(width, "relu", kernel_regularizer=penalty()) for _ in range(depth)]
        return keras.Sequential([keras.Input((width,)), *hidden, layers.Dense(1)])

    return build


def convolutions(penalty: Callable) -> keras.Model:
    hidden = [
        layers.Conv2D(16, 3, activation="relu", kernel_regularizer=penalty()) for _ in range(4)
    ]
    return keras.Sequential([keras.Input((16, 16, 3)), *hidden, layers.Flatten(), layers.Dense(1)])


# name: (build, shape of an input, batch size)
NETWORKS = {
    "30 layers of 64": (dense_network(30, 64), (64,), 64),
    "3 layers of 32": (dense_network(3, 32), (32,), 32),
    "4 convolutions of 16": (convolutions, (16, 16, 3), 32),
}


def plain() -> keras.regularizers.Regularizer:
    return keras.regularizers.L2(1e-4)


def scheduled() -> keras.regularizers.Regularizer:
    return ScheduledL2(1e-4, LinearWarmup(1000))


# name: (penalty, callbacks)
VARIANTS: dict[str, tuple[Callable, Callable[[], list]]] = {
    "plain": (plain, list),
    "plain again": (plain, list),
    "scheduled, no keys": (scheduled, lambda: [RegularizationScheduler(log=False)]),
    "scheduled, all keys": (scheduled, lambda: [RegularizationScheduler()]),
}


def measure(network: str, rounds: int, steps: int) -> dict[str, np.ndarray]:
    """Microseconds a step by variant, one number a round."""
    build, shape, batch = NETWORKS[network]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch * steps, *shape)).astype("float32")
    y = rng.normal(size=(batch * steps, 1)).astype("float32")
    trainings = {}
    for name, (penalty, callbacks) in VARIANTS.items():
        model = build(penalty)
        model.compile("sgd", "mse")
        trainings[name] = (model, callbacks())
    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    # The first rounds compile.
    for number in range(-1, rounds + 1):
        # A fixed order would favour whoever follows an idle moment.
        for name in rng.permutation(list(trainings)):
            model, callbacks = trainings[name]
            start = time.perf_counter()
            model.fit(x, y, batch_size=batch, verbose=0, shuffle=False, callbacks=callbacks)
            if number > 0:
                times[name].append(1e6 * (time.perf_counter() - start) / steps)
    return {name: np.array(values) for name, values in times.items()}


def main(arguments: Sequence[str]) -> int:
    numbers, networks = arguments[:2], arguments[2:] or NETWORKS
    rounds, steps = [*map(int, numbers), *(40, 100)[len(numbers) :]]
    print(f"{keras.backend.backend()}, {platform.machine()}, {os.cpu_count()} cores,", end=" ")
    print(f"Python {platform.python_version()}, Keras {keras.__version__},", end=" ")
    print(f"{rounds} rounds of {steps} steps\n")
    print(f"{'':24s}{'us/step':>9s}{'ratio':>8s}{'25 %':>8s}{'75 %':>8s}{'us more':>9s}")
    for network in networks:
        times = measure(network, rounds, steps)
        print(network)
        for name, values in times.items():
            low, middle, high = np.percentile(values / times["plain"], [25, 50, 75])
            more = np.median(values - times["plain"])
            row = f"{np.median(values):9.0f}{middle:8.3f}{low:8.3f}{high:8.3f}{more:9.0f}"
            print(f"  {name:22s}{row}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
