"""Whatever is done to a model in a hook of its training works, and the training stays exact."""

import copy
import pickle

import keras
import numpy as np
import pytest
from keras import layers

from keras_regplus.callbacks import RegularizationScheduler

from .models import BACKEND, BASE, X, base_penalty, compiled
from .rising import assert_at, at_time, fit, on_torch, penalty, predicted, rising, time_of

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*longer than",
    # Keras says so of every input layer.
    "ignore:Layer InputLayer does not have a `quantize` method",
)


class Meddler(keras.callbacks.Callback):
    """Does the same in every hook, in the second of two epochs, and keeps what it gives."""

    def __init__(self, action, folder):
        super().__init__()
        self.action, self.folder = action, folder
        self.given = {}

    def _meddle(self, hook):
        if self.epoch == 1 and hook not in self.given:
            path = self.folder / hook
            path.mkdir()
            self.given[hook] = self.action(self.model, path)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self._meddle("epoch begin")

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 1:
            self._meddle("batch begin")

    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            self._meddle("batch end")

    def on_test_begin(self, logs=None):
        self._meddle("test begin")

    def on_test_batch_end(self, batch, logs=None):
        self._meddle("test batch end")

    def on_epoch_end(self, epoch, logs=None):
        self._meddle("epoch end")

    def on_train_end(self, logs=None):
        self._meddle("train end")


# Three steps an epoch, so the second one begins at step 3.
MOMENTS = {
    "step": dict(zip(("epoch begin", "batch begin", "batch end"), (3, 4, 5), strict=True)),
    "epoch": dict.fromkeys(("epoch begin", "batch begin", "batch end"), 1),
}
AFTERWARDS = ("test begin", "test batch end", "epoch end", "train end")
MOMENTS["step"] |= dict.fromkeys(AFTERWARDS, 6)
MOMENTS["epoch"] |= dict.fromkeys(AFTERWARDS, 2)


def saved(model, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


def unpickled(model, folder):
    return pickle.loads(pickle.dumps(model))


def deep_copied(model, folder):
    return copy.deepcopy(model)


def from_json(model, folder):
    return compiled(keras.models.model_from_json(model.to_json()))


def cloned(model, folder):
    return compiled(keras.models.clone_model(model))


def quantized(model, folder):
    copied = copy.deepcopy(model)
    copied.quantize("int8")


def summarised(model, folder):
    model.summary(print_fn=lambda line, **_: None)


def weights_saved(model, folder):
    model.save_weights(folder / "w.weights.h5")
    other = rising()
    other.load_weights(folder / "w.weights.h5")


def exported(model, folder):
    model.export(folder / "exported", verbose=False)


def session_cleared(model, folder):
    keras.utils.clear_session()


IN_GRID = [unpickled, deep_copied, from_json, cloned]
COPY = [saved, *(pytest.param(action, marks=pytest.mark.grid) for action in IN_GRID)]
OTHER = [quantized, summarised, weights_saved, session_cleared]


def trained_with(action, folder, unit="step"):
    model, meddler = rising(unit), Meddler(action, folder)
    y = predicted(model)
    run = fit(
        model,
        epochs=2,
        validation_data=(X, y),
        callbacks=[RegularizationScheduler(), meddler],
    )
    times, validated = (range(6), [3, 6]) if unit == "step" else ([0, 0, 0, 1, 1, 1], [1, 2])
    assert_at(run, model, times)
    np.testing.assert_allclose(
        run.val_loss, base_penalty(model) * (2.0 + np.array(validated)), rtol=1e-5
    )
    assert list(meddler.given) == list(MOMENTS[unit])
    return model, meddler.given


@pytest.mark.parametrize("unit", MOMENTS)
@pytest.mark.parametrize("action", COPY)
def test_copies_are_of_their_moment_and_disturb_nothing(action, unit, tmp_path):
    model, copies = trained_with(action, tmp_path, unit)
    assert {hook: time_of(other) for hook, other in copies.items()} == {
        hook: at_time(time) for hook, time in MOMENTS[unit].items()
    }
    run = fit(model)
    assert_at(run, model, range(6, 9) if unit == "step" else [2, 2, 2])
    assert "penalty" in run.history


@pytest.mark.grid
@pytest.mark.parametrize("action", OTHER)
def test_what_gives_no_copy_disturbs_nothing(action, tmp_path):
    model, _ = trained_with(action, tmp_path)
    assert_at(fit(model), model, range(6, 9))


@pytest.mark.grid
@on_torch("plain Keras cannot export with this torch; the next test shows it")
def test_an_export_disturbs_nothing(tmp_path):
    model, _ = trained_with(exported, tmp_path)
    assert_at(fit(model), model, range(6, 9))
    assert list((tmp_path / "train end" / "exported").iterdir())


@pytest.mark.grid
def test_an_export_works_or_fails_as_that_of_plain_keras(tmp_path):
    def outcome(model, name):
        try:
            exported(model, tmp_path / name)
        except Exception as error:
            return type(error).__name__
        return "exported"

    model = rising()
    fit(model)
    twin = keras.Sequential([keras.Input((4,)), layers.Dense(5), layers.Dense(2)])
    assert outcome(model, "ours") == outcome(twin, "plain")
    if BACKEND != "torch":
        assert outcome(model, "again") == "exported"
    assert_at(fit(model, callbacks=[]), model, range(3, 6))


def quantizable(kernel, bias):
    """Biases stay trainable in a quantized model."""
    dense = layers.Dense(
        5, kernel_regularizer=kernel, bias_regularizer=bias, bias_initializer="ones"
    )
    return keras.Sequential([keras.Input((4,)), dense, layers.Dense(2)])


def test_a_quantized_model_trains_exactly_on():
    model = compiled(quantizable(penalty(), penalty()))
    fit(model)
    model.quantize("int8")
    assert base_penalty(model) == pytest.approx(5 * BASE)
    recompiled_where_needed(model)
    begin = int(model.optimizer.iterations)
    assert_at(fit(model, epochs=2), model, range(begin, begin + 6))
    assert time_of(model) == at_time(begin + 6)
    assert_at(fit(model, callbacks=[]), model, range(begin + 6, begin + 9))


def recompiled_where_needed(model):
    """On JAX plain Keras refuses the optimizer of before: its list of variables has changed."""
    if BACKEND == "jax":
        compiled(model)


@pytest.mark.grid
def test_a_quantized_model_of_plain_keras_needs_a_new_optimizer_on_jax():
    l2 = keras.regularizers.L2(BASE)
    again, anew = (compiled(quantizable(l2, l2)) for _ in range(2))
    for model in (again, anew):
        fit(model, callbacks=[])
        model.quantize("int8")
    if BACKEND == "jax":
        with pytest.raises(ValueError, match="optimizer_variables"):
            fit(again, callbacks=[])
    recompiled_where_needed(anew)
    np.testing.assert_allclose(fit(anew, callbacks=[]).loss, 5 * BASE, rtol=1e-5)
