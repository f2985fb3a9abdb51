"""Several metrics at once, a sample of the training data, and where the best weights are kept."""

from __future__ import annotations

import tempfile
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import OverfittingDetector
from keras_regplus.callbacks.overfitting_detector._best_weights import BestWeights
from keras_regplus.diagnosis import diagnose

FALLING = [0.9**epoch for epoch in range(40)]
TURNING = [0.5 + abs(epoch - 10) / 50 for epoch in range(40)]
X = np.random.default_rng(0).normal(size=(48, 6)).astype("float32")
Y = np.random.default_rng(1).normal(size=(48, 1)).astype("float32")


def fed(detector, **curves):
    """A training of these logs alone, each metric as a pair of curves."""
    detector.set_model(SimpleNamespace(metrics=[], stop_training=False))
    detector.on_train_begin()
    rows = []
    for epoch in range(len(next(iter(curves.values()))[0])):
        logs = {name: pair[0][epoch] for name, pair in curves.items()}
        logs |= {f"val_{name}": pair[1][epoch] for name, pair in curves.items() if pair[1]}
        detector.on_epoch_end(epoch, logs)
        rows.append(logs)
    return rows


GOOD, BAD = (FALLING, FALLING), (FALLING, TURNING)


@pytest.mark.parametrize(
    ("combine", "loss", "mae", "verdict"),
    [
        ("any", GOOD, BAD, "overfitting"),
        ("any", BAD, GOOD, "overfitting"),
        ("any", GOOD, GOOD, "healthy"),
        ("all", GOOD, BAD, "healthy"),
        ("all", BAD, BAD, "overfitting"),
    ],
)
def test_metrics_are_combined(combine, loss, mae, verdict):
    detector = OverfittingDetector(["loss", "val_mae"], combine=combine, verbose=0)
    rows = fed(detector, loss=loss, mae=mae)
    assert detector.diagnosis.verdict == verdict
    assert detector.diagnosis.should_stop == (verdict == "overfitting")
    assert detector.diagnoses == {"loss": diagnose(*loss), "mae": diagnose(*mae)}
    assert rows[-1]["overfitting_score"] == detector.diagnosis.score
    assert detector.history["val"] == loss[1]


def test_each_metric_has_its_own_direction_and_its_block_in_the_report():
    detector = OverfittingDetector(["loss", "accuracy"], combine="all", verbose=0)
    rising = [1 - value / 2 for value in FALLING], [1 - value / 2 for value in TURNING]
    fed(detector, loss=BAD, accuracy=rising)
    assert detector.diagnosis.verdict == "overfitting"
    assert detector.report().count(": overfitting\n") == 2


def test_a_metric_that_is_not_there_leaves_the_others_watched():
    detector = OverfittingDetector(["loss", "nonsense"], verbose=0)
    with pytest.warns(RegPlusWarning, match="'nonsense'") as caught:
        fed(detector, loss=BAD)
    assert len(caught) == 1
    assert detector.diagnosis.verdict == "overfitting"


def test_a_metric_given_twice_is_watched_once():
    assert OverfittingDetector(["val_loss", "loss"]).monitor == ["loss"]


def dropping(rate=0.5):
    """Its training loss is that of half of its inputs; its loss at inference is another."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dropout(rate), layers.Dense(1, kernel_initializer="zeros")]
    )
    model.compile(keras.optimizers.SGD(0.01), "mse", metrics=["mae"])
    return model


def as_dataset(x, y):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return x[12 * index : 12 * index + 12], y[12 * index : 12 * index + 12]

    return Batches()


@pytest.mark.parametrize("how", ["pair", "weighted", "dataset"])
def test_a_sample_of_the_training_data_is_measured_at_inference(how):
    x, y = X[:24], Y[:24]
    weights = np.linspace(0, 1, 24)
    probe = {"pair": (x, y), "weighted": (x, y, weights), "dataset": as_dataset(x, y)}[how]
    expected, seen = [], []

    class Measures(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            error = (keras.ops.convert_to_numpy(self.model(x)) - y)[:, 0] ** 2
            expected.append(np.average(error, weights=weights if how == "weighted" else None))
            seen.append(logs["loss"])

    detector = OverfittingDetector(train_probe=probe, verbose=0)
    model = dropping()
    history = model.fit(
        x,
        y,
        validation_data=(X[24:], Y[24:]),
        epochs=4,
        verbose=0,
        callbacks=[Measures(), detector],
    ).history
    if how == "weighted":  # Keras divides by the number of cases
        expected = np.array(expected) * weights.mean()
    np.testing.assert_allclose(detector.history["train"], expected, rtol=1e-5)
    np.testing.assert_allclose(detector.history["val"], history["val_loss"], rtol=1e-6)
    assert history["loss"] == seen  # the logs of the training stay what they were


def test_the_sample_changes_nothing_in_the_training():
    def weights(**arguments):
        # Without dropout: any evaluation on torch draws from the generator that it uses.
        model = dropping(rate=0.0)
        detector = OverfittingDetector("loss", verbose=0, **arguments)
        callbacks = [detector]
        fit = {"epochs": 3, "verbose": 0, "callbacks": callbacks, "shuffle": False}
        model.fit(X[:24], Y[:24], validation_data=(X[24:], Y[24:]), **fit)
        return model.get_weights()

    for one, other in zip(weights(), weights(train_probe=(X[:9], Y[:9])), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_sample_that_cannot_be_evaluated_is_one_warning():
    detector = OverfittingDetector("loss", train_probe=(X[:9, :2], Y[:9]), verbose=0)
    fit = {"epochs": 2, "verbose": 0, "callbacks": [detector]}
    with pytest.warns(RegPlusWarning, match="`train_probe` could not be evaluated") as caught:
        history = dropping().fit(X[:24], Y[:24], validation_data=(X[24:], Y[24:]), **fit).history
    assert sum(warning.category is RegPlusWarning for warning in caught) == 1
    assert detector.history["train"] == history["loss"]


class Counts:
    """A model whose weights are the number of the epoch."""

    def __init__(self):
        self.metrics, self.stop_training, self.weights = [], False, []
        self.epoch, self.copies = 0, 0

    def get_weights(self):
        self.copies += 1
        return [np.array(self.epoch)]

    def set_weights(self, weights):
        self.epoch = int(weights[0])


@pytest.mark.parametrize(
    ("best_by", "val", "best", "copies"),
    [
        ("raw", [5, 4, 3, 9, 9], 2, 3),
        ("raw", [5, 4, 4, 3, 3], 3, 3),
        # Means of three: 5, 4.5, 3.33, 3, 3.67; the lucky 1 is not what counts.
        ("smooth", [5, 4, 1, 4, 6], 3, 4),
        ("raw", [5, 4, 1, 4, 6], 2, 3),
        ("raw", [float("nan"), 2, float("-inf"), 3], 1, 1),
    ],
)
def test_the_best_epoch_is_that_of_the_raw_or_of_the_smoothed_curve(best_by, val, best, copies):
    model = Counts()
    detector = OverfittingDetector("loss", restore_best_weights=True, best_by=best_by, verbose=0)
    detector.set_model(model)
    detector.on_train_begin()
    for epoch, value in enumerate(val):
        model.epoch = epoch
        detector.on_epoch_end(epoch, {"loss": 1.0, "val_loss": value})
    detector.on_train_end()
    assert (model.epoch, model.copies) == (best, copies)


@pytest.mark.parametrize("where", ["memory", "disk", "beside the state"])
def test_the_best_weights_come_back_from_wherever_they_are_kept(where, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    arguments = {"best_weights": where}
    if where == "beside the state":
        arguments = {"state_file": tmp_path / "run" / "state.json"}
    model, weights, optimizers, files = dropping(), [], [], []

    class Spies(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            weights.append(self.model.get_weights())
            state = map(keras.ops.convert_to_numpy, self.model.optimizer.variables)
            optimizers.append([np.array(values) for values in state])
            files.append([path.name for path in tmp_path.rglob("*.weights.h5")])

    detector = OverfittingDetector("loss", restore_best_weights=True, verbose=0, **arguments)
    fit = {"epochs": 6, "verbose": 0, "callbacks": [detector, Spies()]}
    # Targets of the opposite sign: validation grows worse from the first epoch on.
    history = model.fit(X[:24], Y[:24], validation_data=(X[:24], -Y[:24]), **fit).history
    best = int(np.argmin(history["val_loss"]))
    assert best < 5
    for one, other in zip(model.get_weights(), weights[best], strict=True):
        np.testing.assert_array_equal(one, other)
    # The optimizer stays where the training has ended, and with it every schedule.
    assert keras.ops.convert_to_numpy(model.optimizer.iterations) == 6
    for one, other in zip(model.optimizer.variables, optimizers[-1], strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(one), other)
    name = {"memory": [], "disk": ["best.weights.h5"], "beside the state": ["state.weights.h5"]}
    assert files == [name[where]] * 6
    assert not list(tmp_path.rglob("*.weights.h5"))


def test_a_disk_that_cannot_be_written_leaves_them_in_memory(monkeypatch):
    def full(*_, **__):
        raise OSError("disk full")

    model, weights = dropping(), []
    monkeypatch.setattr(type(model), "save_weights", full)
    spy = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: weights.append(model.get_weights())
    )
    detector = OverfittingDetector(
        "loss", restore_best_weights=True, best_weights="disk", verbose=0
    )
    fit = {"epochs": 3, "verbose": 0, "callbacks": [detector, spy]}
    with pytest.warns(RegPlusWarning, match="could not be written.*kept in memory"):
        history = model.fit(X[:24], Y[:24], validation_data=(X[:24], -Y[:24]), **fit).history
    best = int(np.argmin(history["val_loss"]))
    assert best < 2
    for one, other in zip(model.get_weights(), weights[best], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_file_that_cannot_be_read_is_left_where_it_is(monkeypatch, tmp_path):
    def broken(*_, **__):
        raise OSError("bad block")

    model = dropping()
    monkeypatch.setattr(type(model), "load_weights", broken)
    detector = OverfittingDetector(
        "loss", restore_best_weights=True, state_file=tmp_path / "state.json", verbose=0
    )
    fit = {"epochs": 2, "verbose": 0, "callbacks": [detector]}
    with pytest.warns(RegPlusWarning, match="could not be read.*keeps those of its last epoch"):
        model.fit(X[:24], Y[:24], validation_data=(X[24:], Y[24:]), **fit)
    assert (tmp_path / "state.weights.h5").is_file()


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_best_weights_of_an_earlier_process_that_are_gone_are_told_with_their_file(
    content, tmp_path
):
    path, net = tmp_path / "state.weights.h5", dropping()
    if content is not None:
        path.write_bytes(content)
    best = BestWeights("memory", path)
    with pytest.warns(RegPlusWarning, match=r"state\.weights\.h5.*got no file that can be loaded"):
        best.resume(net, {"epoch": 3, "cost": 1.0, "metric": "loss"}, None)
    assert (best.epoch, best.has_copy) == (None, False)


def test_plot_draws_both_curves_with_best_epoch_onset_and_stop():
    figure = pytest.importorskip("matplotlib.figure", reason="matplotlib is not installed")
    detector = OverfittingDetector("loss", action="stop", verbose=0)
    ax = figure.Figure().add_subplot()
    with pytest.raises(ValueError, match=r"epoch|values"):
        detector.plot(ax=ax)
    fed(detector, loss=BAD)
    lines = {line.get_label(): line for line in detector.plot(ax=ax).lines}
    assert lines["Training"].get_ydata().tolist() == FALLING
    assert lines["Validation"].get_ydata().tolist() == TURNING
    assert lines["Best epoch"].get_xdata()[0] == 10
    assert lines["Stopped"].get_xdata()[0] == detector.stopped_epoch
    assert ax.get_title().startswith("Overfitting since epoch")
