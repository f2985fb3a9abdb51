"""A training that is restored after a crash follows the schedule from where it was saved."""

import keras
import numpy as np
import pytest

from keras_regplus.callbacks import RegularizationScheduler

from .models import X, base_penalty
from .rising import assert_at, at_time, fit, predicted, rising, time_of, ways
from .test_gain import Sets, assert_gained

pytestmark = pytest.mark.filterwarnings("ignore:.*longer than")

BOTH_ORDERS = pytest.mark.parametrize(
    "order",
    [
        pytest.param((0, 1), id="ours first", marks=pytest.mark.grid),
        pytest.param((1, 0), id="ours last"),
    ],
)


class Crashes(keras.callbacks.Callback):
    """Raises after the first step, or group of steps, of epoch 2."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 2:
            raise RuntimeError("crash")


def watchers(folder, order, *others, **arguments):
    backup = keras.callbacks.BackupAndRestore(folder / "backup", **arguments)
    pair = (RegularizationScheduler(), backup)
    return [*(pair[place] for place in order), *others]


def crashed(folder, order, unit, *others, compile_arguments, **arguments):
    """A fresh model with the weights of one whose training has crashed."""
    model = rising(unit, **compile_arguments)
    with pytest.raises(RuntimeError, match="crash"):
        callbacks = watchers(folder, order, Crashes(), *others, **arguments)
        fit(model, epochs=5, callbacks=callbacks)
    anew = rising(unit, **compile_arguments)
    anew.set_weights(model.get_weights())
    return anew


@ways
@BOTH_ORDERS
@pytest.mark.parametrize("unit", ["step", "epoch"])
def test_the_same_fit_anew_goes_on_from_the_backup(way, order, unit, tmp_path):
    model = crashed(tmp_path, order, unit, compile_arguments=way)
    y = predicted(model)
    callbacks = watchers(tmp_path, order)
    run = fit(model, epochs=5, validation_data=(X, y), callbacks=callbacks)
    assert_at(run, model, range(6, 15) if unit == "step" else np.repeat([2, 3, 4], 3))
    validated = [9, 12, 15] if unit == "step" else [3, 4, 5]
    np.testing.assert_allclose(
        run.val_loss, base_penalty(model) * (2.0 + np.array(validated)), rtol=1e-5
    )
    assert time_of(model) == at_time(validated[-1])


@BOTH_ORDERS
def test_a_backup_from_the_middle_of_an_epoch_goes_on_at_its_step(order, tmp_path):
    model = crashed(tmp_path, order, "step", compile_arguments={}, save_freq=1)
    run = fit(model, epochs=5, callbacks=watchers(tmp_path, order, save_freq=1))
    # Saved after the first step of epoch 2, which Keras then begins anew.
    assert_at(run, model, range(7, 16))


@pytest.mark.grid
@BOTH_ORDERS
@pytest.mark.parametrize("unit", ["step", "epoch"])
def test_the_same_model_goes_on_from_the_backup(order, unit, tmp_path):
    model = rising(unit)
    with pytest.raises(RuntimeError, match="crash"):
        fit(model, epochs=5, callbacks=watchers(tmp_path, order, Crashes()))
    run = fit(model, epochs=5, callbacks=watchers(tmp_path, order))
    assert_at(run, model, range(6, 15) if unit == "step" else np.repeat([2, 3, 4], 3))


@BOTH_ORDERS
def test_the_gain_survives_backup_and_restore(order, tmp_path):
    model = crashed(tmp_path, order, "step", Sets(3.0, 0, 1), compile_arguments={})
    run = fit(model, epochs=5, callbacks=watchers(tmp_path, order))
    assert_gained(run, model, range(6, 15), 3.0)
