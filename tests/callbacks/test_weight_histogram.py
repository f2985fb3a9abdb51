"""Files of whole trainings, read back with TensorBoard's own reader."""

from __future__ import annotations

import copy
import functools
import os
import pickle
import shutil
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest

import keras_regplus
from keras_regplus import RegPlusWarning
from keras_regplus.callbacks.weight_histogram import WeightHistogram, _callback, _names, _records
from keras_regplus.callbacks.weight_histogram._names import tags_of_weights
from keras_regplus.clock.model_parts import unique_paths
from keras_regplus.histograms import event_file, event_writer

X = np.linspace(-1, 1, 24, dtype="float32").reshape(8, 3)
Y = X.sum(axis=1, keepdims=True)


def read(log_dir) -> dict[str, dict[int, np.ndarray]]:
    """Tag, step, rows of left edge, right edge and count; no step may occur twice."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    folder = os.path.join(log_dir, "weights")
    accumulator = EventAccumulator(folder, size_guidance={"tensors": 0}).Reload()
    records = {tag: accumulator.Tensors(tag) for tag in accumulator.Tags()["tensors"]}
    for events in records.values():
        assert len({event.step for event in events}) == len(events)
    return {
        tag: {event.step: make_ndarray(event.tensor_proto) for event in events}
        for tag, events in records.items()
    }


def steps(log_dir) -> list[int]:
    found = {tuple(records) for records in read(log_dir).values()}
    assert len(found) == 1, "all tags have the same steps"
    return list(found.pop())


def new_model() -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((3,), name="input"),
            keras.layers.Dense(4, name="hidden"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dense(1, name="output"),
        ],
        name="net",
    )
    model.compile("sgd", "mse")
    return model


@functools.cache
def shared_model() -> keras.Model:
    """One model for all tests that do not care what it has learned: it is compiled once."""
    return new_model()


def fit(model, *callbacks, epochs=1, **options):
    return model.fit(
        X, Y, batch_size=4, epochs=epochs, verbose=0, callbacks=list(callbacks), **options
    )


def numpy_of(weight) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(weight.value))


def ours(caught) -> list:
    return [warning for warning in caught if warning.category is RegPlusWarning]


class Snapshots(keras.callbacks.Callback):
    """Keeps the weights as they are before training and after each epoch."""

    def on_train_begin(self, logs=None):
        self.weights = [self.now()]

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.now())

    def now(self):
        return {w.path: numpy_of(w) for w in self.model.weights}


def test_each_record_counts_the_weights_of_its_moment(tmp_path):
    snapshots = Snapshots()
    fit(shared_model(), WeightHistogram(tmp_path, buckets=7), snapshots, epochs=3)
    records = read(tmp_path)
    assert sorted(records) == sorted(f"{path}/histogram" for path in snapshots.weights[0])
    for step, weights in enumerate(snapshots.weights):
        for path, values in weights.items():
            rows = records[f"{path}/histogram"][step]
            edges = np.append(rows[:, 0], rows[-1, 1])
            assert rows.shape == (7, 3)
            assert (edges[0], edges[-1]) == (values.min(), values.max())
            exact = values.astype(np.float64)
            assert rows[:, 2].tolist() == np.histogram(exact, bins=edges)[0].tolist()


def test_a_record_does_not_see_what_training_does_after_it(tmp_path, monkeypatch):
    may_count, count_now = threading.Event(), _records.histograms_of

    def late(arrays, buckets):
        assert may_count.wait(20)
        return count_now(arrays, buckets)

    class Release(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            may_count.set()

    monkeypatch.setattr(_records, "histograms_of", late)
    model = shared_model()
    before = numpy_of(model.weights[0]).min()
    fit(model, Release(), WeightHistogram(tmp_path))
    records = read(tmp_path)["net/hidden/kernel/histogram"]
    assert records[0][0, 0] == before
    assert records[1][0, 0] == numpy_of(model.weights[0]).min() != before


@pytest.mark.parametrize(
    ("frequency", "expected"), [(1, [0, 1, 2, 3, 4, 5]), (2, [0, 2, 4]), (5, [0, 5]), (9, [0])]
)
def test_records_come_at_the_start_and_every_so_many_epochs(tmp_path, frequency, expected):
    fit(shared_model(), WeightHistogram(tmp_path, frequency), epochs=5)
    assert steps(tmp_path) == expected


def test_the_steps_go_on_in_a_second_fit(tmp_path):
    model, callback = shared_model(), WeightHistogram(tmp_path)
    fit(model, callback, epochs=2)
    fit(model, callback, epochs=3)
    assert steps(tmp_path) == [0, 1, 2, 3, 4, 5]
    assert len(os.listdir(tmp_path / "weights")) == 2


def test_a_second_fit_records_where_it_starts(tmp_path):
    model, callback = shared_model(), WeightHistogram(tmp_path, 4)
    fit(model, callback, epochs=3)
    fit(model, callback, epochs=3)
    assert steps(tmp_path) == [0, 3, 4]


def test_an_initial_epoch_is_taken_as_it_is(tmp_path):
    model, callback = shared_model(), WeightHistogram(tmp_path)
    fit(model, callback, initial_epoch=5, epochs=7)
    fit(model, callback, initial_epoch=7, epochs=8)
    fit(model, callback, epochs=1)
    assert steps(tmp_path) == [5, 6, 7, 8, 9]


def test_another_model_starts_anew(tmp_path):
    callback = WeightHistogram(tmp_path)
    fit(shared_model(), callback, epochs=2)
    shutil.rmtree(tmp_path / "weights")
    fit(new_model(), callback, epochs=1)
    assert steps(tmp_path) == [0, 1]


def test_a_model_that_is_not_built_is_recorded_as_soon_as_it_has_weights(tmp_path):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    fit(model, WeightHistogram(tmp_path, include="kernel"))
    # TensorFlow makes the weights in the first step, the others before the training begins.
    initial = [] if keras.backend.backend() == "tensorflow" else [0]
    assert steps(tmp_path) == [*initial, 1]


class Owner(keras.Model):
    """Owns a weight itself, beside nested models and a cell of a recurrent layer."""

    def __init__(self):
        super().__init__(name="owner")
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")
        self.inner = keras.Sequential(
            [
                keras.Input((3, 1)),
                keras.layers.LSTM(2, name="lstm"),
                keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="d")], name="deep"),
            ],
            name="inner",
        )

    def call(self, inputs):
        return self.scale * self.inner(inputs[..., None])


def test_weights_of_nested_models_cells_and_subclasses_are_recorded_once(tmp_path):
    model = Owner()
    model(X)
    model.compile("sgd", "mse")
    fit(model, WeightHistogram(tmp_path))
    tags = [tag.removesuffix("/histogram") for tag in read(tmp_path)]
    assert len(tags) == 6
    # Some weights carry the path that their model had when it was built by itself.
    endings = {tuple(tag.split("/")[-2:]) for tag in tags}
    cell = {("lstm_cell", name) for name in ("kernel", "recurrent_kernel", "bias")}
    assert endings == {("d", "kernel"), ("d", "bias"), ("owner", "scale")} | cell


class Twins(keras.layers.Layer):
    """Two sublayers of one name, and a third that is held twice."""

    def build(self, shape):
        self.twins = [keras.layers.Dense(3, use_bias=False, name="twin") for _ in range(2)]
        self.once = self.again = keras.layers.Dense(3, use_bias=False, name="once")
        for layer in [*self.twins, self.once]:
            layer.build(shape)

    def call(self, inputs):
        return self.again(self.once(self.twins[1](self.twins[0](inputs))))


def test_weights_of_one_path_have_tags_of_their_own(tmp_path):
    model = keras.Sequential([keras.Input((3,)), Twins(name="t")], name="net")
    model.compile("sgd", "mse")
    snapshots = Snapshots()
    fit(model, WeightHistogram(tmp_path), snapshots)
    first, second, once = model.weights
    assert first.path == second.path
    lows = {tag: records[1][0, 0] for tag, records in read(tmp_path).items()}
    assert lows == {
        f"{first.path}/histogram": numpy_of(first).min(),
        f"{first.path}_2/histogram": numpy_of(second).min(),
        f"{once.path}/histogram": numpy_of(once).min(),
    }


@pytest.mark.parametrize(
    ("paths", "prefix", "tags"),
    [
        (["a", "a_2", "a", "b:0", "b_0", "a"], "", ["a", "a_2", "a_3", "b_0", "b_0_2", "a_4"]),
        (["net/a", "a", "net/a"], "net/", ["a", "a_2", "a_2_2"]),
    ],
)
def test_a_tag_is_never_given_twice(paths, prefix, tags, monkeypatch):
    unique = dict(enumerate(unique_paths(paths)))
    monkeypatch.setattr(_names, "weight_paths", lambda model: unique)
    assert list(tags_of_weights(None, prefix).values()) == tags


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"include": "kernel$"}, {"hidden/kernel", "output/kernel"}),
        ({"include": ["^net/hidden", "beta"]}, {"hidden/kernel", "hidden/bias", "norm/beta"}),
        ({"include": "output", "exclude": "bias"}, {"output/kernel"}),
        ({"exclude": ["norm", "hidden", "bias"]}, {"output/kernel"}),
        ({"include": lambda path: path.endswith("gamma")}, {"norm/gamma"}),
        (
            {"include": "norm", "exclude": lambda path: "moving" in path},
            {"norm/gamma", "norm/beta"},
        ),
        (
            {"include": keras.layers.BatchNormalization, "exclude": "moving"},
            {"norm/gamma", "norm/beta"},
        ),
        (
            {"include": ["gamma", keras.layers.Dense], "exclude": [keras.layers.RNN, "bias"]},
            {"hidden/kernel", "output/kernel", "norm/gamma"},
        ),
    ],
)
def test_include_and_exclude_choose_by_path_and_layer(tmp_path, options, expected):
    fit(shared_model(), WeightHistogram(tmp_path, **options))
    assert set(read(tmp_path)) == {f"net/{name}/histogram" for name in expected}


def test_a_filter_that_leaves_nothing_is_said_once(tmp_path):
    with pytest.warns(
        RegPlusWarning, match="must leave some weights of the model, got none"
    ) as caught:
        fit(shared_model(), WeightHistogram(tmp_path, include="kernels"), epochs=3)
    assert len(ours(caught)) == 1


class Odd(keras.layers.Layer):
    """Weights of every kind that a training meets, none of which it changes."""

    dtypes = ("float16", "bfloat16", "int8", "int32", "bool", "float64")

    def build(self, shape):
        for dtype in self.dtypes:
            self.hold(dtype, dtype, [[0, 1, 1]])
        self.hold("empty", "float32", np.zeros((0, 2)))
        self.hold("spoilt", "float32", [0.0, np.nan, 2.0, np.inf, -np.inf])
        self.hold("lost", "float32", [np.nan])
        self.hold("wide", "float32", [-3e38, 1e-45, 3e38])

    def hold(self, name, dtype, values):
        values = np.array(values)
        weight = self.add_weight(
            name=name, shape=values.shape, dtype=dtype, initializer="zeros", trainable=False
        )
        weight.assign(keras.ops.convert_to_tensor(values, dtype=dtype))

    def call(self, inputs):
        return inputs


def test_weights_of_any_kind_are_counted(tmp_path):
    model = keras.Sequential([keras.Input((3,)), Odd(name="odd"), keras.layers.Dense(1)], name="m")
    model.compile("sgd", "mse")
    fit(model, WeightHistogram(tmp_path, include="odd/", buckets=2))
    found = {tag.split("/", 2)[2]: records[1].tolist() for tag, records in read(tmp_path).items()}
    assert (found.pop("spoilt/not_finite"), found.pop("lost/not_finite")) == (3, 1)
    rows = {tag.removesuffix("/histogram"): rows for tag, rows in found.items()}
    for dtype in Odd.dtypes:
        assert rows.pop(dtype) == [[0.0, 0.5, 1.0], [0.5, 1.0, 2.0]]
    assert rows.pop("spoilt") == [[0.0, 1.0, 1.0], [1.0, 2.0, 1.0]]
    assert rows.pop("empty") == rows.pop("lost") == [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert [row[2] for row in rows.pop("wide")] == [1, 2]
    assert not rows


def test_a_weight_that_cannot_be_read_costs_one_warning_and_nothing_else(tmp_path, monkeypatch):
    view = _records.host_view

    def refuse_vectors(tensor):
        if len(tensor.shape) == 1:
            raise RuntimeError("not on this host")
        return view(tensor)

    monkeypatch.setattr(_records, "host_view", refuse_vectors)
    with pytest.warns(RegPlusWarning, match="`net/hidden/bias` cannot be read") as caught:
        fit(shared_model(), WeightHistogram(tmp_path, exclude="norm"), epochs=2)
    assert len(ours(caught)) == 1
    monkeypatch.undo()
    assert set(read(tmp_path)) == {"net/hidden/kernel/histogram", "net/output/kernel/histogram"}


def test_weights_beyond_the_budget_are_counted_at_once(tmp_path, monkeypatch):
    counted_by, count_now = {}, _records.histograms_of

    def count(arrays, buckets):
        arrays = list(arrays)
        for values in arrays:
            counted_by[values.size] = threading.current_thread() is threading.main_thread()
        return count_now(arrays, buckets)

    monkeypatch.setattr(_records, "histograms_of", count)
    # Room for the hidden layer, with what aligns it, and no more.
    monkeypatch.setattr(_records, "_BUDGET", 128)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    fit(model, WeightHistogram(tmp_path))
    assert counted_by == {15: False, 5: False, 10: True, 2: True}
    assert all(list(records) == [0, 1] for records in read(tmp_path).values())


def weights_after(*callbacks) -> list[np.ndarray]:
    keras.utils.set_random_seed(3)
    model = new_model()
    fit(model, *callbacks, epochs=3)
    return [numpy_of(weight) for weight in model.weights]


def test_the_training_is_the_same_to_the_bit(tmp_path):
    for plain, watched in zip(
        weights_after(), weights_after(WeightHistogram(tmp_path)), strict=True
    ):
        assert plain.tobytes() == watched.tobytes()


def warned_fit(callback, match, **options):
    model = shared_model()
    with pytest.warns(RegPlusWarning, match=match) as caught:
        history = fit(model, callback, epochs=3, **options)
    (warning,) = ours(caught)
    assert warning.filename == __file__
    assert len(history.history["loss"]) == 3


def test_a_folder_that_cannot_be_made_costs_one_warning(tmp_path):
    (tmp_path / "logs").write_text("in the way")
    warned_fit(WeightHistogram(tmp_path / "logs"), "could not write to .*logs")
    assert (tmp_path / "logs").read_text() == "in the way"


def test_a_folder_deleted_while_training_costs_one_warning(tmp_path):
    class Deleter(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                assert callback._writer("weights").wait()
                shutil.rmtree(tmp_path / "logs")

    callback = WeightHistogram(tmp_path / "logs")
    model = shared_model()
    with pytest.warns(RegPlusWarning, match="was deleted") as caught:
        fit(model, callback, Deleter(), epochs=4)
    assert len(ours(caught)) == 1
    assert steps(tmp_path / "logs") == [2, 3, 4]


def test_a_full_disk_costs_one_warning_and_no_record(tmp_path, monkeypatch):
    append, left = event_file._LocalFile.append, iter([True] * 3 + [False])

    def append_once_torn(self, record):
        if next(left, True):
            return append(self, record)
        append(self, record[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(event_file._LocalFile, "append", append_once_torn)
    warned_fit(WeightHistogram(tmp_path, include="hidden"), "No space left on device")
    assert steps(tmp_path) == [0, 1, 2, 3]


def test_a_writer_that_hangs_costs_one_warning(tmp_path, monkeypatch):
    never, add = threading.Event(), event_writer.EventWriter.add
    monkeypatch.setattr(
        event_writer.EventWriter,
        "add",
        lambda self, step, *_: add(self, step, (never.wait(60) for _ in range(1))),
    )
    monkeypatch.setattr(event_writer, "_PATIENCE_SECONDS", 0.01)
    warned_fit(WeightHistogram(tmp_path), "still being written")
    never.set()


def test_a_fit_that_raised_is_followed_by_one_that_works(tmp_path):
    class Boom(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise RuntimeError("boom")

    model, callback = shared_model(), WeightHistogram(tmp_path)
    with pytest.raises(RuntimeError, match="boom"):
        fit(model, callback, Boom(), epochs=3)
    fit(model, callback, epochs=2)
    assert steps(tmp_path) == [0, 1, 2, 3]
    assert len(os.listdir(tmp_path / "weights")) == 2


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_a_copy_can_be_made_before_during_and_after_a_fit(tmp_path, copied):
    class Copier(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            copies.append(copied(callback))

    callback = WeightHistogram(tmp_path, 1, include="kernel", exclude=["output"])
    copies = [copied(callback)]
    fit(shared_model(), callback, Copier())
    copies.append(copied(callback))
    assert steps(tmp_path) == [0, 1]
    for each in copies:
        each.log_dir = str(tmp_path / "copy")
        fit(shared_model(), each)
        assert set(read(each.log_dir)) == {"net/hidden/kernel/histogram"}
        shutil.rmtree(each.log_dir)


def test_only_the_chief_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(_callback, "is_chief", lambda model: False)
    fit(shared_model(), WeightHistogram(tmp_path / "logs"))
    assert not (tmp_path / "logs").exists()


def batch_hooks(callback) -> set[str]:
    plain = keras.callbacks.Callback()
    hooks = [name for name in dir(plain) if name.startswith("on_") and "batch" in name]
    return {
        name
        for name in hooks
        if getattr(getattr(callback, name), "__func__", None)
        is not getattr(getattr(plain, name), "__func__", None)
    }


def test_only_records_of_steps_take_a_batch_hook_and_turn_off_asynchronous_dispatch():
    assert batch_hooks(WeightHistogram()) == set()
    assert batch_hooks(WeightHistogram(every_steps=2)) == {"on_train_batch_end"}


NO_TENSORFLOW = """
import sys
import keras, numpy as np
from keras_regplus.callbacks.weight_histogram import WeightHistogram
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
x = np.ones((4, 3))
model.fit(x, x[:, :1], verbose=0, callbacks=[WeightHistogram(sys.argv[1])])
print("tensorflow" in sys.modules)
"""


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="TensorFlow is the backend")
def test_a_training_with_histograms_leaves_tensorflow_alone(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", NO_TENSORFLOW, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=os.path.dirname(os.path.dirname(keras_regplus.__file__)),
    )
    assert done.stdout.strip() == "False", done.stderr
    assert steps(tmp_path) == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"log_dir": None}, TypeError, "log_dir"),
        ({"log_dir": b"logs"}, TypeError, "log_dir"),
        ({"log_dir": ""}, ValueError, "log_dir"),
        ({"log_dir": "gopher://logs"}, ValueError, "log_dir"),
        ({"histogram_freq": 0}, ValueError, "histogram_freq"),
        ({"histogram_freq": 1.5}, ValueError, "histogram_freq"),
        ({"histogram_freq": "1"}, TypeError, "histogram_freq"),
        ({"include": "("}, ValueError, "include"),
        ({"include": ["a", 3]}, TypeError, "include"),
        ({"include": 3}, TypeError, "include"),
        ({"include": b"kernel"}, TypeError, "include"),
        ({"exclude": ["(", "a"]}, ValueError, "exclude"),
        ({"exclude": [b"a"]}, TypeError, "exclude"),
        ({"exclude": 1.0}, TypeError, "exclude"),
        ({"buckets": 0}, ValueError, "buckets"),
        ({"buckets": True}, TypeError, "buckets"),
        ({"every_steps": 0}, ValueError, "every_steps"),
        ({"every_steps": 5, "unit": "epoch"}, ValueError, "unit"),
        ({"unit": "batch"}, ValueError, "unit"),
        ({"scalars": "mean"}, TypeError, "scalars"),
        ({"scalars": ["median"]}, ValueError, "scalars"),
        ({"metrics": "loss"}, TypeError, "metrics"),
        ({"sample_size": 0}, ValueError, "sample_size"),
        ({"model_name": "net"}, TypeError, "model_name"),
    ],
)
def test_bad_arguments_are_refused_at_construction(arguments, error, name):
    with pytest.raises(error, match=rf"^WeightHistogram: `{name}` must be .*, got .*\. "):
        WeightHistogram(**arguments)
