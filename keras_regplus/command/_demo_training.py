"""The demo's data, networks, trainings and scores; nothing prints unless it is asked to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from keras_regplus import callbacks, layers, regularizers, schedules
from keras_regplus.diagnosis import Diagnosis

__all__ = [
    "BASE",
    "MEASUREMENTS",
    "METRIC",
    "Data",
    "Experiment",
    "Result",
    "Scores",
    "experiments",
    "load_data",
    "make_detector",
    "mean_and_error",
    "train",
]

# The sizes and concavities of the cells tell nearly every tumour apart: with them all
# eight networks end within each other's errors. These measurements are harder.
MEASUREMENTS = ("texture", "smoothness", "symmetry", "fractal dimension")
METRIC = "bce"
# The run that the regularized ones are compared with.
BASE = "Large"

_TRAIN_ROWS, _VALIDATION_ROWS = 120, 200
_BATCH_SIZE, _LEARNING_RATE, _EPOCHS = 30, 5e-4, 60
_L1, _L2, _DROPOUT = 3e-4, 2e-2, 0.5
# Steps, 4 to an epoch: the networks begin free and are held before most of them turn.
_WARMUP = 24
_LARGE = (256,) * 4


class Data(NamedTuple):
    """Features and labels of the three parts."""

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Experiment:
    """A network to train, and in words what it shows."""

    name: str
    shows: str
    hidden: tuple[int, ...]
    penalty: keras.regularizers.Regularizer | None = None
    dropout: float = 0.0

    @property
    def is_scheduled(self) -> bool:
        return self.penalty is not None or self.dropout > 0

    @property
    def folder(self) -> str:
        """The name of the folder for its logs."""
        return self.name.lower().replace(" + ", "_")


@dataclass(frozen=True)
class Scores:
    """The binary crossentropy of each row, and whether its label was hit."""

    crossentropy: np.ndarray
    hits: np.ndarray

    @classmethod
    def from_logits(cls, logits: np.ndarray, y: np.ndarray) -> Scores:
        # A logit is undecided at 0, and not at 0.5.
        return cls(np.logaddexp(0, logits) - y * logits, (logits > 0) == (y > 0.5))

    def __getitem__(self, rows: slice) -> Scores:
        return Scores(self.crossentropy[rows], self.hits[rows])


@dataclass(frozen=True)
class Result:
    """How a training ended; the scores are those of its best epoch's weights."""

    name: str
    parameters: int
    history: keras.callbacks.History
    diagnosis: Diagnosis
    validation: Scores
    test: Scores


def experiments() -> tuple[Experiment, ...]:
    """Four sizes, then the largest with a penalty, with dropout, and with both."""
    l2 = regularizers.ScheduledL2(_L2, schedules.LinearWarmup(_WARMUP))
    l1_l2 = regularizers.WarmupL1L2(l1=_L1, l2=_L2, warmup=_WARMUP)
    light_l2 = regularizers.ScheduledL2(_L2 / 2, schedules.LinearWarmup(_WARMUP))
    return (
        Experiment("Tiny", "1 hidden layer of 16 units", (16,)),
        Experiment("Small", "2 hidden layers of 16 units", (16, 16)),
        Experiment("Medium", "3 hidden layers of 64 units", (64, 64, 64)),
        Experiment("Large", "4 hidden layers of 256 units", _LARGE),
        Experiment("Large + L2", "with ScheduledL2", _LARGE, l2),
        Experiment("Large + L1L2", "with WarmupL1L2", _LARGE, l1_l2),
        Experiment("Large + dropout", "with ScheduledDropout", _LARGE, None, _DROPOUT),
        Experiment("Large + both", "with both, the L2 lighter", _LARGE, light_l2, _DROPOUT),
    )


def load_data(seed: int) -> Data:
    """The patients in random order, split, and scaled by those to train on."""
    from sklearn.datasets import load_breast_cancer

    source = load_breast_cancer()
    columns = [any(word in name for word in MEASUREMENTS) for name in source.feature_names]
    order = np.random.default_rng(seed).permutation(len(source.target))
    x, y = source.data[order][:, columns], source.target[order, np.newaxis].astype("float32")
    seen = x[:_TRAIN_ROWS]
    x = ((x - seen.mean(axis=0)) / seen.std(axis=0)).astype("float32")
    edges = (_TRAIN_ROWS, _TRAIN_ROWS + _VALIDATION_ROWS)
    return Data(*zip(np.split(x, edges), np.split(y, edges), strict=True))


def make_detector() -> callbacks.OverfittingDetector:
    """The detector that stops each training; one serves them all, one after another."""
    # The loss contains the penalty, which shrinks while the network overfits.
    return callbacks.OverfittingDetector(
        monitor=METRIC, action="stop", restore_best_weights=True, verbose=0
    )


def train(
    experiment: Experiment,
    data: Data,
    logs: Path,
    detector: callbacks.OverfittingDetector,
    *,
    epochs: int | None = None,
    seed: int = 1,
    dots: callbacks.EpochDots | None = None,
) -> Result:
    """Train until the detector stops it, at most `epochs`, with a log in a folder of `logs`."""
    keras.utils.set_random_seed(seed)
    model = _build(experiment, features=data.train[0].shape[1])
    history = model.fit(
        _batches(*data.train, _BATCH_SIZE, np.random.default_rng(seed)),
        steps_per_epoch=_TRAIN_ROWS // _BATCH_SIZE,
        shuffle=False,
        validation_data=_batches(*data.validation, _VALIDATION_ROWS),
        validation_steps=1,
        epochs=epochs or _EPOCHS,
        verbose=0,
        callbacks=[
            *([callbacks.RegularizationScheduler()] if experiment.is_scheduled else []),
            detector,
            *([dots] if dots else []),
            callbacks.WeightHistogram(
                str(logs / experiment.folder), histogram_freq=2, metrics=True
            ),
        ],
    )
    parameters, scores = model.count_params(), _scores(model, data)
    return Result(experiment.name, parameters, history, detector.diagnosis, *scores)


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """The mean over rows and its standard error."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / len(values) ** 0.5)


def _batches(
    x: np.ndarray, y: np.ndarray, size: int, rng: np.random.Generator | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches without end, each time through the rows in a new order where there is an `rng`."""
    # From arrays Keras sets up four TensorFlow pipelines an epoch. That takes longer than to
    # train the small networks.
    while True:
        order = np.arange(len(x)) if rng is None else rng.permutation(len(x))
        for rows in np.split(order, range(size, len(x), size)):
            yield x[rows], y[rows]


def _build(experiment: Experiment, features: int) -> keras.Model:
    model = keras.Sequential([keras.Input((features,))], name="network")
    # Names of their own let TensorBoard show the same layer of all runs side by side.
    for number, units in enumerate(experiment.hidden, start=1):
        penalty, name = experiment.penalty, f"hidden_{number}"
        model.add(keras.layers.Dense(units, "elu", kernel_regularizer=penalty, name=name))
        if experiment.dropout:
            warmup = schedules.LinearWarmup(_WARMUP)
            model.add(layers.ScheduledDropout(experiment.dropout, warmup, name=f"drop_{number}"))
    model.add(keras.layers.Dense(1, name="logit"))
    model.compile(
        keras.optimizers.Adam(_LEARNING_RATE),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.BinaryCrossentropy(from_logits=True, name=METRIC),
            keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy"),
        ],
    )
    return model


def _scores(model: keras.Model, data: Data) -> tuple[Scores, Scores]:
    """Those of the validation and of the test rows."""
    x, y = (np.concatenate(parts) for parts in zip(data.validation, data.test, strict=True))
    # Called and not `predict`ed: a function compiled for one call costs more than it saves.
    scores = Scores.from_logits(keras.ops.convert_to_numpy(model(x, training=False)), y)
    return scores[:_VALIDATION_ROWS], scores[_VALIDATION_ROWS:]
