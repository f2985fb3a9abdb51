"""`verify` tells an exact schedule from a frozen one, and leaves no trace."""

import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.layers import DropConnect, DropPath, ScheduledDropout
from keras_regplus.regularizers import Scheduled, ScheduledL1L2, ScheduledL2
from keras_regplus.schedules import Cosine, Cyclic, Linear, LinearWarmup

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = np.ones((8, 2), "float32")
WARMUP = LinearWarmup(6)
pytestmark = [pytest.mark.meets_keras, pytest.mark.filterwarnings("ignore:.*longer than")]


@keras.saving.register_keras_serializable("test_verification")
class BakedIn(ScheduledL2):
    """What a user's own regularizer does that asks for its strength once."""

    def __call__(self, x):
        return 0.3 * self.l2 * ops.sum(ops.square(x))


@keras.saving.register_keras_serializable("test_verification")
class Squared(ScheduledL2):
    def __call__(self, x):
        return ops.square(super().__call__(x))


def compiled(*parts, cls=keras.Sequential, optimizer=None, **arguments):
    model = cls([*parts, layers.Dense(2)], name="model")
    model.compile(optimizer or keras.optimizers.Adam(0.1), "mse", **arguments)
    return model


def dense(penalty, **arguments):
    return layers.Dense(3, kernel_regularizer=penalty, name="hidden", **arguments)


def verdicts(model):
    found = RegularizationScheduler().verify(model, X, Y)
    return {part.path.removeprefix("model/"): part.verdict for part in found.parts}


WAYS = {
    "default": {},
    "no jit": {"jit_compile": False},
    "eager": {"run_eagerly": True},
    "accumulation": {"optimizer": lambda: keras.optimizers.SGD(gradient_accumulation_steps=2)},
    "loss scale": {
        "optimizer": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    },
}
if BACKEND != "torch":  # Keras itself refuses it there
    WAYS["several steps"] = {"steps_per_execution": 3}


@pytest.mark.parametrize("way", WAYS)
def test_everything_of_ours_is_exact(way):
    arguments = dict(WAYS[way])
    optimizer = arguments.pop("optimizer", lambda: None)()
    rate = ScheduledDropout(0.5, Cosine(8), name="rate")
    hidden = dense(
        ScheduledL1L2(0.1, 0.2, WARMUP),
        bias_regularizer=ScheduledL2(0.1, Linear(4, unit="epoch")),
        activity_regularizer=Scheduled(keras.regularizers.L1(0.1), Cyclic(4)),
    )
    found = verdicts(compiled(hidden, rate, optimizer=optimizer, **arguments))
    places = ["hidden/kernel", "hidden/bias", "hidden/activity", "rate"]
    assert found == dict.fromkeys(places, "exact")


def test_a_strength_that_is_baked_in_is_frozen():
    model = compiled(dense(BakedIn(0.1, WARMUP)))
    found = RegularizationScheduler().verify(model, X, Y)
    (part,) = found.parts
    assert (part.verdict, found.exact) == ("frozen", False)
    squares = float(np.sum(np.square(model.get_weights()[0].astype("float64"))))
    assert part.times == ((0, 0), (3, 0), (6, 0))
    np.testing.assert_allclose(part.measured, 0.03 * squares, rtol=1e-5)
    assert "hidden/kernel: frozen (" in str(found) and "at step 6, epoch 0" in str(found)


def test_measured_and_expected_are_the_closed_form():
    model = compiled(dense(ScheduledL2(0.1, WARMUP)))
    (part,) = RegularizationScheduler().verify(model, X, Y).parts
    squares = float(np.sum(np.square(model.get_weights()[0].astype("float64"))))
    closed_form = 0.1 * squares * np.array([0.0, 0.5, 1.0])
    np.testing.assert_allclose(part.measured, closed_form, rtol=1e-5)
    np.testing.assert_allclose(part.expected, closed_form, rtol=1e-5)


def test_what_moves_in_another_way_is_wrong():
    assert verdicts(compiled(dense(Squared(0.1, WARMUP)))) == {"hidden/kernel": "wrong"}


def test_what_is_not_trained_or_has_no_schedule_is_not_judged():
    frozen = dense(ScheduledL2(0.1, WARMUP), trainable=False)
    constant = [DropPath(0.2), DropConnect(layers.Dense(3), 0.2), ScheduledDropout(0.2)]
    found = RegularizationScheduler().verify(compiled(frozen, *constant), X, Y)
    assert found.exact and not found.parts


def test_a_model_without_schedules_says_so():
    found = RegularizationScheduler().verify(compiled(dense("l2")), X, Y)
    assert found.exact and "Nothing scheduled" in str(found)


def test_the_training_goes_on_as_if_nothing_had_been():
    losses = []
    for rehearsed in (False, True):
        keras.utils.set_random_seed(1)
        model = compiled(dense(ScheduledL2(0.1, WARMUP)), layers.Dropout(0.5), metrics=["mae"])
        scheduler = RegularizationScheduler()
        first = model.fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[scheduler])
        if rehearsed:
            assert scheduler.verify(model, X, Y).exact
        # Dropout of Keras draws from torch's own generator, which any step moves on.
        keras.utils.set_random_seed(2)
        then = model.fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[scheduler])
        losses.append([first.history, then.history])
    assert losses[0] == losses[1]


def test_it_can_be_asked_between_two_epochs():
    found = []

    class Ask(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            found.append(scheduler.verify(self.model, X, Y))

    scheduler = RegularizationScheduler()
    model = compiled(dense(ScheduledL2(0.1, WARMUP)))
    model.fit(X, Y, batch_size=4, epochs=3, verbose=0, callbacks=[scheduler, Ask()])
    assert all(verification.exact for verification in found) and len(found) == 3
    assert int(ops.convert_to_numpy(model.optimizer.iterations)) == 6


@keras.saving.register_keras_serializable("test_verification")
class BehindTwoCalls(ScheduledL2):
    """A penalty in a compiled function that nobody can find."""

    def __call__(self, x):
        return _first_call(self, ops.multiply(x, 1.0))


def _first_call(part, x):
    return vars(sys.modules[__name__])["_comp" + "iled"](part, x)


def _penalty(part, x):
    return ScheduledL2.__call__(part, x)


if BACKEND == "jax":
    import jax

    _compiled = jax.jit(_penalty, static_argnums=0)
elif BACKEND == "tensorflow":
    import tensorflow as tf

    _compiled = tf.function(_penalty)
else:
    _compiled = _penalty  # torch.compile sees for itself when it has to compile anew


@pytest.mark.filterwarnings("ignore:Nothing tells")
@pytest.mark.parametrize("trained_before", [True, False])
def test_what_was_compiled_before_the_callback_came_is_frozen(trained_before):
    # Another strength for each row, because equal penalties share what was compiled.
    model = compiled(dense(BehindTwoCalls(0.2 if trained_before else 0.1, WARMUP)))
    if trained_before:
        model.fit(X, Y, verbose=0)
    # On JAX each step traces all functions for itself.
    frozen = trained_before and BACKEND == "tensorflow"
    assert verdicts(model) == {"hidden/kernel": "frozen" if frozen else "exact"}


def test_cells_and_wrapped_layers_are_seen():
    cell = layers.GRUCell(3, kernel_regularizer=ScheduledL2(0.1, WARMUP), name="cell")
    model = keras.Sequential(
        [
            layers.Reshape((2, 2)),
            layers.TimeDistributed(ScheduledDropout(0.5, WARMUP, name="rate")),
            layers.RNN(cell),
            layers.Dense(2),
        ],
        name="model",
    )
    model.compile(keras.optimizers.SGD(0.1), "mse")
    found = RegularizationScheduler().verify(model, X, Y)
    assert found.exact and len(found.parts) == 2, str(found)
