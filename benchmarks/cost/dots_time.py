"""What an epoch's end costs with `EpochDots`: one that is silent, with a dot, with a report.

    python -m benchmarks.cost.dots_time [ROUNDS]

Microseconds, medians with quartiles over rounds of 2,000 epochs that alternate. The
null is a callback that does nothing. All is written to a file in a temporary folder.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras

from keras_regplus.callbacks import EpochDots
from keras_regplus.diagnosis import Diagnosis

EPOCHS = 2000
NEVER = 10**9
LOGS = {"loss": 0.5, "accuracy": 0.75, "val_loss": 0.625, "val_accuracy": 0.7}


def dots(**arguments: Any) -> Callable[[Path], keras.callbacks.Callback]:
    given = {"report_every": NEVER, "dot_every": NEVER, **arguments}
    return lambda folder: EpochDots(**given, file=folder / "dots.log")


def watching() -> SimpleNamespace:
    """Stands for a detector that comes before it; what that one costs is measured elsewhere."""
    history = {"epoch": list(range(EPOCHS + 1))}
    return SimpleNamespace(diagnosis=Diagnosis("healthy", best_epoch=1, gap=0.1), history=history)


CASES = {
    "a callback that does nothing": lambda folder: keras.callbacks.Callback(),
    "silent": dots(),
    "silent, detector=": dots(detector=watching()),
    "silent, report_seconds=": dots(report_seconds=NEVER),
    "silent, summary=, times=": dots(summary=True, times=True),
    "a dot": dots(dot_every=1),
    "a dot, wrap=": dots(dot_every=1, wrap=True),
    "a report": dots(report_every=1),
}


def mean_cost(make: Callable[[Path], keras.callbacks.Callback]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        callback = make(Path(folder))
        callback.set_params({"epochs": EPOCHS, "verbose": 0})
        callback.on_train_begin()
        # The first epoch opens the file and writes in every case.
        callback.on_epoch_end(0, LOGS)
        began = time.perf_counter()
        for epoch in range(1, EPOCHS + 1):
            callback.on_epoch_end(epoch, LOGS)
        cost = 1e6 * (time.perf_counter() - began) / EPOCHS
        callback.on_train_end()
        return cost


def measure(rounds: int) -> dict[str, list[float]]:
    """The mean cost of an epoch's end in each round, in microseconds."""
    costs: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(rounds):
        for name, make in CASES.items():
            costs[name].append(mean_cost(make))
    return costs


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    for name, values in measure(rounds).items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"{name:<30} {middle:7.2f} us  (quartiles {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
