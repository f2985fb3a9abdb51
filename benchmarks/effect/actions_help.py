"""Does it help to raise the regularization, or to lower the learning rate, upon overfitting?

    python -m benchmarks.effect.actions_help [SEEDS]

Networks learn scikit-learn's digits from 300 images, a fifth of which get a random label,
for 120 epochs; then the weights of the best epoch are restored. The table shows loss and
accuracy on 800 other images, and the paired difference to the same training without an
action, with its standard error over SEEDS (10, at least 2).
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

from keras_regplus.callbacks import OverfittingDetector, RegularizationScheduler, actions
from keras_regplus.layers import ScheduledDropout
from keras_regplus.regularizers import ScheduledL2
from keras_regplus.schedules import Constant

CASES: dict[str, Callable[[], Any]] = {
    "nothing": lambda: "warn",
    "RaiseRegularization()": actions.RaiseRegularization,
    "ReduceLearningRate()": actions.ReduceLearningRate,
    "both": lambda: [actions.RaiseRegularization(), actions.ReduceLearningRate()],
}


def data(seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training with wrong labels, validation, test."""
    rng = np.random.default_rng(seed)
    x, y = load_digits(return_X_y=True)
    order = rng.permutation(len(x))
    x, y = x[order].astype("float32") / 16, y[order]
    wrong = rng.random(300) < 0.2
    y_train = np.where(wrong, rng.integers(0, 10, 300), y[:300])
    return [(x[:300], y_train), (x[300:600], y[300:600]), (x[600:1400], y[600:1400])]


def network() -> keras.Model:
    def hidden() -> list[keras.layers.Layer]:
        dense = layers.Dense(128, "relu", kernel_regularizer=ScheduledL2(1e-4))
        return [dense, ScheduledDropout(0.05, Constant())]

    model = keras.Sequential([keras.Input((64,)), *hidden(), *hidden(), layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Without the penalty: a stronger one must not look like a worse model.
    model.compile(
        keras.optimizers.Adam(2e-3),
        loss,
        metrics=[
            keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="crossentropy"),
            "accuracy",
        ],
    )
    return model


def trained(seed: int, action: Any) -> tuple[float, float]:
    """Loss without penalty, and accuracy, on the test images."""
    keras.utils.set_random_seed(seed)
    train, validation, test = data(seed)
    model = network()
    detector = OverfittingDetector(
        "crossentropy", action=action, restore_best_weights=True, verbose=0
    )
    callbacks = [RegularizationScheduler(log=False), detector]
    model.fit(
        *train,
        batch_size=32,
        epochs=120,
        verbose=0,
        validation_data=validation,
        callbacks=callbacks,
    )
    metrics = model.evaluate(*test, verbose=0, return_dict=True)
    return metrics["crossentropy"], metrics["accuracy"]


def main() -> None:
    """Print the table."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    results = {
        name: np.array([trained(seed, make()) for seed in range(seeds)])
        for name, make in CASES.items()
    }
    print(f"{'action':<24} {'test loss':>10} {'accuracy':>9} {'loss, less that of nothing':>28}")
    for name, scores in results.items():
        loss, accuracy = scores.mean(axis=0)
        differences = (scores - results["nothing"])[:, 0]
        error = statistics.stdev(differences) / math.sqrt(seeds)
        difference = f"{differences.mean():+.4f} +- {error:.4f}"
        print(f"{name:<24} {loss:10.4f} {accuracy:9.3f} {difference:>28}")


if __name__ == "__main__":
    main()
