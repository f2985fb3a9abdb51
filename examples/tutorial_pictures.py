"""Draw the pictures of the tutorial "Overfit and underfit" on data of scikit-learn.

    python -m examples.tutorial_pictures docs/images

docs/plots.md shows them. The script needs `pip install matplotlib scikit-learn`, and the
Pillow that matplotlib brings.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_breast_cancer

from keras_regplus import callbacks, layers, plots, regularizers, schedules

# With the sizes of the cells the task is too easy to overfit.
MEASUREMENTS = ("texture", "smoothness", "symmetry", "fractal dimension")
TRAIN_ROWS, EPOCHS, SEEDS = 120, 200, (1, 2, 3)
METRIC = "binary_crossentropy"
# One for all pictures, in which a name then has the same colour.
PLOTTER = plots.HistoryPlotter(METRIC, smoothing_std=5)
LARGE = (512,) * 4
LEARNING_RATE = keras.optimizers.schedules.InverseTimeDecay(2e-4, 4000, 1.0)
WARMUP = schedules.LinearWarmup(40, "epoch")


class Network(NamedTuple):
    hidden: tuple[int, ...]
    l2: float = 0.0
    dropout: float = 0.0


NETWORKS = {
    "Tiny": Network((16,)),
    "Small": Network((16, 16)),
    "Medium": Network((64,) * 3),
    "Large": Network(LARGE),
    "L2": Network(LARGE, l2=2e-2),
    "Dropout": Network(LARGE, dropout=0.5),
    "Combined": Network(LARGE, l2=1e-2, dropout=0.5),
}


def load() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Features and labels to train and to validate with."""
    source = load_breast_cancer()
    columns = [any(word in name for word in MEASUREMENTS) for name in source.feature_names]
    order = np.random.default_rng(1).permutation(len(source.target))
    x, y = source.data[order][:, columns], source.target[order, np.newaxis].astype("float32")
    seen = x[:TRAIN_ROWS]
    x = ((x - seen.mean(axis=0)) / seen.std(axis=0)).astype("float32")
    return (x[:TRAIN_ROWS], y[:TRAIN_ROWS]), (x[TRAIN_ROWS:], y[TRAIN_ROWS:])


def build(name: str, network: Network, features: int) -> keras.Model:
    model = keras.Sequential([keras.Input((features,))], name=name.lower())
    penalty = regularizers.ScheduledL2(network.l2, WARMUP) if network.l2 else None
    for units in network.hidden:
        model.add(keras.layers.Dense(units, activation="elu", kernel_regularizer=penalty))
        if network.dropout:
            model.add(layers.ScheduledDropout(network.dropout, WARMUP))
    model.add(keras.layers.Dense(1))
    model.compile(
        keras.optimizers.Adam(LEARNING_RATE),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryCrossentropy(from_logits=True, name=METRIC)],
    )
    return model


def train(name: str, seed: int) -> tuple[keras.Model, keras.callbacks.History]:
    data, validation = load()
    keras.utils.set_random_seed(seed)
    model = build(name, NETWORKS[name], features=data[0].shape[1])
    scheduled = NETWORKS[name].l2 or NETWORKS[name].dropout
    history = model.fit(
        *data,
        validation_data=validation,
        batch_size=30,
        epochs=EPOCHS,
        verbose=0,
        callbacks=[callbacks.RegularizationScheduler()] if scheduled else [],
    )
    return model, history


def new_axes() -> Any:
    return Figure(figsize=(7.2, 4.2), layout="constrained").add_subplot()


def learning_rate() -> Any:
    ax = plots.plot_schedule(LEARNING_RATE, length=20_000, ax=new_axes())
    ax.set_ylabel("Learning rate")
    ax.set_ylim(bottom=0)
    return ax


def curves(names: Iterable[str], histories: dict[str, Any], **options: Any) -> Any:
    chosen = {name: histories[name] for name in names}
    ax = PLOTTER.plot(chosen, ax=new_axes(), markers=True, **options)
    ax.set_ylim(0.15, 0.75)
    return ax


def sizes(histories: dict[str, Any]) -> Any:
    ax = curves(["Tiny", "Small", "Medium", "Large"], histories, mark_best=True)
    ax.set_xscale("log")
    ax.set_xlim(1, EPOCHS - 1)
    ax.set_xlabel("Epochs (log scale)")
    ax.get_legend().set_loc("upper left")
    ax.get_legend().set_bbox_to_anchor((1, 1))
    return ax


def save(figure: Any, path: Path) -> None:
    figure.set_dpi(110)
    figure.savefig(path)
    # A page loads a picture of few colours three times as fast.
    few = Image.open(path).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def main(folder: Path) -> None:
    models, histories = {}, {}
    for name in NETWORKS:
        models[name], histories[name] = train(name, SEEDS[0])
    seeds = {
        name: [histories[name], *(train(name, seed)[1] for seed in SEEDS[1:])]
        for name in ("Large", "Combined")
    }
    pictures = {
        "learning-rate": learning_rate(),
        "tiny": curves(["Tiny"], histories),
        "sizes": sizes(histories),
        "l2": curves(["Tiny", "L2"], histories, scheduled="strength"),
        "dropout": curves(["Large", "Dropout"], histories, mark_onset=True, scheduled="rate"),
        "combined": curves(["Large", "Combined"], seeds),
    }
    for name, ax in pictures.items():
        save(ax.figure, folder / f"tutorial-{name}.png")
    weights = plots.plot_weights({name: models[name] for name in ("Large", "L2", "Dropout")})
    save(weights, folder / "tutorial-weights.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
