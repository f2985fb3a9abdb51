"""The gain changes strengths in mid-training, without a retrace, and is not forgotten."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.clock import wiring
from keras_regplus.clock.step_context import current_context, in_symbolic_scope
from keras_regplus.regularizers import ScheduledL2
from keras_regplus.schedules import Linear

from .models import BASE, BATCH, X, base_penalty, compiled
from .rising import at_time, fit, on_torch, predicted, rising, time_of, ways

pytestmark = pytest.mark.filterwarnings("ignore:.*longer than")


class Sets(keras.callbacks.Callback):
    """Sets the gain after a batch, or at the end of an epoch where no batch is given."""

    def __init__(self, gain, epoch, batch=None):
        super().__init__()
        self.gain, self.moment = gain, (epoch, batch)

    def _set(self, moment):
        if moment == self.moment:
            wiring.attach(self.model).set_gain(self.gain)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self._set((self.epoch, batch))

    def on_epoch_end(self, epoch, logs=None):
        self._set((epoch, None))


def assert_gained(run, model, times, gains):
    factors = (2.0 + np.array(times)) * gains
    steps = factors.reshape(-1, model.steps_per_execution)
    np.testing.assert_allclose(run.loss, base_penalty(model) * steps.mean(1), rtol=1e-5)


@ways
def test_the_gain_counts_from_the_next_step_on(way):
    model = rising(**way)
    y = predicted(model)
    setting = [RegularizationScheduler(), Sets(3.0, 0, 2), Sets(0.5, 1)]
    run = fit(model, 6, epochs=3, validation_data=(X, y), callbacks=setting)
    gains = np.repeat([1, 3, 0.5], [3, 9, 6])
    assert_gained(run, model, range(18), gains)
    full = base_penalty(model)
    # The validation of the second epoch is over when its end comes.
    np.testing.assert_allclose(run.val_loss, full * np.array([24, 42, 10]), rtol=1e-5)
    key = next(key for key in run.history if key.startswith("strength/"))
    np.testing.assert_allclose(run.history[key], BASE * np.array([24, 42, 10]), rtol=1e-5)
    again = fit(model, callbacks=[])
    assert_gained(again, model, range(18, 21), 0.5)


@pytest.mark.parametrize("unit", ["step", "epoch"])
def test_the_gain_survives_save_and_load(unit, tmp_path):
    model = rising(unit)
    fit(model, callbacks=[RegularizationScheduler(), Sets(3.0, 0, 1)])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    time = 3 if unit == "step" else 1
    assert time_of(again) == time_of(model) == at_time(3 * (2 + time) - 2)
    run = fit(again)
    assert_gained(run, again, [3, 4, 5] if unit == "step" else [1, 1, 1], 3.0)
    again.save(tmp_path / "again.keras")
    assert wiring.attach(keras.models.load_model(tmp_path / "again.keras")).gain == 3.0


def test_a_gain_set_before_the_first_fit_counts():
    model = rising()
    wiring.attach(model).set_gain(2.0)
    assert_gained(fit(model), model, range(3), 2.0)


@keras.saving.register_keras_serializable("grid")
class Counting(ScheduledL2):
    """Counts how often a step that has a clock is traced."""

    calls = 0

    def __call__(self, x):
        Counting.calls += current_context() is not None and not in_symbolic_scope()
        return super().__call__(x)


class Counts(keras.callbacks.Callback):
    """How often the regularizer has been called, after each step and each epoch."""

    def __init__(self):
        super().__init__()
        Counting.calls = 0
        self.after_steps, self.after_epochs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.after_steps.append(Counting.calls)

    def on_epoch_end(self, epoch, logs=None):
        self.after_epochs.append(Counting.calls)


@on_torch("torch runs eagerly: there is nothing to trace")
@pytest.mark.parametrize(
    "way",
    [
        pytest.param({}, id="default"),
        pytest.param({"jit_compile": True}, id="jit", marks=pytest.mark.grid),
        pytest.param({"steps_per_execution": 3}, id="three steps", marks=pytest.mark.grid),
    ],
)
def test_a_whole_schedule_is_one_trace(way):
    rise = Counting(BASE, Linear(998, 2.0, 1000.0))
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, kernel_regularizer=rise)])
    compiled(model, **way)
    y, counts = predicted(model), Counts()

    def trained(gain, **arguments):
        setting = [RegularizationScheduler(), Sets(gain, 0, 2), Sets(gain + 1, 1), counts]
        fit(model, 6, epochs=3, validation_data=(X, y), callbacks=setting, **arguments)

    trained(2.0)
    model.evaluate(X, y, batch_size=BATCH, verbose=0)
    trained(3.0)
    model.optimizer.iterations.assign(900)
    trained(0.5)
    # One trace of the training step, and one of the evaluation at the end of the first epoch.
    assert counts.after_steps[0] == 1
    assert set(counts.after_epochs) == {2}
