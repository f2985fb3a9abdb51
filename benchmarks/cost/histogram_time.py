"""What a record of all weights costs, beside other ways to write histograms for TensorBoard.

    KERAS_BACKEND=jax python -m benchmarks.cost.histogram_time [ROUNDS]

In each of ROUNDS (15, at least 2) every tool records the same weights once, one after the
other in one process; the first record of each, which allocates and imports, is left out.
"held" is how long the training thread cannot train, "CPU" how long all threads together
work until the record is on disk; medians with quartiles. `times` is what
`keras.callbacks.TensorBoard` takes, divided by it. Tools that are not installed are left
out; that of Keras needs TensorFlow.

The memory that a record takes beside the weights is the most that NumPy allocates at once,
as `tracemalloc` sees it. TensorFlow allocates elsewhere: the peak of a process of its own
(`python -m benchmarks.cost.histogram_time peak`) shows what Keras's callback takes.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable

import keras
import numpy as np

from keras_regplus.callbacks import WeightHistogram

# name: shapes of the weights
CASES = {
    "10 million in one": [(10_000_000,)],
    "200 of 64 x 64": [(64, 64)] * 200,
}
Record = Callable[[int], None]


class Holder(keras.layers.Layer):
    """Holds weights, and does nothing with them."""

    def __init__(self, shapes: list[tuple[int, ...]]) -> None:
        super().__init__()
        for number, shape in enumerate(shapes):
            self.add_weight(shape=shape, initializer="random_normal", name=f"w{number}")

    def call(self, inputs):
        return inputs


def ours(model: keras.Model, folder: str) -> tuple[Record, Record]:
    callback = WeightHistogram(folder)
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    return callback.on_epoch_end, lambda _: callback._writer("weights").wait()


def of_keras(model: keras.Model, folder: str) -> tuple[Record, Record]:
    callback = keras.callbacks.TensorBoard(folder, histogram_freq=1, write_graph=False)
    callback.set_model(model)
    callback.on_train_begin()
    return callback._log_weights, lambda _: None


def of_summary_writer(module: str) -> Callable[[keras.Model, str], tuple[Record, Record]]:
    def start(model: keras.Model, folder: str) -> tuple[Record, Record]:
        writer = importlib.import_module(module).SummaryWriter(folder)

        def record(step: int) -> None:
            for weight in model.weights:
                values = keras.ops.convert_to_numpy(weight.value)
                writer.add_histogram(weight.path, values, step)

        return record, lambda _: writer.flush()

    return start


TOOLS = {
    "WeightHistogram": ours,
    "keras.callbacks.TensorBoard": of_keras,
    "torch SummaryWriter": of_summary_writer("torch.utils.tensorboard"),
    "tensorboardX": of_summary_writer("tensorboardX"),
}


def started(model: keras.Model, folder: str) -> dict[str, tuple[Record, Record]]:
    """The tools that are there, each with a record made."""
    tools = {}
    for name, start in TOOLS.items():
        with contextlib.suppress(ImportError):
            record, finish = start(model, os.path.join(folder, name))
            record(0)
            finish(0)
            tools[name] = record, finish
    return tools


def measured(record: Record, finish: Record, step: int) -> tuple[float, float]:
    """Milliseconds in the training thread, and of all threads."""
    # The threads of the tool before go on spinning for a while.
    time.sleep(0.2)
    began, worked = time.perf_counter(), time.process_time()
    record(step)
    held = time.perf_counter() - began
    finish(step)
    return 1e3 * held, 1e3 * (time.process_time() - worked)


def compare(shapes: list[tuple[int, ...]], rounds: int) -> dict[str, np.ndarray]:
    """Rows of held and CPU milliseconds of each tool."""
    model = keras.Sequential([keras.Input((2,)), Holder(shapes)])
    with tempfile.TemporaryDirectory() as folder:
        tools = started(model, folder)
        rows: dict[str, list[tuple[float, float]]] = {name: [] for name in tools}
        for step in range(1, rounds + 1):
            for name, tool in tools.items():
                rows[name].append(measured(*tool, step))
    return {name: np.array(values) for name, values in rows.items()}


def print_table(times_by_tool: dict[str, np.ndarray]) -> None:
    missing = np.full((1, 2), np.nan)
    theirs = np.median(times_by_tool.get("keras.callbacks.TensorBoard", missing), axis=0)
    for name, values in times_by_tool.items():
        cells = []
        for column, unit in enumerate(("held", "CPU")):
            low, middle, high = statistics.quantiles(values[:, column], n=4)
            times = theirs[column] / middle
            cells.append(f"{unit} {middle:8.2f} ms ({low:.2f} to {high:.2f}), {times:5.0f} times")
        print(f"  {name:<28} {'   '.join(cells)}")


def print_memory() -> None:
    """What a record allocates beside the weights, as a share of their bytes."""
    for case, shapes in CASES.items():
        model = keras.Sequential([keras.Input((2,)), Holder(shapes)])
        size = sum(4 * int(np.prod(shape)) for shape in shapes)
        with tempfile.TemporaryDirectory() as folder:
            tracemalloc.start()
            record, finish = ours(model, folder)
            record(0)
            finish(0)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        print(f"  {case}: {peak / 2**20:.1f} MiB beside {size / 2**20:.1f} MiB of weights")


def print_peaks() -> None:
    """How far the peak of this process rises, with our record and then with that of Keras."""
    model = keras.Sequential([keras.Input((2,)), Holder(CASES["10 million in one"])])
    for name in ("WeightHistogram", "keras.callbacks.TensorBoard"):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with tempfile.TemporaryDirectory() as folder:
            record, finish = TOOLS[name](model, folder)
            record(0)
            finish(0)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"  {name}: the peak rises by {(after - before) / 1024:.0f} MiB")


def main() -> None:
    """Print the tables."""
    print(f"{keras.backend.backend()}:")
    if sys.argv[1:] == ["peak"]:
        print_peaks()
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    for case, shapes in CASES.items():
        print(f" {case}")
        print_table(compare(shapes, rounds))
    print(" memory")
    print_memory()


if __name__ == "__main__":
    main()
