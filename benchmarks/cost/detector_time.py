"""What an epoch's end costs with `OverfittingDetector`, beside the diagnosis itself.

    python -m benchmarks.cost.detector_time [ROUNDS]

Microseconds, medians with quartiles over ROUNDS (9, at least 2) of 200 epochs that
alternate: the tracker alone, and the callback around it, with and without a state file.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from keras_regplus.callbacks import OverfittingDetector
from keras_regplus.diagnosis import TrendTracker

EPOCHS = 200
CURVES = [(0.9**epoch, 0.5 + abs(epoch - 60) / 500) for epoch in range(EPOCHS)]


def tracker_alone(folder: Path) -> Callable[[int, float, float], object]:
    tracker = TrendTracker()
    return lambda _, train, val: tracker.update(train, val)


def callback(file: str | None = None) -> Callable[[Path], Callable[[int, float, float], object]]:
    def make(folder: Path) -> Callable[[int, float, float], object]:
        state_file = None if file is None else folder / file
        detector = OverfittingDetector("loss", verbose=0, state_file=state_file)
        detector.set_model(SimpleNamespace(metrics=[], weights=[], stop_training=False))
        detector.on_train_begin()
        return lambda epoch, train, val: detector.on_epoch_end(
            epoch, {"loss": train, "val_loss": val}
        )

    return make


CASES = {
    "the diagnosis alone": tracker_alone,
    "OverfittingDetector()": callback(),
    "OverfittingDetector(state_file=...)": callback("state.json"),
}


def mean_cost(make: Callable[[Path], Callable[[int, float, float], object]]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        end_of_epoch = make(Path(folder))
        began = time.perf_counter()
        for epoch, pair in enumerate(CURVES):
            end_of_epoch(epoch, *pair)
        return 1e6 * (time.perf_counter() - began) / EPOCHS


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    costs: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(rounds):
        for name, make in CASES.items():
            costs[name].append(mean_cost(make))
    for name, values in costs.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"{name:<36} {middle:7.0f} us  (quartiles {low:.0f} to {high:.0f})")


if __name__ == "__main__":
    main()
