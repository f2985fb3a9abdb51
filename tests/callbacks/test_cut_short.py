"""A schedule that is longer than the training it is used in gives one warning."""

from __future__ import annotations

import re
import warnings

import keras
import numpy as np
import pytest

from keras_regplus import RegPlusWarning, _warnings
from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.layers import ScheduledDropout
from keras_regplus.regularizers import ScheduledL2
from keras_regplus.schedules import Cyclic, Join, Linear, LinearWarmup

X, Y = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")


@pytest.fixture(autouse=True)
def _nothing_told_yet(monkeypatch):
    # All trainings of this file begin at one line.
    monkeypatch.setattr(_warnings, "_warned_of", set())


def model_with(*schedules, optimizer=None, unbuilt=False):
    dense = [
        keras.layers.Dense(1, kernel_regularizer=ScheduledL2(0.1, schedule), name=f"dense_{i}")
        for i, schedule in enumerate(schedules)
    ]
    model = keras.Sequential(dense if unbuilt else [keras.Input((2,)), *dense], name="net")
    model.compile(optimizer or keras.optimizers.SGD(0.01), "mse")
    return model


def fit(model, epochs=1, *, data=(X, Y), scheduler=None, **kwargs):
    """What is told in a `fit`, of four batches an epoch unless `kwargs` say otherwise."""
    scheduler = scheduler or RegularizationScheduler()
    if "steps_per_epoch" not in kwargs:
        kwargs["batch_size"] = kwargs.get("batch_size", 2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RegPlusWarning)
        model.fit(*data, epochs=epochs, verbose=0, callbacks=[scheduler], **kwargs)
    return [str(w.message) for w in caught if issubclass(w.category, RegPlusWarning)]


def numbers(messages):
    """Where the schedule ends, and where the training does."""
    (message,) = messages
    assert "longer than" in message
    return tuple(map(int, re.findall(r"at (?:step|epoch) (\d+)", message)))


def test_the_warning_has_both_numbers_and_what_to_do():
    (message,) = fit(model_with(LinearWarmup(10)), epochs=2)
    assert message == (
        "RegularizationScheduler: the schedule LinearWarmup(duration=10, unit='step') of "
        "net/dense_0/kernel ends at step 10, and this training at step 8, so it is longer "
        "than the training: its factor only gets to 0.8. Shorten the schedule, train for longer, "
        "or go on with another `fit`."
    )


@pytest.mark.parametrize(
    "schedule",
    [LinearWarmup(8), Linear(4), LinearWarmup(2, "epoch"), Cyclic(100), None, lambda step: 1.0],
    ids=["to the last step", "half", "epochs", "endless", "none", "function"],
)
def test_a_training_that_is_long_enough_is_no_news(schedule):
    assert fit(model_with(schedule), epochs=2) == []


@pytest.mark.parametrize(
    "how, ends",
    [
        ({}, (9, 8)),
        ({"batch_size": 3}, (9, 6)),
        ({"steps_per_epoch": 3}, (9, 6)),
        ({"initial_epoch": 1}, (9, 4)),
        ({"validation_data": (X, Y)}, (9, 8)),
    ],
    ids=["plain", "uneven", "steps_per_epoch", "initial_epoch", "validation"],
)
def test_the_end_of_the_training_is_known_before_its_first_step(how, ends):
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(scheduler._warned_cut_short)

    scheduler = RegularizationScheduler()
    model = model_with(LinearWarmup(9))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RegPlusWarning)
        model.fit(
            X, Y, epochs=2, verbose=0, callbacks=[Watch(), scheduler], **{"batch_size": 2, **how}
        )
    messages = [str(w.message) for w in caught if w.category is RegPlusWarning]
    assert numbers(messages) == ends
    assert seen[0] is True


def test_epochs_are_counted_as_the_schedule_counts_them():
    model = model_with(LinearWarmup(4, "epoch"))
    assert numbers(fit(model, epochs=3)) == (4, 3)
    assert fit(model, epochs=1) == []


def test_a_generator_tells_its_length_after_the_first_epoch():
    def batches():
        while True:
            yield X[:2], Y[:2]

    def eight():
        for _ in range(8):
            yield X[:2], Y[:2]

    endless = fit(model_with(LinearWarmup(9)), 2, data=(batches(),), steps_per_epoch=4)
    assert numbers(endless) == (9, 8)
    # Keras cannot know how far this goes; one epoch takes it all.
    model = model_with(LinearWarmup(100))
    told = fit(model, data=(eight(),), batch_size=None)
    assert numbers(told) == (100, int(model.optimizer.iterations))
    assert fit(model_with(LinearWarmup(4)), data=(eight(),), batch_size=None) == []


def test_a_model_that_is_built_by_its_first_step_is_seen_too():
    assert numbers(fit(model_with(LinearWarmup(9), unbuilt=True), epochs=2)) == (9, 8)


def multi(inner):
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")
    return keras.optimizers.MultiOptimizer(lambda weight: inner)


@pytest.mark.parametrize(
    "around",
    [lambda inner: inner, keras.optimizers.LossScaleOptimizer, multi],
    ids=["plain", "loss scale", "multi"],
)
def test_a_step_is_an_update_of_the_optimizer(around):
    def optimizer():
        return around(keras.optimizers.SGD(0.01, gradient_accumulation_steps=2))

    assert numbers(fit(model_with(LinearWarmup(5), optimizer=optimizer()), epochs=2)) == (5, 4)
    assert fit(model_with(LinearWarmup(4), optimizer=optimizer()), epochs=2) == []


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch runs one step at a time")
def test_several_steps_per_execution_are_as_many_steps():
    model = model_with(LinearWarmup(9))
    model.compile(keras.optimizers.SGD(0.01), "mse", steps_per_execution=3)
    assert numbers(fit(model, epochs=2)) == (9, 8)


def test_it_is_told_once_for_a_callback():
    model, scheduler = model_with(LinearWarmup(100)), RegularizationScheduler()
    assert len(fit(model, scheduler=scheduler)) == 1
    assert fit(model, scheduler=scheduler) == []


def test_what_went_before_counts():
    model = model_with(LinearWarmup(9))
    assert numbers(fit(model, epochs=1)) == (9, 4)
    _warnings._warned_of.clear()
    assert numbers(fit(model, epochs=1)) == (9, 8)
    assert fit(model, epochs=1) == []


def test_a_search_is_told_once_of_each_schedule():
    """As many models of one schedule are trained from one line, for longer and longer."""
    durations = [9, 9, 20, 9, 20]
    told = [fit(model_with(LinearWarmup(d)), epochs=e) for e, d in enumerate(durations, 1)]
    assert [len(messages) for messages in told] == [1, 0, 1, 0, 0]
    assert [numbers(told[0]), numbers(told[2])] == [(9, 4), (20, 12)]


def test_another_line_is_told_again():
    def fit_here(model):
        with pytest.warns(RegPlusWarning, match="longer than"):
            model.fit(X, Y, verbose=0, callbacks=[RegularizationScheduler()])

    assert len(fit(model_with(LinearWarmup(9)))) == 1
    fit_here(model_with(LinearWarmup(9)))


def test_of_several_schedules_the_one_that_is_furthest_off_is_named():
    schedules = LinearWarmup(9), Join([Linear(2), Linear(8)], [4]), LinearWarmup(3)
    (message,) = fit(model_with(*schedules), epochs=2)
    assert "the schedule Join(" in message and "/dense_1/kernel" in message
    assert numbers([message]) == (12, 8)


def test_layers_are_asked_as_penalties_are():
    dropout = ScheduledDropout(0.5, LinearWarmup(9), name="drop")
    model = keras.Sequential([keras.Input((2,)), dropout, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    (message,) = fit(model, epochs=2)
    assert "of drop ends at step 9, and this training at step 8" in message


def test_a_schedule_that_cannot_be_asked_does_not_end_a_training():
    class Odd(LinearWarmup):
        ends_at = property(lambda self: 1 / 0, lambda self, value: None)

    assert fit(model_with(Odd(100))) == []
