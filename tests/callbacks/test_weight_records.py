"""What else a record holds: scalars, samples, steps, metrics, and counts made on a device."""

from __future__ import annotations

import math
import os
import pickle
import re
import subprocess
import sys
import tracemalloc

import keras
import numpy as np
import pytest
from keras import layers

from keras_regplus import regularizers, schedules
from keras_regplus.callbacks import RegularizationScheduler, WeightHistogram
from keras_regplus.callbacks.weight_histogram import _reader, _records
from keras_regplus.callbacks.weight_histogram._on_device import counted_on_device
from keras_regplus.diagnosis import read_history
from keras_regplus.histograms.statistics import STATISTICS, statistics

X = np.linspace(-1, 1, 36, dtype="float32").reshape(12, 3)
Y = X.sum(axis=1, keepdims=True)


def read(folder) -> dict[str, dict[int, np.ndarray]]:
    """Tag, step and value as TensorBoard's own reader finds them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    return {
        tag: {e.step: make_ndarray(e.tensor_proto) for e in accumulator.Tensors(tag)}
        for tag in accumulator.Tags()["tensors"]
    }


def new_model(**compiled) -> keras.Model:
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, name="hidden"), layers.Dense(1, name="output")],
        name="net",
    )
    model.compile(keras.optimizers.SGD(0.1, **compiled), "mse")
    return model


def fit(model, *callbacks, **options):
    defaults = {"batch_size": 2, "epochs": 1, "verbose": 0, "shuffle": False}
    return model.fit(X, Y, callbacks=list(callbacks), **{**defaults, **options})


def numpy_of(tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor))


class AfterEachStep(keras.callbacks.Callback):
    """Keeps a kernel by the number of updates, before training and after each batch."""

    def __init__(self):
        super().__init__()
        self.kernels = {}

    def on_train_begin(self, logs=None):
        self.on_train_batch_end(0)

    def on_train_batch_end(self, batch, logs=None):
        updates = int(numpy_of(self.model.optimizer.iterations))
        self.kernels[updates] = numpy_of(self.model.layers[0].kernel)


@pytest.mark.parametrize(
    ("compiled", "every", "expected"),
    [
        ({}, 2, [0, 2, 4, 6, 8, 10, 12]),
        ({}, 5, [0, 5, 10]),
        ({"gradient_accumulation_steps": 2}, 2, [0, 2, 4, 6]),
        ({}, 100, [0]),
    ],
)
def test_records_come_every_so_many_updates(tmp_path, compiled, every, expected):
    model, steps = new_model(**compiled), AfterEachStep()
    fit(model, steps, WeightHistogram(tmp_path, every_steps=every), epochs=2)
    records = read(tmp_path / "weights")["net/hidden/kernel/histogram"]
    assert list(records) == expected
    for step, rows in records.items():
        kernel = steps.kernels[step]
        assert (rows[0, 0], rows[-1, 1]) == (kernel.min(), kernel.max())


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="Keras refuses steps_per_execution on torch"
)
def test_several_steps_per_execution_are_recorded_when_they_are_over(tmp_path):
    model = new_model()
    model.compile(keras.optimizers.SGD(0.1), "mse", steps_per_execution=4)
    fit(model, WeightHistogram(tmp_path, every_steps=3), epochs=2)
    # Six batches an epoch: 4 and then 2 in one execution.
    assert list(read(tmp_path / "weights")["net/hidden/bias/histogram"]) == [0, 4, 6, 10, 12]


def test_iterations_number_the_records_and_go_on(tmp_path):
    model, callback = new_model(), WeightHistogram(tmp_path, unit="step", metrics=True)
    fit(model, callback, epochs=2)
    fit(model, WeightHistogram(tmp_path, unit="step"), epochs=1)
    assert list(read(tmp_path / "weights")["net/hidden/bias/histogram"]) == [0, 6, 12, 18]
    assert list(read(tmp_path / "train")["epoch_loss"]) == [6, 12]


def test_metrics_are_scalars_with_the_tags_of_keras(tmp_path):
    model = new_model()
    callback = WeightHistogram(tmp_path, metrics=True)
    history = fit(model, callback, epochs=3, validation_data=(X, Y)).history
    train, validation = read(tmp_path / "train"), read(tmp_path / "validation")
    assert set(train) == {"epoch_loss", "epoch_learning_rate"} and set(validation) == {"epoch_loss"}
    for found, key in ((train, "loss"), (validation, "val_loss")):
        assert list(found["epoch_loss"]) == [1, 2, 3]
        assert list(found["epoch_loss"].values()) == pytest.approx(history[key], rel=1e-6)
    assert read_history(tmp_path)["loss"][1:] == pytest.approx(history["loss"])
    assert read_history(tmp_path)["val_loss"][1:] == pytest.approx(history["val_loss"])
    assert train["epoch_learning_rate"] == dict.fromkeys((1, 2, 3), np.float32(0.1))


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="Keras's TensorBoard needs TensorFlow"
)
def test_tags_are_those_of_the_callback_of_keras(tmp_path):
    ours = WeightHistogram(tmp_path / "ours", metrics=True)
    theirs = keras.callbacks.TensorBoard(tmp_path / "theirs", histogram_freq=1, write_graph=False)
    fit(new_model(), ours, theirs, validation_data=(X, Y))
    both = {**read(tmp_path / "ours" / "weights"), **read(tmp_path / "ours" / "train")}
    # Keras also tells how fast the training was.
    expected = {t for t in read(tmp_path / "theirs" / "train") if "per_second" not in t}
    assert set(both) == expected
    assert set(read(tmp_path / "ours" / "validation")) == {
        tag for tag in read(tmp_path / "theirs" / "validation") if tag.startswith("epoch_")
    }


def oracle(values, previous=None) -> dict[str, float]:
    """By the definitions, in plain NumPy."""
    values = np.asarray(values, np.float64)[np.isfinite(np.asarray(values, np.float64))]
    root_mean_square = np.sqrt(np.mean(values**2))
    found = {
        "mean": np.mean(values),
        "std": np.std(values),
        "norm": np.linalg.norm(values),
        "zeros": np.mean(values == 0),
        "near_zeros": np.mean(np.abs(values) < root_mean_square / 100),
    }
    if previous is not None:
        change = np.linalg.norm(values - previous)
        found["update_ratio"] = change / np.linalg.norm(previous)
    return found


@pytest.mark.parametrize("size", [1, 7, 300_000])
@pytest.mark.parametrize("dtype", ["float16", "float32", "int8"])
def test_scalars_follow_their_definitions(size, dtype):
    rng = np.random.default_rng(size)
    before = (rng.normal(size=size) * 5 + 1).astype(dtype)
    values = np.where(rng.random(size) < 0.2, 0, before + 1).astype(dtype)
    values[0] = 1
    found = statistics(values, before)
    assert tuple(found) == STATISTICS
    assert found == pytest.approx(oracle(values, before.astype(np.float64)), rel=1e-9)


def test_scalars_leave_out_what_is_not_finite_and_what_means_nothing():
    spoilt = np.array([0, np.nan, 2, np.inf, -4], "float32")
    assert statistics(spoilt) == pytest.approx(oracle(spoilt))
    assert statistics(np.array([np.nan])) == statistics(np.zeros((0, 3))) == {}
    assert "update_ratio" not in statistics(np.ones(3), np.zeros(3))
    assert "update_ratio" not in statistics(np.ones(3), np.full(3, np.nan))


def test_scalars_of_each_weight_and_of_the_schedules_are_written(tmp_path):
    model, steps = new_model(), AfterEachStep()
    model.layers[0].kernel.regularizer = regularizers.ScheduledL2(0.5, schedules.LinearWarmup(24))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    scheduler, callback = RegularizationScheduler(), WeightHistogram(tmp_path, scalars=True)
    with pytest.warns(UserWarning, match="longer than"):
        history = fit(model, scheduler, steps, callback, epochs=3).history
    found = read(tmp_path / "weights")
    kernels = [steps.kernels[updates] for updates in (0, 6, 12, 18)]
    for step, (before, now) in enumerate(zip([None, *kernels], kernels, strict=False)):
        for name, value in oracle(now.ravel(), None if before is None else before.ravel()).items():
            assert found[f"net/hidden/kernel/{name}"][step] == pytest.approx(value, rel=1e-6)
    assert 0 not in found["net/hidden/kernel/update_ratio"]
    for key in ("penalty", "strength/net/hidden/kernel"):
        assert list(found[key]) == [1, 2, 3]
        assert list(found[key].values()) == pytest.approx(history[key], rel=1e-6)


def test_only_the_scalars_that_are_wanted_are_written(tmp_path):
    fit(new_model(), WeightHistogram(tmp_path, include="kernel", scalars=["norm"]))
    kernels = ("net/hidden/kernel", "net/output/kernel")
    assert set(read(tmp_path / "weights")) == {
        f"{path}/{what}" for path in kernels for what in ("histogram", "norm")
    }


def test_what_is_not_finite_is_counted_from_its_first_appearance_on(tmp_path):
    model = new_model()
    values = {0: [0, 0, 0, 0], 1: [0, math.nan, math.inf, 0], 2: [0, 0, 0, 0]}

    class Spoils(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.layers[0].bias.assign(np.array(values[epoch], "float32"))

    fit(model, Spoils(), WeightHistogram(tmp_path, include="hidden/bias"), epochs=3)
    found = read(tmp_path / "weights")
    assert found["net/hidden/bias/not_finite"] == {2: 2, 3: 0}
    assert found["net/hidden/bias/histogram"][2][:, 2].sum() == 2


def test_of_large_weights_a_sample_is_counted_and_said_to_be_one(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = keras.Sequential([keras.Input((3,)), layers.Dense(500, name="wide")], name="net")
    model.compile(keras.optimizers.SGD(0.0), "mse")
    ramp = np.arange(1500, dtype="float32").reshape(3, 500)
    model.layers[0].kernel.assign(ramp)
    callback = WeightHistogram(tmp_path, sample_size=100, buckets=10, scalars=["update_ratio"])
    model.fit(X, np.zeros((12, 500)), epochs=2, verbose=0, callbacks=[callback])
    rows = read(tmp_path / "weights")["net/wide/kernel/histogram"]
    # One value of each stretch of 15: ten of each hundred and fifty, give or take the ends.
    assert rows[1][0, 0] < 15 and rows[1][-1, 1] >= 1485
    assert all(abs(number - 10) <= 1 for number in rows[1][:, 2])
    assert rows[1].tolist() == rows[2].tolist() and rows[1][:, 2].sum() == 100
    assert read(tmp_path / "weights")["net/wide/kernel/update_ratio"] == {1: 0, 2: 0}
    accumulator = EventAccumulator(str(tmp_path / "weights")).Reload()
    said = accumulator.SummaryMetadata("net/wide/kernel/histogram").summary_description
    assert said == "A sample of 100 of 1,500 values."
    said = accumulator.SummaryMetadata("net/wide/bias/histogram").summary_description
    assert said == "A sample of 100 of 500 values."


def test_the_name_of_the_model_can_be_left_out(tmp_path):
    fit(new_model(), WeightHistogram(tmp_path, include="^net/", model_name=False))
    assert sorted(read(tmp_path / "weights")) == [
        f"{layer}/{name}/histogram" for layer in ("hidden", "output") for name in ("bias", "kernel")
    ]


DEVICE_CASES = {
    "normal": np.random.default_rng(0).normal(size=5000),
    "equal": np.full(7, 0.1),
    "spoilt": np.array([np.nan, 0, 1, np.inf, 2, -np.inf]),
    "lost": np.array([np.nan, np.inf]),
    "wide": np.array([-3.4e38, 0, 1e30, 3.4e38]),
    "fine": 1 + np.arange(40) * 2.0**-23,
    "whole": np.repeat(np.arange(31), 3),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("case", list(DEVICE_CASES))
@pytest.mark.parametrize("block", [2**26, 3])
def test_counts_made_on_a_device_are_those_of_numpy(case, dtype, block, monkeypatch):
    monkeypatch.setattr("keras_regplus.callbacks.weight_histogram._on_device._BLOCK", block)
    values = DEVICE_CASES[case][: 50 if block == 3 else None]
    tensor = keras.ops.cast(keras.ops.convert_to_tensor(values, "float32"), dtype)
    edges, counts, not_finite = counted_on_device(tensor, 30)()
    exact = numpy_of(keras.ops.cast(tensor, "float32")).astype(np.float64)
    finite = exact[np.isfinite(exact)]
    assert not_finite == exact.size - finite.size
    assert counts.tolist() == np.histogram(finite, bins=edges)[0].tolist()
    if finite.size:
        even = np.linspace(finite.min(), finite.max(), 31)
        width = np.abs(finite).max()
        np.testing.assert_allclose(edges, even, atol=4e-7 * width)
        assert (edges[0], edges[-1]) == (finite.min(), finite.max())


@pytest.mark.parametrize("many", [1, 100])
def test_weights_are_those_of_the_moment_however_they_are_read(tmp_path, monkeypatch, many):
    monkeypatch.setattr(_reader, "_MANY", many)
    steps = AfterEachStep()
    fit(new_model(), steps, WeightHistogram(tmp_path, every_steps=1))
    records = read(tmp_path / "weights")["net/hidden/kernel/histogram"]
    assert list(records) == [0, 1, 2, 3, 4, 5, 6]
    for step, rows in records.items():
        kernel = steps.kernels[step]
        edges = np.append(rows[:, 0], rows[-1, 1])
        assert rows[:, 2].tolist() == np.histogram(kernel.astype("float64"), edges)[0].tolist()


def test_weights_that_a_model_gets_while_it_trains_are_recorded(tmp_path):
    class Adapts(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.layers[0].enable_lora(2)

    fit(new_model(), Adapts(), WeightHistogram(tmp_path, include="hidden"))
    found = read(tmp_path / "weights")
    assert list(found["net/hidden/kernel/histogram"]) == [0, 1]
    assert list(found["net/hidden/lora_kernel_a/histogram"]) == [1]


def test_weights_on_an_accelerator_are_counted_there_or_copied(tmp_path, monkeypatch):
    """The processor stands for the accelerator, as far as it can."""
    monkeypatch.setattr(_records, "is_on_host", lambda tensor: False)
    monkeypatch.setattr(_records, "_LARGE", 12)
    model, steps = new_model(), AfterEachStep()
    fit(model, steps, WeightHistogram(tmp_path, scalars=["mean"]), epochs=2)
    found = read(tmp_path / "weights")
    for step, updates in enumerate((0, 6, 12)):
        rows, kernel = found["net/hidden/kernel/histogram"][step], steps.kernels[updates]
        edges = np.append(rows[:, 0], rows[-1, 1])
        assert rows[:, 2].tolist() == np.histogram(kernel.astype("float64"), edges)[0].tolist()
    # The kernel has 12 values and is counted there; the bias has 4 and is copied.
    assert "net/hidden/kernel/mean" not in found
    assert list(found["net/hidden/bias/mean"]) == [0, 1, 2]


@pytest.mark.parametrize(("scalars", "copies"), [((), 1), (("update_ratio",), 2)])
def test_memory_stays_at_one_copy_of_the_weights_or_two(scalars, copies):
    weights = [keras.Variable(np.ones((500, 1000), "float32"), name=f"w{i}") for i in range(8)]
    named = [(weight.name, weight) for weight in weights]
    recorder = _records.Recorder(30, scalars, None)
    size = 8 * 500 * 1000 * 4
    tracemalloc.start()
    for _ in range(4):
        assert len(list(recorder.record(named))) >= 8
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Beside the copies there are blocks to count in.
    assert copies * size <= peak < copies * size + 8 * 2**20


def test_weights_beyond_the_budget_take_a_few_mebibytes(monkeypatch):
    monkeypatch.setattr(_records, "_BUDGET", 0)
    weight = keras.Variable(np.ones((8_000, 1000), "float32"), name="large")
    recorder = _records.Recorder(30, ("mean",), None)
    tracemalloc.start()
    values = dict(recorder.record([("large", weight)]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert values["large/histogram"].counts.sum() == 8_000_000 and values["large/mean"] == 1
    assert peak < 16 * 2**20


def test_a_callback_with_a_batch_hook_can_be_copied():
    copy = pickle.loads(pickle.dumps(WeightHistogram("logs", every_steps=3, scalars=True)))
    assert copy.on_train_batch_end.__self__ is copy
    assert (copy.every_steps, copy.unit, copy.scalars) == (3, "step", STATISTICS)


LIMITED = """
import sys
import keras, numpy as np
from keras_regplus.callbacks import WeightHistogram

def train(folder):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.linspace(-1, 1, 36).reshape(12, 3)
    model.fit(x, x[:, :1], epochs=4, verbose=0, callbacks=[WeightHistogram(folder, metrics=True)])
    print([weight.tolist() for weight in model.get_weights()])

free, limited = sys.argv[1:]
train(free)
print("free", file=sys.stderr)
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
train(limited)
"""


@pytest.mark.skipif(os.name != "posix", reason="the system has no limit on the size of a file")
def test_a_training_whose_files_may_not_grow_ends_with_the_weights_of_its_twin(tmp_path):
    folders = [str(tmp_path / name) for name in ("free", "limited")]
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, *folders], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    weights_of_both = run.stdout.splitlines()
    assert len(weights_of_both) == 2 and len(set(weights_of_both)) == 1
    of_free, of_limited = re.split(r"^free$", run.stderr, flags=re.MULTILINE)
    assert "could not write" not in of_free
    assert of_limited.count("could not write") == 1
    assert list(read(tmp_path / "free" / "train")["epoch_loss"]) == [1, 2, 3, 4]
