"""What a GPU changes, and what it must not: exact schedules, saving, histograms.

    KERAS_BACKEND=jax python -m benchmarks.gpu [--anyway] [MILLIONS]

Runs on the GPU that Keras uses, with JAX or torch, and exits with 2 where there is none;
`--anyway` runs it on any device, to try the command itself. Each line names a check and its
outcome; the exit code is 1 if a check fails. The last line compares the time of counting
MILLIONS (1000) of weights on the device with the time of one sum over them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from keras_regplus.callbacks import RegularizationScheduler, WeightHistogram
from keras_regplus.callbacks.weight_histogram import _records
from keras_regplus.callbacks.weight_histogram._on_device import counted_on_device
from keras_regplus.callbacks.weight_histogram._reader import is_on_host
from keras_regplus.regularizers import ScheduledL2
from keras_regplus.schedules import LinearWarmup
from keras_regplus.testing import frozen_fit

STEPS = 8
RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 32)).astype("float32")
Y = RNG.normal(size=(64, 1)).astype("float32")


def network(optimizer: object = "adam") -> keras.Model:
    penalty = ScheduledL2(0.1, LinearWarmup(STEPS))
    model = keras.Sequential(
        [keras.Input((32,)), layers.Dense(64, "relu", kernel_regularizer=penalty), layers.Dense(1)]
    )
    model.compile(optimizer, "mse")
    return model


def strengths_are_exact() -> bool:
    """With frozen weights the penalty of each step is known."""
    model = network(keras.optimizers.SGD(0.0))
    kernel = ops.convert_to_numpy(model.layers[0].kernel).astype("float64")
    size = len(X) // STEPS
    run = frozen_fit(model, X, batch_size=size, epochs=2, callbacks=[RegularizationScheduler()])
    expected = [0.1 * min(t / STEPS, 1) * np.sum(kernel**2) for t in range(2 * STEPS)]
    return np.allclose(run.loss, expected, rtol=1e-5, atol=1e-6)


def saved_models_resume() -> bool:
    model = network()
    fit = {"batch_size": len(X) // STEPS, "verbose": 0, "shuffle": False}
    model.fit(X, Y, callbacks=[RegularizationScheduler()], **fit)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        loaded = keras.models.load_model(path)
    for resumed in (model, loaded):
        resumed.fit(X, Y, callbacks=[RegularizationScheduler()], **fit)
    before = model.evaluate(X, Y, verbose=0)
    return bool(np.isclose(loaded.evaluate(X, Y, verbose=0), before, rtol=1e-4))


def histograms_are_exact() -> bool:
    """Of weights that are fetched, and of weights that are counted where they lie."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    model = network()
    _records._LARGE = 1000
    with tempfile.TemporaryDirectory() as folder:
        callbacks = [RegularizationScheduler(), WeightHistogram(folder)]
        model.fit(X, Y, batch_size=len(X) // STEPS, verbose=0, callbacks=callbacks)
        logs = EventAccumulator(f"{folder}/weights", size_guidance={"tensors": 0}).Reload()
        return all(
            is_histogram_of(make_ndarray(logs.Tensors(f"{w.path}/histogram")[-1].tensor_proto), w)
            for w in model.weights
        )


def is_histogram_of(rows: np.ndarray, weight: keras.Variable) -> bool:
    values = ops.convert_to_numpy(weight.value).astype("float64")
    counts = np.histogram(values, np.append(rows[:, 0], rows[-1, 1]))[0]
    return counts.tolist() == rows[:, 2].tolist()


def seconds(work: Callable[[], object]) -> float:
    """The median of five, after one that compiles."""
    times = []
    for _ in range(6):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return float(np.median(times[1:]))


def compare_with_one_read(millions: int) -> None:
    values = keras.random.normal((millions * 10**6,), seed=1)
    read = seconds(lambda: float(ops.convert_to_numpy(ops.sum(values))))
    counted = seconds(lambda: counted_on_device(values, 30)())
    print(f"{millions} million weights: counted in {1e3 * counted:.1f} ms, summed in", end=" ")
    print(f"{1e3 * read:.1f} ms: {counted / read:.0f} times one read")


CHECKS = (strengths_are_exact, saved_models_resume, histograms_are_exact)


def main(arguments: list[str]) -> int:
    anyway = "--anyway" in arguments
    millions = int(next((word for word in arguments if word.isdecimal()), 1000))
    if is_on_host(network().weights[0].value) and not anyway:
        print(f"There is no GPU that {keras.backend.backend()} uses.", file=sys.stderr)
        return 2
    passed = True
    for check in CHECKS:
        outcome = check()
        passed = passed and outcome
        print(f"{check.__name__.replace('_', ' ')}: {'yes' if outcome else 'NO'}")
    compare_with_one_read(millions)
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
