"""Where the callback is forgotten: full strength, or the saved one, and one warning a model."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.layers import ScheduledDropout
from keras_regplus.regularizers import ScheduledL2
from keras_regplus.schedules import Linear, LinearWarmup

from .models import BASE, X, base_penalty, compiled, shared_instance
from .rising import NOTHING_TELLS, assert_at, fit, network, ours, predicted, rising, ways

pytestmark = pytest.mark.filterwarnings("ignore:.*longer than")


@ways
def test_full_strength_and_one_warning_a_model(way):
    # What is scheduled is one instance, or several; models are warned for one by one.
    for build in (shared_instance, network, network):
        model = compiled(build(), **way)
        y = predicted(model)
        with pytest.warns(RegPlusWarning, match=NOTHING_TELLS) as caught:
            runs = [fit(model, callbacks=[], validation_data=(X, y), epochs=2) for _ in range(2)]
            compiled(model, **way)
            runs.append(fit(model, callbacks=[]))
        assert len(ours(caught, model.name)) == len(ours(caught)) == 1
        for run in runs:
            np.testing.assert_allclose(run.loss + run.val_loss, base_penalty(model), rtol=1e-5)
            assert set(run.history) <= {"loss", "val_loss"}


def dropping(schedule, **compile_arguments):
    """Its loss in training is the mean of x^2 times the share of values that are kept."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(4, kernel_initializer="identity"),
            ScheduledDropout(1.0, schedule),
        ]
    )
    return compiled(model, **compile_arguments)


def dropped_loss(model, callbacks, **arguments):
    return fit(model, y=np.zeros((24, 4)), callbacks=callbacks, **arguments).loss


@ways
def test_a_forgotten_rate_is_the_full_one_with_one_warning(way):
    model = dropping(LinearWarmup(10), **way)
    with pytest.warns(RegPlusWarning, match=NOTHING_TELLS) as caught:
        losses = dropped_loss(model, [], epochs=2)
    assert len(ours(caught)) == 1
    assert losses == [0.0] * len(losses)


def squares(model):
    """The mean of x^2 of each step, or of the steps executed together."""
    each = [float(np.mean(x.astype("float64") ** 2)) for x in X[:24].reshape(3, 8, 4)]
    return np.reshape(each, (-1, model.steps_per_execution)).mean(1)


@ways
def test_a_rate_follows_and_stays_where_it_was_saved(way, tmp_path):
    # Rates above 1 count as 1: everything is dropped before step 3, and nothing after.
    model = dropping(Linear(3, 30.0, 0.0), **way)
    assert max(dropped_loss(model, [RegularizationScheduler()])) < 1e-6
    assert dropped_loss(model, []) == pytest.approx(squares(model), rel=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    with pytest.warns(RegPlusWarning, match="saved at") as caught:
        losses = dropped_loss(again, [])
    assert len(ours(caught)) == 1
    assert losses == pytest.approx(squares(again), rel=1e-5)


class Outer(keras.Model):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.out = layers.Dense(2, kernel_regularizer=ScheduledL2(BASE, LinearWarmup(10)))

    def call(self, x):
        return self.out(self.inner(x))


@ways
@pytest.mark.parametrize(
    "wrap",
    [lambda inner: keras.Sequential([keras.Input((4,)), inner]), Outer],
    ids=["Sequential", "subclassed, with a penalty of its own"],
)
def test_an_outer_model_without_a_clock_never_takes_the_inner_ones(way, wrap):
    inner = rising(**way)
    assert_at(fit(inner), inner, range(3))
    outer = compiled(wrap(inner), **way)
    with pytest.warns(RegPlusWarning, match=NOTHING_TELLS) as caught:
        run = fit(outer, callbacks=[], epochs=2)
    assert len(ours(caught, outer.name)) == len(ours(caught)) == 1
    np.testing.assert_allclose(run.loss, base_penalty(outer), rtol=1e-5)
    # The inner one has not moved, and the outer one counts its own updates.
    assert_at(fit(inner), inner, range(3, 6))


@ways
def test_an_outer_model_with_the_callback_has_a_clock_of_its_own(way):
    inner = rising(**way)
    fit(inner, 6)
    outer = compiled(keras.Sequential([keras.Input((4,)), inner]), **way)
    assert_at(fit(outer), outer, range(3))
    assert_at(fit(inner), inner, range(6, 9))
    assert_at(fit(outer, callbacks=[]), outer, range(3, 6))


def test_evaluating_a_model_that_was_never_trained_warns_once():
    model = compiled(network())
    y = predicted(model)
    with pytest.warns(RegPlusWarning, match=NOTHING_TELLS) as caught:
        losses = [model.evaluate(X, y, verbose=0) for _ in range(2)]
    assert len(ours(caught)) == 1
    np.testing.assert_allclose(losses, base_penalty(model), rtol=1e-5)
