"""`keras_regplus.now` is exact in a user's own maths.

The fit is frozen: the loss of a step is the value of the schedule, times a number that
the test knows.
"""

from __future__ import annotations

import importlib

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_regplus as kr
from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.schedules import Linear
from keras_regplus.testing import frozen_fit

from .models import BACKEND, BATCH, STEPS, X, averages_activities, compiled, in_floatx
from .rising import NOTHING_TELLS, ours

pytestmark = pytest.mark.filterwarnings("ignore:.*longer than")

here = importlib.import_module(f".inner_functions_{BACKEND}", __package__)

FULL = 0.5
Y = np.zeros((len(X), 4), "float32")


def rising(unit="step"):
    """2 + t, which is never 1."""
    return Linear(998, 2.0, 1000.0, unit=unit)


# Where a user puts it: each loss is `FULL` times the value.


def identity(*chain):
    first = layers.Dense(4, use_bias=False, kernel_initializer="identity")
    return keras.Sequential([keras.Input((4,)), first, *chain])


def mean_of_prediction(y, y_pred):
    return ops.mean(ops.cast(y_pred, keras.config.floatx()), axis=-1)


class InCall(layers.Layer):
    def __init__(self, schedule):
        super().__init__()
        self.given = schedule

    def call(self, x):
        return 0.0 * x + ops.cast(FULL * kr.now(self.given), x.dtype)


def in_call(schedule, **arguments):
    return compiled(identity(InCall(schedule)), loss=mean_of_prediction, **arguments)


def in_loss(schedule, **arguments):
    def loss(y, y_pred):
        return 0.0 * mean_of_prediction(y, y_pred) + FULL * kr.now(schedule)

    return compiled(identity(), loss=loss, **arguments)


class InComputeLoss(keras.Sequential):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return 0.0 * ops.mean(mean_of_prediction(y, y_pred)) + FULL * kr.now(self.given)


def in_compute_loss(schedule, **arguments):
    model = InComputeLoss(identity().layers)
    model.given = schedule
    return compiled(model, **arguments)


class ActivityPenalty(keras.regularizers.Regularizer):
    def __init__(self, schedule):
        self.schedule = schedule

    def __call__(self, x):
        ones = ops.ones_like(ops.cast(x, keras.config.floatx()))
        return FULL * kr.now(self.schedule) * ops.sum(ones) / x.shape[-1]


def nothing(y, y_pred):
    return 0.0 * mean_of_prediction(y, y_pred)


def in_activity_penalty(schedule, **arguments):
    penalty = ActivityPenalty(schedule)
    model = identity(layers.Activation("linear", activity_regularizer=penalty))
    return compiled(model, loss=nothing, **arguments)


PLACES = {
    "call": in_call,
    "loss": in_loss,
    "compute_loss": in_compute_loss,
    "activity penalty": in_activity_penalty,
}


def fitted(model, callbacks=None, **arguments):
    callbacks = [RegularizationScheduler()] if callbacks is None else callbacks
    return frozen_fit(model, X, Y, batch_size=BATCH, callbacks=callbacks, **arguments)


def evaluated(model):
    return model.evaluate(X, Y, batch_size=BATCH, verbose=0)


def grouped(values, model):
    return np.reshape(values, (-1, model.steps_per_execution)).mean(1)


def assert_follows(model, rtol=1e-5, accumulate=1, epochs=2):
    run = fitted(model, epochs=epochs, validation_data=(X, Y))
    values = FULL * (2.0 + np.arange(STEPS * epochs) // accumulate)
    np.testing.assert_allclose(run.loss, grouped(values, model), rtol=rtol)
    ends = FULL * (2.0 + STEPS * np.arange(1, epochs + 1) // accumulate)
    np.testing.assert_allclose(run.val_loss, ends, rtol=rtol)
    np.testing.assert_allclose(evaluated(model), ends[-1], rtol=rtol)


WAYS = {
    "default": {},
    "eager": {"run_eagerly": True},
    "jit": {"jit_compile": True},
    "no jit": {"jit_compile": False},
    "three steps": {"steps_per_execution": 3},
}
if BACKEND == "torch":  # Keras refuses several steps, and a compilation takes half a minute
    del WAYS["three steps"], WAYS["jit"]

grid = pytest.mark.grid
ways = [pytest.param(each, id=each, marks=[] if each == "default" else grid) for each in WAYS]


@pytest.fixture(autouse=True)
def _activities_are_averaged(request):
    if "activity" in request.node.name and not averages_activities():
        pytest.skip("an older Keras adds activities up")


@pytest.mark.parametrize("way", ways)
@pytest.mark.parametrize("place", PLACES)
def test_follows_the_steps_of_a_training(place, way):
    assert_follows(PLACES[place](rising(), **WAYS[way]))


@pytest.mark.grid
@pytest.mark.parametrize("place", PLACES)
def test_counts_updates_with_accumulation(place):
    optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=2)
    assert_follows(PLACES[place](rising(), optimizer=optimizer), accumulate=2)


@pytest.mark.parametrize(
    "place", [pytest.param(p, marks=[] if p == "loss" else grid) for p in PLACES]
)
def test_follows_in_double_precision(place):
    with in_floatx("float64"):
        assert_follows(PLACES[place](rising()), epochs=1)


@pytest.mark.grid
@pytest.mark.parametrize("policy, rtol", [("mixed_float16", 3e-3), ("mixed_bfloat16", 1e-2)])
@pytest.mark.parametrize("place", PLACES)
def test_follows_in_mixed_precision(place, policy, rtol):
    keras.config.set_dtype_policy(policy)
    try:
        model = PLACES[place](rising(), optimizer=keras.optimizers.SGD(0.0))
        assert_follows(model, rtol, epochs=1)
    finally:
        keras.config.set_dtype_policy("float32")


SCHEDULES = {
    "epochs": (lambda: rising("epoch"), lambda step: 2.0 + step // STEPS),
    "a function": (lambda: lambda t: 3.0 + 2.0 * t, lambda step: 3.0 + 2.0 * step),
    "of Keras": (
        lambda: keras.optimizers.schedules.PolynomialDecay(9.0, 100, 4.0),
        lambda step: 9.0 - 0.05 * step,
    ),
    "a config": (
        lambda: kr.schedules.serialize(rising()),
        lambda step: 2.0 + step,
    ),
    "none": (lambda: None, lambda step: 1.0 + 0.0 * step),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_follows_every_kind_of_schedule(name):
    make, value = SCHEDULES[name]
    model = in_loss(make())
    run = fitted(model, epochs=2)
    np.testing.assert_allclose(run.loss, FULL * value(np.arange(2 * STEPS)), rtol=1e-5)
    np.testing.assert_allclose(evaluated(model), FULL * value(2 * STEPS), rtol=1e-5)


def test_a_prediction_sees_the_next_step():
    model = in_call(rising())
    for done in (STEPS, 2 * STEPS):
        fitted(model)
        predicted = model.predict(X[:BATCH], verbose=0)
        np.testing.assert_allclose(predicted, FULL * (2.0 + done), rtol=1e-5)


class Metric(keras.metrics.Mean):
    def __init__(self, schedule):
        super().__init__(name="now")
        self.schedule = schedule

    def update_state(self, y, y_pred, sample_weight=None):
        super().update_state(ops.cast(kr.now(self.schedule), "float32"))


def test_follows_in_a_metric():
    schedule = rising()
    model = identity()
    model.compile(keras.optimizers.SGD(0.0), nothing, metrics=[Metric(schedule)])
    history = fitted(model, epochs=2).history
    # Keras updates metrics behind the weights, and only on JAX what counts has not moved by then.
    moved = 0.0 if BACKEND == "jax" else 1.0
    np.testing.assert_allclose(history["now"], [4.5 + moved, 10.5 + moved], rtol=1e-5)


@pytest.mark.parametrize("way", ways)
def test_without_the_callback_it_is_1_and_warns_once(way):
    model = in_loss(rising(), **WAYS[way])
    with pytest.warns(RegPlusWarning, match=NOTHING_TELLS) as caught:
        runs = [fitted(model, callbacks=[]) for _ in range(2)]
    assert len(ours(caught)) == 1
    for run in runs:
        np.testing.assert_allclose(run.loss, FULL, rtol=1e-6)
    assert_follows(in_loss(rising(), **WAYS[way]), epochs=1)


def test_the_callback_comes_later():
    model = in_loss(rising())
    with pytest.warns(RegPlusWarning, match=NOTHING_TELLS):
        fitted(model, callbacks=[])
    run = fitted(model)
    np.testing.assert_allclose(run.loss, FULL * (2.0 + STEPS + np.arange(STEPS)), rtol=1e-5)


def in_a_function(way, schedule, **arguments):
    function = way(lambda x: 0.0 * x + FULL * kr.now(schedule))

    def loss(y, y_pred):
        return function(mean_of_prediction(y, y_pred))

    return compiled(identity(), loss=loss, **arguments)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the others compile it anew with the step")
def test_a_function_that_was_compiled_before_the_callback_came_is_told():
    schedule = rising()
    model = in_a_function(here.out_of_sight, schedule)
    with pytest.warns(RegPlusWarning, match=NOTHING_TELLS):
        fitted(model, callbacks=[])
    with pytest.warns(RegPlusWarning) as caught:
        run = fitted(model, epochs=2)
    np.testing.assert_allclose(run.loss, FULL, rtol=1e-6)
    assert any(f"now({schedule!r}) (1 from before" in each for each in ours(caught))


@pytest.mark.skipif(BACKEND != "jax", reason="the others read a live number in it")
def test_a_function_inside_an_eager_step_is_told():
    schedule = rising()
    model = in_a_function(here.in_init, schedule, run_eagerly=True)
    with pytest.warns(RegPlusWarning, match="did not follow its schedule") as caught:
        run = fitted(model, epochs=2)
    np.testing.assert_allclose(run.loss, FULL * 2.0, rtol=1e-6)
    assert len(ours(caught)) == 1
    assert f"now({schedule!r}) (kept from" in ours(caught)[0]


@pytest.mark.skipif(BACKEND == "torch", reason="torch runs a schedule anew in each step")
def test_a_schedule_that_reads_more_than_its_argument_is_told():
    offset = [3.0]

    def schedule(t):
        return offset[0] + 0.0 * t

    change = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda *_: offset.append(offset.pop() + 1)
    )
    model = in_loss(schedule)
    with pytest.warns(RegPlusWarning, match="did not follow its schedule") as caught:
        fitted(model, callbacks=[change, RegularizationScheduler()], epochs=2)
    assert len(ours(caught)) == 1
    assert "schedule) (4 for 5)" in ours(caught)[0]


def test_in_at_and_outside_of_any_step():
    schedule = rising()
    assert kr.now(schedule) == 1.0
    with kr.at(step=3):
        assert float(kr.now(schedule)) == pytest.approx(5.0)
        assert kr.now(None) == 1.0
    with kr.at(step=3), pytest.raises(ValueError, match="`epoch` must be given"):
        kr.now(rising("epoch"))


def test_refuses_what_is_no_schedule():
    with pytest.raises(TypeError, match=r"^now: `schedule`"):
        kr.now(3.0)
    with pytest.raises(ValueError, match="now"):
        kr.now("unknown")


def test_a_gain_is_not_in_it():
    model = in_loss(rising())
    fitted(model)
    from keras_regplus.clock.wiring import attach

    attach(model).set_gain(3.0)
    run = fitted(model)
    np.testing.assert_allclose(run.loss, FULL * (2.0 + STEPS + np.arange(STEPS)), rtol=1e-5)


class Vae(keras.Model):
    """With a term that is warmed up; nothing random, so that its loss is known."""

    def __init__(self, beta):
        super().__init__(name="vae")
        self.beta = beta
        self.encoder = layers.Dense(2, kernel_initializer=keras.initializers.GlorotUniform(1))
        self.decoder = layers.Dense(4, kernel_initializer=keras.initializers.GlorotUniform(2))

    def call(self, x):
        mean = self.encoder(x)
        kl = 0.5 * ops.mean(ops.sum(ops.square(mean), axis=-1))
        self.add_loss(kr.now(self.beta) * kl)
        return self.decoder(mean)


def test_a_vae_with_a_beta_warmup():
    model = compiled(Vae(kr.schedules.LinearWarmup(8)), loss="mse")
    history = model.fit(
        X,
        X,
        batch_size=BATCH,
        epochs=2,
        shuffle=False,
        verbose=0,
        callbacks=[RegularizationScheduler()],
    ).history
    encode, decode = (
        ops.convert_to_numpy(layer.kernel).astype("float64")
        for layer in (model.encoder, model.decoder)
    )
    mean = X.astype("float64") @ encode
    kl = 0.5 * np.sum(mean**2, axis=-1).reshape(STEPS, BATCH).mean(1)
    distance = np.mean((X - mean @ decode) ** 2)
    betas = np.minimum(np.arange(2 * STEPS) / 8, 1.0).reshape(2, STEPS)
    penalty = (betas * kl).mean(1)
    np.testing.assert_allclose(history["loss"], distance + penalty, rtol=1e-5)
    np.testing.assert_allclose(history["data_loss"], [distance] * 2, rtol=1e-5)
    np.testing.assert_allclose(history["penalty"], penalty, rtol=1e-5)
