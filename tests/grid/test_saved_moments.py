"""Models that were saved, copied or restored in or after a training are exact from there on."""

import copy
import pickle
import warnings

import keras
import numpy as np
import pytest

from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import RegularizationScheduler

from .models import base_penalty, compiled
from .rising import assert_at, at_time, fit, network, ours, rising, time_of, ways

pytestmark = pytest.mark.filterwarnings("ignore:.*longer than")

UNITS = pytest.mark.parametrize("unit, passed", [("step", 6), ("epoch", 2)])


def trained(unit="step", **compile_arguments):
    """After 2 epochs of 3 steps."""
    model = rising(unit, **compile_arguments)
    fit(model, epochs=2)
    return model


def next_times(unit, passed):
    return range(passed, passed + 3) if unit == "step" else [passed] * 3


def reloaded(model, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


def unpickled(model, folder):
    return pickle.loads(pickle.dumps(model))


def copied(model, folder):
    return copy.deepcopy(model)


COPIES = pytest.mark.parametrize(
    "another", [reloaded, copied, pytest.param(unpickled, marks=pytest.mark.grid)]
)


@ways
@UNITS
@COPIES
def test_a_saved_or_copied_model_evaluates_the_same_and_goes_on(
    way, unit, passed, another, tmp_path
):
    model = trained(unit, **way)
    before = time_of(model)
    again = another(model, tmp_path)
    assert time_of(again) == before == at_time(passed)
    assert_at(fit(again), again, next_times(unit, passed))
    # The one it was taken from stays where it was, and they go on apart.
    assert time_of(model) == at_time(passed)
    assert_at(fit(model), model, next_times(unit, passed))


@COPIES
def test_a_copy_that_is_trained_without_the_callback_stays_where_it_was_and_warns(
    another, tmp_path
):
    model = another(trained(), tmp_path)
    with pytest.warns(RegPlusWarning, match="saved at") as caught:
        run = fit(model, callbacks=[])
    assert len(ours(caught, "saved at")) == 1
    assert_at(run, model, [6, 6, 6])
    # The optimizer has counted those steps.
    assert_at(fit(model), model, range(9, 12))


class InTraining(keras.callbacks.Callback):
    """Takes a copy after the second step of the second epoch and after that epoch."""

    def __init__(self, another, folder):
        super().__init__()
        self.another, self.folder = another, folder
        self.found = {}

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 1):
            self.found["batch"] = self.another(self.model, self.folder)

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            self.found["epoch"] = self.another(self.model, self.folder)


@pytest.mark.grid
@pytest.mark.parametrize("unit, times", [("step", (5, 6)), ("epoch", (1, 2))])
@COPIES
def test_a_copy_from_the_middle_of_a_training_is_of_that_moment(unit, times, another, tmp_path):
    model, taking = rising(unit), InTraining(another, tmp_path)
    run = fit(model, epochs=3, callbacks=[RegularizationScheduler(), taking])
    assert_at(run, model, range(9) if unit == "step" else np.repeat(range(3), 3))
    for again, time in zip(taking.found.values(), times, strict=True):
        assert time_of(again) == at_time(time)
        assert_at(fit(again), again, next_times(unit, time))


@ways
def test_weight_files_carry_the_step_with_the_optimizer(way, tmp_path):
    model = trained(**way)
    model.save_weights(tmp_path / "w.weights.h5")
    fresh = rising(**way)
    fresh.load_weights(tmp_path / "w.weights.h5")
    assert_at(fit(fresh), fresh, range(6, 9))
    # Into a model that has a clock already.
    model.load_weights(tmp_path / "w.weights.h5")
    assert time_of(model) == at_time(6)
    fit(model)
    model.load_weights(tmp_path / "w.weights.h5")
    assert_at(fit(model, callbacks=[]), model, range(6, 9))


@pytest.mark.parametrize("built, begin", [(True, 6), (False, 0)])
def test_weight_files_go_on_where_keras_restored_the_optimizer(built, begin, tmp_path):
    model, fresh = (compiled(network(), keras.optimizers.Adam(0.0)) for _ in range(2))
    fit(model, epochs=2)
    model.save_weights(tmp_path / "w.weights.h5")
    if built:
        fresh.optimizer.build(fresh.trainable_variables)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, message="Skipping variable")
        fresh.load_weights(tmp_path / "w.weights.h5")
    assert_at(fit(fresh), fresh, range(begin, begin + 3))


@ways
def test_weight_files_without_an_optimizer_begin_anew(way, tmp_path):
    uncompiled = network()
    uncompiled.save_weights(tmp_path / "w.weights.h5")
    fresh = rising(**way)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, message=".*optimizer")
        fresh.load_weights(tmp_path / "w.weights.h5")
    assert_at(fit(fresh), fresh, range(3))


def test_an_h5_model_file_carries_the_moment(tmp_path):
    # Keras 3.15 cannot fit a Sequential that it has loaded from such a file.
    inputs = keras.Input((4,))
    model = compiled(keras.Model(inputs, network()(inputs)))
    fit(model, epochs=2)
    model.save(tmp_path / "model.h5")
    again = keras.models.load_model(tmp_path / "model.h5")
    assert time_of(again) == at_time(6)


@ways
@UNITS
def test_a_clone_is_independent_once_it_has_a_clock(way, unit, passed):
    model = trained(unit, **way)
    clone = compiled(keras.models.clone_model(model), **way)
    assert time_of(clone) == at_time(passed)
    assert_at(fit(clone), clone, next_times(unit, 0))
    assert_at(fit(model), model, next_times(unit, passed))
    assert time_of(clone) == at_time(3 if unit == "step" else 1)


def test_clearing_the_session_changes_nothing():
    model = trained()
    keras.backend.clear_session()
    assert_at(fit(model), model, range(6, 9))
    assert_at(fit(model, callbacks=[]), model, range(9, 12))


@pytest.mark.parametrize(
    "copied_alone",
    [copy.deepcopy, lambda part: pickle.loads(pickle.dumps(part))],
    ids=["deepcopy", "pickle"],
)
def test_a_regularizer_copied_alone_keeps_the_place_where_it_was_copied(copied_alone):
    model = trained()
    weight = model.layers[0].kernel
    alone = copied_alone(weight.regularizer)
    fit(model)
    assert float(alone(weight)) == pytest.approx(8 * base_penalty(model), rel=1e-5)
    assert float(weight.regularizer(weight)) == pytest.approx(11 * base_penalty(model), rel=1e-5)
