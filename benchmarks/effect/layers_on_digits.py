"""A small residual network on handwritten digits, trained with each of the layers.

    KERAS_BACKEND=jax python -m benchmarks.effect.layers_on_digits [EPOCHS [SEEDS]]

A network learns from 500 of the 1797 digits that scikit-learn ships, for EPOCHS (60); the
others test it. Each layer stands where it usually does, with a rate that is common there;
none was tuned. The table shows means over SEEDS (3) with their standard errors, after the
last epoch: nothing stops early.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras.layers import Conv2D, Dense, GlobalAveragePooling2D, Identity

from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.layers import (
    DropBlock2D,
    DropConnect,
    DropPath,
    ScheduledDropout,
    ScheduledGaussianNoise,
    drop_path_rates,
)
from keras_regplus.schedules import Linear, LinearWarmup, Schedule

TRAIN, BATCH, FILTERS, BLOCKS = 500, 50, 32, 4

Data = tuple[np.ndarray, np.ndarray]


def variants(warmup: Schedule, decay: Schedule) -> dict[str, dict[str, Callable[..., Any]]]:
    """What to put at which place of the network."""
    return {
        "none": {},
        "ScheduledDropout(0.5)": {"features": lambda: ScheduledDropout(0.5, warmup)},
        "DropConnect(Dense, 0.5)": {"head": lambda dense: DropConnect(dense, 0.5, warmup)},
        "DropPath, up to 0.2": {"branch": lambda rate: DropPath(rate, warmup)},
        "DropBlock2D(0.1, 3)": {"maps": lambda: DropBlock2D(0.1, 3, warmup)},
        "ScheduledGaussianNoise(0.2)": {"pixels": lambda: ScheduledGaussianNoise(0.2, decay)},
    }


def network(
    pixels: Callable[[], Any] = Identity,
    maps: Callable[[], Any] = Identity,
    branch: Callable[[float], Any] = lambda rate: Identity(),
    features: Callable[[], Any] = Identity,
    head: Callable[[Any], Any] = lambda dense: dense,
) -> keras.Model:
    """A network of residual blocks, with a layer at each of the named places."""
    inputs = keras.Input((8, 8, 1))
    x = Conv2D(FILTERS, 3, padding="same", activation="relu")(pixels()(inputs))
    for rate in drop_path_rates(BLOCKS, 0.2):
        y = maps()(Conv2D(FILTERS, 3, padding="same", activation="relu")(x))
        y = Conv2D(FILTERS, 3, padding="same")(y)
        x = maps()(keras.activations.relu(x + branch(rate)(y)))
    outputs = head(Dense(10))(features()(GlobalAveragePooling2D()(x)))
    return keras.Model(inputs, outputs)


def digits() -> tuple[Data, Data]:
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.images))
    x = data.images[order, ..., None].astype("float32") / 16
    y = data.target[order]
    return (x[:TRAIN], y[:TRAIN]), (x[TRAIN:], y[TRAIN:])


def trained(places: dict[str, Callable[..., Any]], epochs: int, seed: int) -> list[float]:
    """Training loss, test loss and test accuracy after `epochs`."""
    keras.utils.set_random_seed(seed)
    train, test = digits()
    model = network(**places)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    scheduler = [RegularizationScheduler(log=False)] if places else []
    model.fit(*train, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=scheduler)
    return [model.evaluate(*train, verbose=0)[0], *model.evaluate(*test, verbose=0)]


def rows(epochs: int, seeds: int) -> list[list[str]]:
    half = max(epochs * TRAIN // BATCH // 2, 1)
    places = variants(LinearWarmup(half), Linear(2 * half, start=1.0, end=0.0))
    table = [["", "training loss", "test loss", "test accuracy"]]
    for name, where in places.items():
        runs = np.array([trained(where, epochs, seed) for seed in range(seeds)])
        cells = [cell(column) for column in runs.T]
        table.append([name, *cells])
    return table


def cell(values: np.ndarray) -> str:
    error = f" ± {values.std(ddof=1) / len(values) ** 0.5:.4f}" if len(values) > 1 else ""
    return f"{values.mean():.4f}{error}"


def main(arguments: Sequence[str]) -> int:
    epochs, seeds = [*map(int, arguments), *(60, 3)[len(arguments) :]]
    print(f"{keras.backend.backend()}, Python {platform.python_version()},", end=" ")
    print(f"Keras {keras.__version__}, {epochs} epochs, {seeds} seeds\n")
    table = rows(epochs, seeds)
    table.insert(1, ["---"] * len(table[0]))
    print("\n".join(f"| {' | '.join(row)} |" for row in table))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
