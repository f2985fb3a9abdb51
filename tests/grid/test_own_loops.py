"""Loops of a user's own: what `at` freezes, and where their epochs are counted."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
from keras import ops

import keras_regplus as kr
from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.clock import step_context
from keras_regplus.regularizers import ScheduledL2

from .models import BACKEND, BASE, BATCH, STEPS, X, base_penalty
from .rising import assert_at, at_time, fit, ours, penalty, predicted, rising, time_of

pytestmark = pytest.mark.filterwarnings("ignore:.*longer than")

KEEPS = r"compiled inside `at\((step|epoch)=5\)`, which keeps the number 5"
compiles = pytest.mark.skipif(BACKEND == "torch", reason="torch compiles nothing by itself")
W = np.ones(3, "float32")
L2 = 3 * BASE


@pytest.fixture(autouse=True)
def _nothing_was_said(monkeypatch):
    """As in a new process: the warning comes once in each."""
    monkeypatch.setattr(step_context, "_at_warnings", type(step_context._at_warnings)("at"))


@pytest.fixture
def silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RegPlusWarning)
        warnings.filterwarnings("ignore", ".*longer than")
        yield


def compiled(function):
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    return function


def part(name, unit):
    """A function whose value is `L2 * (2 + t)`, of a penalty or of a user's own maths."""
    if name == "now":
        schedule = penalty(unit).schedule
        return lambda: L2 * kr.now(schedule)
    scheduled = penalty(unit)
    return lambda: scheduled(ops.convert_to_tensor(W))


PARTS = pytest.mark.parametrize("name", ["penalty", "now"])
UNITS = pytest.mark.parametrize("unit", ["step", "epoch"])


@compiles
@PARTS
@UNITS
def test_a_number_around_a_compiled_function_is_frozen_with_one_warning(name, unit):
    value = part(name, unit)
    step = compiled(lambda x: x + value())
    found = []
    with pytest.warns(RegPlusWarning, match=KEEPS) as caught:
        for t in (5, 6, 7):
            with kr.at(**{unit: t}):
                found.append(float(step(ops.zeros(()))))
    assert len(ours(caught)) == 1
    np.testing.assert_allclose(found, L2 * 7.0, rtol=1e-6)


@PARTS
@UNITS
def test_entered_inside_it_follows_its_argument(name, unit, silent):
    value = part(name, unit)

    @compiled
    def step(t):
        with kr.at(**{unit: t}):
            return value()

    found = [float(step(ops.convert_to_tensor(t, dtype="int32"))) for t in (5, 6, 7)]
    np.testing.assert_allclose(found, L2 * np.array([7.0, 8.0, 9.0]), rtol=1e-6)


@pytest.mark.skipif(BACKEND == "jax", reason="a function on JAX keeps variables, too")
@PARTS
@UNITS
def test_a_variable_around_a_compiled_function_is_live(name, unit, silent):
    value, t = part(name, unit), keras.Variable(5, dtype="int32", trainable=False)
    step = compiled(lambda x: x + value())
    found = []
    for _ in range(3):
        with kr.at(**{unit: t}):
            found.append(float(step(ops.zeros(()))))
        t.assign_add(1)
    np.testing.assert_allclose(found, L2 * np.array([7.0, 8.0, 9.0]), rtol=1e-6)


@PARTS
@UNITS
def test_numbers_are_live_eagerly(name, unit, silent):
    value = part(name, unit)
    found = []
    for t in (5, 6, 7):
        with kr.at(**{unit: t}):
            found.append(float(value()))
    np.testing.assert_allclose(found, L2 * np.array([7.0, 8.0, 9.0]), rtol=1e-6)


@PARTS
@UNITS
def test_numbers_of_a_loop_that_is_unrolled_are_meant(name, unit, silent):
    value = part(name, unit)

    @compiled
    def steps(x):
        for t in range(5, 8):
            with kr.at(**{unit: t}):
                x = x + value()
        return x

    assert float(steps(ops.zeros(()))) == pytest.approx(L2 * (7.0 + 8.0 + 9.0))


# `train_on_batch`, on a model that the callback has seen.


def seen(model):
    RegularizationScheduler().set_model(model)
    return model


def time_seen(model, y, i=0):
    """Train on a batch: the time that it saw."""
    batch = slice(i * BATCH, (i + 1) * BATCH)
    model.reset_metrics()
    return float(model.train_on_batch(X[batch], y[batch])) / base_penalty(model) - 2.0


def trained(model, epochs, y):
    return [time_seen(model, y, i) for _ in range(epochs) for i in range(STEPS)]


def test_at_moves_the_epoch_of_a_model(silent):
    model = seen(rising("epoch"))
    y = predicted(model)
    for epoch in (0, 1, 7):
        with kr.at(epoch=epoch):
            assert time_seen(model, y) == at_time(epoch)
        assert time_of(model) == at_time(epoch)
    # What was told last holds on.
    assert time_seen(model, y) == at_time(7)
    assert_at(fit(model), model, [7] * 3)


def test_epochs_that_nobody_tells_stand_still_with_one_warning():
    model = seen(rising("epoch"))
    y = predicted(model)
    with pytest.warns(RegPlusWarning, match="nothing says where the epochs.*at.epoch") as caught:
        times = trained(model, 2, y)
    assert len(ours(caught)) == 1
    np.testing.assert_allclose(times, 0.0, atol=1e-3)


def test_steps_need_nobody(silent):
    model = seen(rising())
    times = trained(model, 2, predicted(model))
    np.testing.assert_allclose(times, range(2 * STEPS), atol=1e-3)


def test_a_list_of_callbacks_counts_epochs(silent):
    model = rising("epoch")
    y = predicted(model)
    callbacks = keras.callbacks.CallbackList([RegularizationScheduler()], model=model, epochs=3)
    callbacks.on_train_begin()
    for epoch in range(3):
        callbacks.on_epoch_begin(epoch)
        np.testing.assert_allclose(trained(model, 1, y), epoch, atol=1e-4)
        callbacks.on_epoch_end(epoch, {})
        assert time_of(model) == at_time(epoch + 1)
    callbacks.on_train_end()


@pytest.mark.parametrize("step", [7, 0])
def test_a_step_told_to_a_model_that_counts_its_own_is_said_once(step):
    model = seen(rising())
    y = predicted(model)
    trained(model, 1, y)
    with pytest.warns(RegPlusWarning, match="has no effect.*Take `step` out") as caught:
        for _ in range(2):
            with kr.at(step=step):
                model.train_on_batch(X[:BATCH], y[:BATCH])
    assert len(ours(caught)) == 1
    assert time_of(model) == at_time(STEPS + 2)


def test_the_right_step_is_no_reason_to_warn(silent):
    model = seen(rising())
    y = predicted(model)
    for step in range(3):
        with kr.at(step=step):
            model.train_on_batch(X[:BATCH], y[:BATCH])
    assert time_of(model) == at_time(3)


def test_a_part_without_a_schedule_needs_nobody(silent):
    value = ScheduledL2(BASE)
    step = compiled(lambda x: x + value(ops.convert_to_tensor(W)))
    with kr.at(step=5):
        assert float(step(ops.zeros(()))) == pytest.approx(L2)
