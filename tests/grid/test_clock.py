"""How a clock is wired to a model, what it refuses, and `at`.

That strengths are exact, step by step, is what the other tests of this folder show.
"""

import functools
import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_regplus as kr
from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.regularizers import ScheduledL2
from keras_regplus.schedules import LinearWarmup
from keras_regplus.testing import frozen_fit

from .models import BACKEND, BASE, BATCH, X, base_penalty, compiled, l2, sequential, warmed

pytestmark = pytest.mark.filterwarnings("ignore:.*longer than")


class OwnTrainStep(keras.Model):
    """The step that Keras's guides show, on each backend."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2, kernel_regularizer=l2())

    def call(self, x):
        return self.dense(x)

    def train_step(self, *args):
        return super().train_step(*args)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean((y - y_pred) ** 2) + sum(self.losses)


def test_exact_in_a_custom_train_step_and_compute_loss():
    model = compiled(OwnTrainStep())
    run = frozen_fit(model, X, batch_size=BATCH, epochs=2, callbacks=[RegularizationScheduler()])
    full = base_penalty(model)
    np.testing.assert_allclose(run.loss, full * warmed(range(12)), rtol=1e-5, atol=1e-6 * full)
    np.testing.assert_allclose(
        run.history["penalty"], full * warmed(range(12)).reshape(2, 6).mean(1), rtol=1e-5
    )


def test_recompiling_with_another_loss_takes_effect():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(1, kernel_initializer="zeros", kernel_regularizer=l2()),
        ]
    )
    y = np.full((len(X), 1), 3.0)
    for loss, value in (("mse", 9.0), ("mae", 3.0), ("mse", 9.0)):
        model.compile(keras.optimizers.SGD(0.0), loss)
        run = frozen_fit(model, X, y, batch_size=BATCH, callbacks=[RegularizationScheduler()])
        np.testing.assert_allclose(run.loss, value, rtol=1e-6)
        np.testing.assert_allclose(model.evaluate(X, y, verbose=0), value, rtol=1e-6)


def test_a_step_that_was_wrapped_after_us_stays_wrapped():
    calls = []
    model = compiled(sequential())
    frozen_fit(model, X, batch_size=BATCH, callbacks=[RegularizationScheduler()])
    ours = model.train_step

    @functools.wraps(ours)
    def theirs(*args, **kwargs):
        calls.append(1)
        return ours(*args, **kwargs)

    model.train_step = theirs
    compiled(model)
    run = frozen_fit(model, X, batch_size=BATCH, callbacks=[RegularizationScheduler()])
    assert calls
    np.testing.assert_allclose(
        run.loss, base_penalty(model) * warmed(range(6)), rtol=1e-5, atol=1e-6
    )


def plain_twin():
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, kernel_regularizer=keras.regularizers.L2(BASE)),
            layers.Dense(2),
        ]
    )


def test_a_model_without_an_optimizer_is_refused():
    model = sequential()
    model.compile(optimizer=None, loss="mse")
    with pytest.raises(ValueError, match=r"must be compiled with an optimizer, got none.*at\(step"):
        RegularizationScheduler().set_model(model)


def test_nnx_mode_is_refused(monkeypatch):
    monkeypatch.setattr(keras.config, "is_nnx_enabled", lambda: True, raising=False)
    with pytest.raises(ValueError, match="NNX mode must be off"):
        RegularizationScheduler().set_model(compiled(sequential()))


def test_the_private_names_of_keras_are_where_we_look():
    model = compiled(plain_twin())
    model.fit(X, X[:, :2], verbose=0)
    for name in ("_flatten_layers", "_seed_generators", "_get_metrics_result_or_logs"):
        assert hasattr(model, name), name
    for name in ("_compile_loss", "_aggregate_additional_loss"):
        assert hasattr(model, name), name
    assert hasattr(model.layers[0], "_trainable_variables")
    assert hasattr(model.layers[0], "_non_trainable_variables")
    assert hasattr(model.optimizer, "_iterations")
    if BACKEND == "jax":
        assert hasattr(model, "_jax_state") and hasattr(model, "_jax_state_synced")


def test_at_gives_step_and_epoch_to_a_hand_written_loop():
    by_epoch = ScheduledL2(BASE, LinearWarmup(4, "epoch"))
    w = ops.ones((3,))
    with kr.at(step=5, epoch=1):
        assert float(l2()(w)) == pytest.approx(0.15)
        assert float(by_epoch(w)) == pytest.approx(0.075)
    with kr.at(step=1), pytest.raises(ValueError, match="`epoch` must be given"):
        by_epoch(w)


@pytest.mark.parametrize(
    "bad", [{"step": -1}, {"epoch": float("nan")}, {"step": "3"}, {"step": True}]
)
def test_at_refuses_bad_numbers(bad):
    with (
        pytest.raises(ValueError, match=r"^at: `(step|epoch)` must be .*, got .*\. Pass"),
        kr.at(**bad),
    ):
        pass


def test_at_needs_a_number():
    with pytest.raises(TypeError, match=r"^at: `step` must be"), kr.at():
        pass


def test_at_takes_a_traced_step():
    penalty = l2()
    w = np.ones(3, "float32")

    def value(step):
        with kr.at(step=step):
            return penalty(w)

    if BACKEND == "jax":
        import jax

        value = jax.jit(value)
    elif BACKEND == "tensorflow":
        import tensorflow as tf

        value = tf.function(value, input_signature=[tf.TensorSpec((), "int32")])
    found = [float(value(ops.convert_to_tensor(t, dtype="int32"))) for t in (0, 5, 20)]
    np.testing.assert_allclose(found, 0.3 * warmed([0, 5, 20]), rtol=1e-6)


def test_a_prediction_asks_for_no_callback():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2, activity_regularizer=l2())(inputs))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RegPlusWarning)
        compiled(model).predict(X, verbose=0)
