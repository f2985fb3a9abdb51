"""A training that can be killed in the middle: `python killed_training.py FOLDER EPOCH`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers

from keras_regplus.callbacks import OverfittingDetector, RegularizationScheduler, actions
from keras_regplus.regularizers import ScheduledL2

EPOCHS = 24


class Kills(keras.callbacks.Callback):
    """Kills the process in the second batch of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.at = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == (self.at, 1):
            os.kill(os.getpid(), signal.SIGKILL)


def train(folder: Path, kill_at: int | None = None):
    """Train until the end, or until killed; the model and its detector."""
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(48, 20)), rng.integers(0, 2, size=(48, 1))
    model = keras.Sequential(
        [
            keras.Input((20,)),
            layers.Dense(32, "relu", kernel_regularizer=ScheduledL2(1e-3)),
            layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
    detector = OverfittingDetector(
        action=[actions.RaiseRegularization(cooldown=3), actions.ReduceLearningRate(cooldown=4)],
        restore_best_weights=True,
        state_file=folder / "detector.json",
        verbose=0,
    )
    callbacks = [
        RegularizationScheduler(),
        keras.callbacks.BackupAndRestore(folder / "backup"),
        detector,
        *([Kills(kill_at)] if kill_at is not None else []),
    ]
    model.fit(
        x[:24],
        y[:24],
        batch_size=8,
        validation_data=(x[24:], y[24:]),
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
    )
    return model, detector


if __name__ == "__main__":
    train(Path(sys.argv[1]), int(sys.argv[2]))
