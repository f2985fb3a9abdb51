"""The gain in a weights file: kept, and where it is damaged one warning and no harm."""

from __future__ import annotations

import contextlib

import h5py
import keras
import numpy as np
import pytest

from keras_regplus import RegPlusWarning, regularizers
from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.clock import wiring
from keras_regplus.clock.variables import temporary_variable
from keras_regplus.schedules import LinearWarmup

ATTRIBUTE = "keras_regplus_gain"
X, Y = np.ones((8, 3), "float32"), np.ones((8, 2), "float32")


def model_with_gain(gain):
    dense = keras.layers.Dense(2, kernel_regularizer=regularizers.ScheduledL2(0.1))
    model = keras.Sequential([keras.Input((3,)), dense])
    model.compile("sgd", "mse")
    wiring.attach(model).set_gain(gain)
    return model


@pytest.fixture
def weights(tmp_path):
    """A weights file with the gain 2."""
    path = tmp_path / "model.weights.h5"
    model_with_gain(2.0).save_weights(path)
    return path


def ours(caught):
    return sum(warning.category is RegPlusWarning for warning in caught)


def gain_after_loading(path):
    model = model_with_gain(0.5)
    model.load_weights(path)
    return wiring.attach(model).gain


def kernel_in(file):
    """The kernel, wherever Keras puts it in the file."""
    found = []
    file.visititems(lambda _, item: found.append(item) if getattr(item, "ndim", 0) == 2 else None)
    return found[0][()]


def test_the_gain_is_that_of_the_file(weights):
    assert gain_after_loading(weights) == 2.0


def large_model_with_gain(gain):
    """A model whose weights do not fit into one shard of `SHARD` gigabytes."""
    l2 = regularizers.ScheduledL2(0.1)
    dense = [keras.layers.Dense(20, kernel_regularizer=l2) for _ in range(3)]
    model = keras.Sequential([keras.Input((20,)), *dense])
    model.compile("sgd", "mse")
    wiring.attach(model).set_gain(gain)
    return model


SHARD = 2e-6


@pytest.mark.parametrize("ending", ["json", "h5"])
@pytest.mark.filterwarnings("ignore:.*sharded weights requires")
def test_the_gain_is_that_of_sharded_weights(tmp_path, ending):
    # An older file, and one of another model.
    large_model_with_gain(5.0).save_weights(tmp_path / "model.weights.h5")
    large_model_with_gain(6.0).save_weights(tmp_path / "other.weights.h5")
    source = large_model_with_gain(2.0)
    source.save_weights(tmp_path / f"model.weights.{ending}", max_shard_size=SHARD)
    assert len(list(tmp_path.glob("model_*.weights.h5"))) > 1
    model = large_model_with_gain(0.5)
    model.load_weights(tmp_path / "model.weights.json")
    assert wiring.attach(model).gain == 2.0
    np.testing.assert_array_equal(model.get_weights()[2], source.get_weights()[2])
    model.load_weights(tmp_path / "model.weights.h5")
    assert wiring.attach(model).gain == 5.0


def test_plain_keras_reads_sharded_weights_with_a_note(tmp_path):
    path, source = tmp_path / "model.weights.json", large_model_with_gain(2.0)
    source.save_weights(path, max_shard_size=SHARD)
    model = keras.Sequential([keras.Input((20,)), *(keras.layers.Dense(20) for _ in range(3))])
    model.load_weights(path)
    for loaded, saved in zip(model.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(loaded, saved)


def test_sharded_weights_without_a_gain_change_none(tmp_path):
    path = tmp_path / "model.weights.json"
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    plain.save_weights(path, max_shard_size=SHARD)
    model = model_with_gain(0.5)
    model.load_weights(path)
    assert wiring.attach(model).gain == 0.5


def test_the_gain_is_that_of_a_whole_model(tmp_path):
    model_with_gain(2.0).save(tmp_path / "model.keras")
    assert gain_after_loading(tmp_path / "model.keras") == 2.0


def test_a_plain_model_has_no_gain(tmp_path):
    dense = keras.layers.Dense(2, name="position")
    plain = keras.Sequential([keras.Input((3,)), dense])
    plain.compile("sgd", "mse")
    plain.save(tmp_path / "model.keras")
    assert gain_after_loading(tmp_path / "model.keras") == 0.5


def test_a_file_without_a_gain_changes_none(weights):
    with h5py.File(weights, "a") as file:
        del file.attrs[ATTRIBUTE]
    assert gain_after_loading(weights) == 0.5


@pytest.mark.parametrize(
    "damaged",
    ["two", b"two", np.nan, np.inf, -1.0, np.ones(3), np.ones((0,)), 1 + 2j],
    ids=repr,
)
def test_a_damaged_gain_is_one_warning_and_the_weights_are_loaded(weights, damaged):
    with h5py.File(weights, "a") as file:
        file.attrs[ATTRIBUTE] = damaged
    model = model_with_gain(0.5)
    with pytest.warns(RegPlusWarning, match="gain noted in the weights file .* stays 0.5") as seen:
        model.load_weights(weights)
    assert ours(seen) == 1
    assert wiring.attach(model).gain == 0.5
    with h5py.File(weights) as file:
        np.testing.assert_array_equal(model.get_weights()[0], kernel_in(file))


def test_a_gain_that_cannot_be_noted_is_one_warning(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keras_regplus.clock.clock.note_gain", full)
    path = tmp_path / "model.weights.h5"
    with pytest.warns(RegPlusWarning, match="gain 2 could not be noted .*No space left") as seen:
        model_with_gain(2.0).save_weights(path)
    assert (ours(seen), path.exists()) == (1, True)


def test_a_gain_of_1_that_nobody_set_is_not_noted(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    wiring.attach(model)
    model.save_weights(tmp_path / "model.weights.h5")
    with h5py.File(tmp_path / "model.weights.h5") as file:
        assert ATTRIBUTE not in file.attrs


def new_model():
    """As the function of a search builds it, from scratch."""
    l2 = regularizers.ScheduledL2(0.1, LinearWarmup(8))
    dense = keras.layers.Dense(2, kernel_regularizer=l2)
    model = keras.Sequential([keras.Input((3,)), dense])
    model.compile("adam", "mse")
    return model


@pytest.fixture
def trained(tmp_path):
    """Weights after 4 updates, with the gain 2."""
    model, path = new_model(), tmp_path / "trial" / "checkpoint.weights.h5"
    scheduler = RegularizationScheduler()
    model.fit(X, Y, batch_size=2, verbose=0, callbacks=[scheduler])
    wiring.attach(model).set_gain(2.0)
    path.parent.mkdir()
    model.save_weights(path)
    return path


def strength_after_two_more_updates(model):
    history = model.fit(
        X[:4],
        Y[:4],
        batch_size=2,
        initial_epoch=1,
        epochs=2,
        verbose=0,
        callbacks=[RegularizationScheduler()],
    )
    (strength,) = (v for k, v in history.history.items() if k.startswith("strength/"))
    return strength[0] / 0.1


@pytest.mark.filterwarnings("ignore:.*longer than")
@pytest.mark.parametrize("knows_clock", [False, True], ids=["new", "after set_model"])
@pytest.mark.parametrize("is_built", [False, True], ids=["unbuilt", "built"])
def test_what_weights_bring_to_a_new_model_is_what_the_page_says(trained, is_built, knows_clock):
    model = new_model()
    if is_built:
        model.optimizer.build(model.trainable_variables)
    if knows_clock:
        RegularizationScheduler().set_model(model)
    with contextlib.nullcontext() if is_built else pytest.warns(UserWarning, match="Skipping"):
        model.load_weights(trained)
    updates, gain = (4 if is_built else 0) + 2, 2.0 if knows_clock else 1.0
    assert strength_after_two_more_updates(model) == pytest.approx(gain * updates / 8, rel=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="only JAX keeps such state in a list")
def test_a_temporary_variable_removes_itself_and_no_other():
    model = model_with_gain(1.0)
    before = list(model._seed_generators)
    with temporary_variable(model, "first", 0.0, "float32"):
        lasting = keras.random.SeedGenerator(1)
        model._seed_generators.append(lasting)
    assert [id(g) for g in model._seed_generators] == [id(g) for g in [*before, lasting]]
