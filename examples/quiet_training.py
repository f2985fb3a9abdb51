"""A training of 400 epochs whose log fits on a screen.

    python examples/quiet_training.py [KEYWORD=VALUE ...]

The keywords are `epochs` and those of `EpochDots`, with values as in Python:
`wrap=True digits=3`.
All inputs but one are noise, so the network overfits, and the dots come to show it.
"""

import ast
import sys

import keras
import numpy as np

from keras_regplus.callbacks import EpochDots, OverfittingDetector


def data(rows: int = 128, columns: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """The answer is in the first column, half hidden by noise."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(rows, columns)).astype("float32")
    y = x[:, :1] + generator.normal(size=(rows, 1)).astype("float32")
    return x, y


def train(epochs: int = 400, **arguments: object) -> keras.callbacks.History:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Dense(64, "relu"), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse", metrics=["mae"])
    detector = OverfittingDetector(verbose=0)
    dots = EpochDots(detector=detector, **arguments)
    x, y = data()
    return model.fit(
        x, y, validation_split=0.5, epochs=epochs, verbose=0, callbacks=[detector, dots]
    )


def main(words: list[str]) -> None:
    pairs = (word.split("=", 1) for word in words)
    train(**{name: ast.literal_eval(value) for name, value in pairs})


if __name__ == "__main__":
    main(sys.argv[1:])
