"""A model whose loss tells the time: in a frozen fit it is `(2 + t) * base_penalty`.

The factor 2 + t is never 1, so full strength cannot pass for a place on the schedule.
"""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.regularizers import ScheduledL2
from keras_regplus.schedules import Linear
from keras_regplus.testing import frozen_fit

from .models import BACKEND, BASE, BATCH, X, base_penalty, compiled

NOTHING_TELLS = "Nothing tells the model"


def on_torch(reason):
    return pytest.mark.skipif(BACKEND == "torch", reason=reason)


def _way(name, marks=(), **compile_arguments):
    return pytest.param(compile_arguments, id=name, marks=marks)


SEVERAL_STEPS_REFUSED = on_torch("Keras refuses steps_per_execution > 1 on torch (ValueError)")

# The suite takes the default way, and the grid all: each costs a compilation of its own.
# One by torch takes half a minute and more, with plain Keras too.
COMPILED = [pytest.mark.slow if BACKEND == "torch" else pytest.mark.grid]

ways = pytest.mark.parametrize(
    "way",
    [
        _way("default"),
        _way("eager", [pytest.mark.grid], run_eagerly=True),
        _way("jit", COMPILED, jit_compile=True),
        _way("three steps", [pytest.mark.grid, SEVERAL_STEPS_REFUSED], steps_per_execution=3),
    ],
)


def penalty(unit="step"):
    return ScheduledL2(BASE, Linear(998, 2.0, 1000.0, unit=unit))


def network(unit="step"):
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(5, kernel_regularizer=penalty(unit)), layers.Dense(2)]
    )


def rising(unit="step", **compile_arguments):
    return compiled(network(unit), **compile_arguments)


def predicted(model, x=X):
    """As `predict`, but without a compilation of its own."""
    return ops.convert_to_numpy(model(x, training=False))


def fit(model, steps=3, callbacks=None, y=None, **arguments):
    """A frozen fit of so many steps an epoch, with the scheduler unless told otherwise."""
    callbacks = [RegularizationScheduler()] if callbacks is None else callbacks
    x = X[: BATCH * steps]
    y = predicted(model, x) if y is None else y
    return frozen_fit(model, x, y, batch_size=BATCH, callbacks=callbacks, **arguments)


def assert_at(run, model, times):
    """Each step of `run` saw the factor of its time, in the order of `times`."""
    factors = 2.0 + np.reshape(list(times), (-1, model.steps_per_execution))
    np.testing.assert_allclose(run.loss, base_penalty(model) * factors.mean(1), rtol=1e-5)


def time_of(model, x=X):
    """The time that an evaluation sees."""
    return model.evaluate(x, predicted(model, x), verbose=0) / base_penalty(model) - 2.0


def at_time(t):
    """Approximately `t`, as exact as a factor of 2 + t is within 1e-5."""
    return pytest.approx(t, abs=1e-5 * (2 + t))


def ours(caught, words=""):
    """The messages of our warnings that hold `words`."""
    messages = (str(w.message) for w in caught if w.category.__name__ == "RegPlusWarning")
    return [message for message in messages if words in message]
