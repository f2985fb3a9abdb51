"""What a detector does where `data_loss` is no longer measured, and the score in the logs."""

from __future__ import annotations

import csv
import math
import warnings
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import OverfittingDetector, RegularizationScheduler
from keras_regplus.diagnosis import Diagnosis, diagnose
from keras_regplus.regularizers import ScheduledL2

NAN = float("nan")
EPOCHS = 60
DATA = [0.9**epoch for epoch in range(EPOCHS)]
VAL_DATA = [0.5 + abs(epoch - 10) / 50 for epoch in range(EPOCHS)]
# With its penalties the loss turns later, and lies higher.
LOSS = [3 + 0.95**epoch for epoch in range(EPOCHS)]
VAL_LOSS = [3.5 + abs(epoch - 40) / 50 for epoch in range(EPOCHS)]


def logs_of(epoch):
    return {
        "loss": LOSS[epoch],
        "val_loss": VAL_LOSS[epoch],
        "data_loss": DATA[epoch],
        "val_data_loss": VAL_DATA[epoch],
    }


def spoiled(first, keys=("data_loss", "val_data_loss"), how=NAN):
    """The logs of all epochs; from `first` on these keys are NaN, or missing."""
    rows = [logs_of(epoch) for epoch in range(EPOCHS)]
    for row in rows[first:]:
        for key in keys:
            row[key] = how
            if how is None:
                del row[key]
    return rows


def fed(detector, rows, begin=0, model=None):
    """A training of these logs that never ends; a model counts its epochs in its weights."""
    detector.set_model(model or SimpleNamespace(metrics=[], stop_training=False))
    detector.on_train_begin()
    for epoch, row in enumerate(rows[begin:], begin):
        detector.on_epoch_begin(epoch)
        detector.model.epoch = epoch
        detector.on_epoch_end(epoch, row)
    return detector


def of_loss_since(first):
    """What a detector says that has seen `loss` alone, from that epoch on."""
    told = diagnose(LOSS[first:], VAL_LOSS[first:])
    moved = {
        name: getattr(told, name) + first
        for name in ("best_epoch", "onset_epoch")
        if getattr(told, name) is not None
    }
    return replace(told, **moved)


@pytest.mark.parametrize("monitor", [None, "data_loss", "val_data_loss"])
@pytest.mark.parametrize("how", [NAN, None, np.float32("nan")], ids=["nan", "missing", "numpy"])
@pytest.mark.parametrize(
    ("first", "keys"),
    [
        (20, ("data_loss", "val_data_loss")),
        (20, ("data_loss",)),
        (20, ("val_data_loss",)),
        (1, ("data_loss", "val_data_loss")),
        (59, ("data_loss", "val_data_loss")),
    ],
)
def test_the_loss_takes_its_place_from_a_fresh_start(monitor, how, first, keys):
    detector = OverfittingDetector(monitor, verbose=0)
    match = rf"`data_loss` must be measured to be judged, got none in epoch {first}, or NaN"
    with pytest.warns(RegPlusWarning, match=match) as caught:
        fed(detector, spoiled(first, keys, how))
    assert len(caught) == 1
    assert detector.history == {
        "epoch": list(range(first, EPOCHS)),
        "train": LOSS[first:],
        "val": VAL_LOSS[first:],
    }
    assert detector.diagnosis == of_loss_since(first)
    assert list(detector.diagnoses) == ["loss"]
    assert detector.report().splitlines()[0].startswith("loss")


@pytest.mark.parametrize("monitor", ["data_loss", "val_data_loss"])
def test_a_data_loss_that_was_asked_for_and_never_comes_is_one_warning(monitor):
    with pytest.warns(RegPlusWarning, match="needs `RegularizationScheduler`") as caught:
        detector = fed(OverfittingDetector(monitor, verbose=0), spoiled(0, how=None))
    assert len(caught) == 1
    assert detector.diagnosis == of_loss_since(0)


def quiet(detector, rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RegPlusWarning)
        return fed(detector, rows)


def test_without_it_from_the_first_epoch_on_the_loss_is_watched_silently():
    detector = quiet(OverfittingDetector(verbose=0), spoiled(0, how=None))
    assert detector.diagnosis == of_loss_since(0)


def test_epochs_without_validation_are_no_reason():
    rows = spoiled(EPOCHS)
    for row in rows[::2]:
        del row["val_loss"], row["val_data_loss"]
    detector = quiet(OverfittingDetector(verbose=0), rows)
    assert detector.history["train"] == DATA
    assert detector.history["val"][1::2] == VAL_DATA[1::2]
    assert set(detector.history["val"][::2]) == {None}


@pytest.mark.parametrize("monitor", [None, "data_loss"])
def test_a_training_that_diverges_is_judged_as_ever(monitor):
    rows = spoiled(5, keys=("loss", "val_loss", "data_loss", "val_data_loss"))
    detector = quiet(OverfittingDetector(monitor, action="stop", verbose=0), rows)
    assert detector.diagnosis.verdict == "diverging"
    assert detector.model.stop_training


def test_values_before_the_first_validation_are_not_mixed_with_those_of_the_loss():
    rows = spoiled(0, keys=("val_data_loss",), how=None)
    del rows[0]["val_loss"]
    detector = quiet(OverfittingDetector(verbose=0), rows)
    assert detector.history["train"] == LOSS[1:]


class Counts:
    """A model whose weights are the number of its epoch."""

    def __init__(self):
        self.metrics, self.stop_training, self.weights, self.epoch = [], False, [], 0

    def get_weights(self):
        return [np.array(self.epoch)]

    def set_weights(self, weights):
        self.epoch = int(weights[0])


@pytest.mark.parametrize(
    ("first", "last", "val_loss", "best"),
    [
        (20, 60, VAL_LOSS, 40),  # the best of what can be compared
        (20, 30, VAL_LOSS, 29),
        (20, 30, VAL_LOSS[:20] + [9.0] * 3 + [8.0] * 7, 23),
        (20, 30, VAL_LOSS[:20] + [math.inf] * 10, 10),  # nothing better comes
    ],
)
@pytest.mark.filterwarnings("ignore::keras_regplus.RegPlusWarning")
def test_the_best_weights_are_those_of_the_values_that_can_be_compared(first, last, val_loss, best):
    rows = spoiled(first, keys=("data_loss",))[:last]
    for row, value in zip(rows, val_loss, strict=False):
        row["val_loss"] = value
    detector = OverfittingDetector(restore_best_weights=True, verbose=0)
    fed(detector, rows, model=Counts()).on_train_end()
    assert detector.model.epoch == best


class Fails:
    """A criterion that fails at some epoch."""

    def __init__(self, at):
        self.left = at

    def update(self, train, val):
        self.left -= 1
        if self.left < 0:
            raise ValueError("no more")
        return Diagnosis("healthy", score=0.25)


def test_a_killed_training_goes_on_with_the_loss_and_warns_no_more(tmp_path):
    path = tmp_path / "state.json"
    rows = spoiled(20)
    with pytest.warns(RegPlusWarning, match="in epoch 20"):
        fed(OverfittingDetector(state_file=path, verbose=0), rows[:30])
    with warnings.catch_warnings():
        warnings.simplefilter("error", RegPlusWarning)
        resumed = fed(OverfittingDetector(state_file=path, verbose=0), rows, begin=30)
    assert resumed.history["epoch"] == list(range(20, EPOCHS))
    assert resumed.diagnosis == of_loss_since(20)


def test_a_killed_training_that_can_measure_it_no_more_starts_afresh(tmp_path):
    path = tmp_path / "state.json"
    fed(OverfittingDetector(state_file=path, verbose=0), spoiled(EPOCHS)[:30])
    with pytest.warns(RegPlusWarning, match="in epoch 30") as caught:
        resumed = fed(OverfittingDetector(state_file=path, verbose=0), spoiled(30), begin=30)
    assert len(caught) == 1
    assert resumed.diagnosis == of_loss_since(30)


def test_a_sample_of_the_training_data_is_compared_with_the_loss():
    x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    y = x[:, :1]
    net = keras.Sequential([keras.layers.Dense(1, kernel_regularizer=ScheduledL2(0.1))])
    net.compile("sgd", "mse")
    detector = OverfittingDetector("data_loss", train_probe=(x, y), verbose=0)
    fit = {"validation_data": (x, y), "epochs": 3, "verbose": 0}
    with pytest.warns(RegPlusWarning, match="`data_loss` must be measured") as caught:
        history = net.fit(x, y, callbacks=[RegularizationScheduler(), detector], **fit).history
    assert sum(one.category is RegPlusWarning for one in caught) == 1
    # The sample is the validation data, so both curves are the same.
    assert detector.history["val"] == pytest.approx(history["val_loss"])
    assert detector.history["train"] == pytest.approx(history["val_loss"])


def fitted(detector, path, **fit):
    x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    net.compile("sgd", "mse", metrics=["mae"])
    callbacks = [detector, keras.callbacks.CSVLogger(str(path))]
    arguments = {"validation_data": (x, x[:, :1]), "epochs": 4, "verbose": 0} | fit
    return net.fit(x, x[:, :1], callbacks=callbacks, **arguments).history


@pytest.mark.parametrize(
    ("arguments", "fit"),
    [
        ({}, {"validation_freq": 2}),
        ({}, {"validation_freq": [3]}),
        ({}, {"validation_data": None, "validation_split": 0.5, "validation_freq": 2}),
        ({"monitor": "mae"}, {"validation_freq": 2}),
        ({"monitor": ["loss", "mae"]}, {"validation_freq": 2}),
        ({"start_from_epoch": 3}, {}),
        ({}, {}),
    ],
)
def test_a_csv_file_has_the_score_of_every_epoch(arguments, fit, tmp_path):
    path = tmp_path / "log.csv"
    history = fitted(OverfittingDetector(verbose=0, **arguments), path, **fit)
    assert history["overfitting_score"] == [0.0] * 4  # too short for any other verdict
    with path.open() as file:
        assert [float(row["overfitting_score"]) for row in csv.DictReader(file)] == [0.0] * 4


@pytest.mark.parametrize("at", [1, 2])
def test_a_score_that_ends_is_nan_to_the_end(at, tmp_path):
    detector = OverfittingDetector(criterion=Fails(at), verbose=0)
    with pytest.warns(RegPlusWarning, match="`criterion` failed"):
        history = fitted(detector, tmp_path / "log.csv")
    np.testing.assert_array_equal(
        history["overfitting_score"], [0.25] * at + [NAN] * (len(history["loss"]) - at)
    )


def test_a_loop_of_ones_own_that_validates_later_has_it_from_the_first_epoch_on():
    rows = [{"loss": LOSS[epoch]} for epoch in range(6)]
    for epoch in (1, 3, 5):
        rows[epoch]["val_loss"] = VAL_LOSS[epoch]
    detector = quiet(OverfittingDetector(verbose=0), rows)
    assert [row["overfitting_score"] for row in rows] == [0.0] * 6
    assert detector.history["epoch"] == list(range(6))


def test_a_loop_of_ones_own_that_never_validates_is_one_warning():
    rows = [{"loss": value} for value in LOSS]
    with pytest.warns(RegPlusWarning, match="Pass `validation_data`") as caught:
        detector = fed(OverfittingDetector(verbose=0), rows)
    assert len(caught) == 1
    assert detector.diagnosis.verdict == "undecided"
