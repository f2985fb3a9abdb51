"""One real training: where it overfits, and when each rule would have stopped it.

python -m examples.stopped_training [FILE.png]
"""

import sys

import keras
import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from keras_regplus.callbacks import OverfittingDetector


class NotesItsStop(OverfittingDetector):
    """Notes where `action="stop"` would have stopped, and lets the training continue."""

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        if self.diagnosis.should_stop and self.stopped_epoch is None:
            self.stopped_epoch = epoch


def early_stopping(val: list[float], patience: int) -> int | None:
    """The epoch after which `keras.callbacks.EarlyStopping` stops."""
    waits = (epoch for epoch in range(len(val)) if epoch - np.argmin(val[: epoch + 1]) >= patience)
    return next(waits, None)


def train() -> NotesItsStop:
    """A network that is large for 120 examples of 12 features."""
    keras.utils.set_random_seed(1)
    x, y = load_breast_cancer(return_X_y=True)
    x = ((x - x.mean(axis=0)) / x.std(axis=0))[:, :12]
    x_train, x_val, y_train, y_val = train_test_split(x, y, train_size=120, random_state=1)
    model = keras.Sequential(
        [keras.Input((12,)), *(keras.layers.Dense(128, "elu") for _ in range(3))]
    )
    model.add(keras.layers.Dense(1, "sigmoid"))
    model.compile(keras.optimizers.Adam(3e-4), "binary_crossentropy")
    detector = NotesItsStop("loss", verbose=0)
    validation = (x_val, y_val)
    model.fit(
        x_train, y_train, validation_data=validation, epochs=100, verbose=0, callbacks=[detector]
    )
    return detector


def main(path: str = "stopped_training.png") -> None:
    detector = train()
    figure = Figure(figsize=(7, 4), layout="constrained")
    ax = detector.plot(ax=figure.add_subplot())
    stop_of_keras = early_stopping(detector.history["val"], patience=10)
    if stop_of_keras is not None:
        ax.axvline(stop_of_keras, color="#009E73", linestyle=(0, (1, 2)), label="EarlyStopping(10)")
    ax.legend()
    figure.savefig(path, dpi=90)
    print(detector.report())


if __name__ == "__main__":
    main(*sys.argv[1:2])
