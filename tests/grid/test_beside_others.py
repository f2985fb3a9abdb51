"""Beside other callbacks, in any order: strengths are exact, and all of them see the keys."""

import csv
import itertools

import keras
import numpy as np
import pytest
from keras import callbacks as others

from keras_regplus.callbacks import (
    EpochDots,
    OverfittingDetector,
    RegularizationScheduler,
    WeightHistogram,
)

from .models import BASE, X, base_penalty, compiled
from .rising import assert_at, at_time, fit, network, predicted, time_of

pytestmark = pytest.mark.filterwarnings("ignore:.*longer than")

KEYS = {"data_loss", "val_data_loss", "penalty", "val_penalty"}


def unmoved(use_ema=False):
    """A model that never moves, though its learning rate is one that others can change."""
    # Updates so clipped are below the smallest float32.
    optimizer = keras.optimizers.SGD(0.1, clipvalue=1e-45, use_ema=use_ema)
    return compiled(network(), optimizer)


# What each of the others is, and how it shows that it did its work. The loss without
# the penalty is 0 in all epochs, so whoever waits for it to fall stops waiting.


def learning_rate(folder):
    def check(model, run):
        assert float(model.optimizer.learning_rate) == pytest.approx(0.1 / 2**4)

    return others.LearningRateScheduler(lambda epoch, rate: rate / 2), check


def plateau(folder):
    callback = others.ReduceLROnPlateau(
        "val_data_loss", mode="min", factor=0.5, patience=1, min_delta=0.1
    )

    def check(model, run):
        assert float(model.optimizer.learning_rate) == pytest.approx(0.1 / 2**3)

    return callback, check


def early_stopping(folder):
    callback = others.EarlyStopping("val_data_loss", mode="min", patience=3, min_delta=0.1)

    def check(model, run):
        assert callback.stopped_epoch == 3

    return callback, check


def whole_models(folder):
    path = folder / "whole-{epoch}.keras"

    def check(model, run):
        for epoch in range(1, 5):
            again = keras.models.load_model(str(path).format(epoch=epoch))
            assert time_of(again) == at_time(3 * epoch)

    return others.ModelCheckpoint(path), check


def best_weights(folder):
    path = folder / "best.weights.h5"
    callback = others.ModelCheckpoint(
        path, "val_penalty", mode="max", save_best_only=True, save_weights_only=True
    )

    def check(model, run):
        assert callback.best == pytest.approx(14 * base_penalty(model), rel=1e-5)
        assert path.exists()

    return callback, check


def models_by_batches(folder):
    path = folder / "batches.keras"

    def check(model, run):
        # Saved after every fifth of 12 batches.
        assert time_of(keras.models.load_model(path)) == at_time(10)

    return others.ModelCheckpoint(path, save_freq=5), check


def backup(folder):
    return others.BackupAndRestore(folder / "backup", save_freq=2), lambda model, run: None


def table(folder):
    path = folder / "log.csv"

    def check(model, run):
        rows = list(csv.DictReader(path.open()))
        strength = next(key for key in rows[0] if key.startswith("strength/"))
        assert set(rows[0]) >= KEYS
        found = [float(row[strength]) for row in rows]
        assert found == pytest.approx([BASE * t for t in (5, 8, 11, 14)], rel=1e-5)

    return others.CSVLogger(path), check


def detector(folder):
    seen = []

    class Sees(OverfittingDetector):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(set(logs) >= KEYS)
            super().on_epoch_end(epoch, logs)

    def check(model, run):
        assert seen == [True] * 4
        assert callback.diagnosis is not None
        assert callback.history["val"] == pytest.approx(run.history["val_data_loss"])

    callback = Sees("val_data_loss", mode="min", verbose=0)
    return callback, check


def dots(folder):
    return EpochDots(report_every=1), lambda model, run: None


def histogram(folder):
    def check(model, run):
        assert list((folder / "logs").rglob("*tfevents*"))

    return WeightHistogram(folder / "logs"), check


def averages(folder):
    return others.SwapEMAWeights(swap_on_epoch=True), lambda model, run: None


GROUPS = {
    "learning rate, stop, whole models": (learning_rate, early_stopping, whole_models),
    "plateau, table, models by batches": (plateau, table, models_by_batches),
    "backup, best weights, detector": (backup, best_weights, detector),
    "dots, histogram, averages": (dots, histogram, averages),
}


def orders():
    """Ours last in the suite; all orders in the grid."""
    for name, group in GROUPS.items():
        for order in itertools.permutations(range(4)):
            quick = order == (1, 2, 3, 0)
            yield pytest.param(
                group,
                order,
                id=f"{name}-{''.join(map(str, order))}",
                marks=[] if quick else [pytest.mark.grid],
            )


@pytest.mark.parametrize("group, order", list(orders()))
def test_exact_and_seen_in_any_order(group, order, tmp_path, capsys):
    pairs = [make(tmp_path) for make in group]
    crowd = [RegularizationScheduler(), *(callback for callback, _ in pairs)]
    model = unmoved(use_ema=averages in group)
    y = predicted(model)
    run = fit(model, epochs=4, validation_data=(X, y), callbacks=[crowd[place] for place in order])
    assert_at(run, model, range(12))
    np.testing.assert_allclose(
        run.val_loss, base_penalty(model) * np.array([5, 8, 11, 14]), rtol=1e-5
    )
    assert set(run.history) >= KEYS
    for _, check in pairs:
        check(model, run)
    printed = capsys.readouterr().out
    assert dots not in group or all(key in printed for key in KEYS)
