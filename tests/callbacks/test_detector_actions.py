"""What a detector changes in a running training, and when it undoes that."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import OverfittingDetector, RegularizationScheduler, actions
from keras_regplus.clock import wiring
from keras_regplus.diagnosis import Diagnosis
from keras_regplus.layers import ScheduledDropout, ScheduledGaussianNoise
from keras_regplus.regularizers import ScheduledL2
from keras_regplus.schedules import Constant
from keras_regplus.testing import frozen_fit

BATCH = 8
X = np.random.default_rng(0).normal(size=(3 * BATCH, 4)).astype("float32")


class Script:
    """A criterion that says what is in its script, one verdict an epoch."""

    def __init__(self, verdicts):
        self.verdicts = list(verdicts)

    def update(self, train, val):
        return Diagnosis(self.verdicts.pop(0))


def model(penalty=None, optimizer=None):
    penalty = penalty or ScheduledL2(0.1)
    dense = layers.Dense(5, kernel_regularizer=penalty)
    net = keras.Sequential([keras.Input((4,)), dense, layers.Dense(2)])
    net.compile(optimizer or keras.optimizers.SGD(0.0), "mse")
    return net


def base_penalty(net, l2=0.1):
    return l2 * float(np.sum(keras.ops.convert_to_numpy(net.layers[0].kernel) ** 2))


def detector(verdicts, action, **arguments):
    return OverfittingDetector(
        monitor="loss", action=action, criterion=Script(verdicts), verbose=0, **arguments
    )


BAD, GOOD, FLAT = "overfitting", "healthy", "plateau"


class Steps(actions.Action):
    """Does nothing but count its steps."""

    def move(self, net, steps):
        return f"at {steps}"


@pytest.mark.parametrize(
    ("cooldown", "undo_when_healthy", "verdicts", "moves"),
    [
        (0, True, [BAD, BAD, GOOD, GOOD, GOOD], [1, 2, 1, 0, None]),
        (2, True, [BAD, BAD, BAD, BAD, BAD], [1, None, None, 2, None]),
        (2, True, [BAD, GOOD, GOOD, GOOD, BAD], [1, None, None, 0, None]),
        (0, False, [BAD, GOOD, BAD, GOOD, GOOD], [1, None, 2, None, None]),
        (0, True, [FLAT, BAD, FLAT, FLAT, GOOD], [None, 1, None, None, 0]),
        (0, True, [GOOD, GOOD, FLAT, "diverging", "undecided"], [None] * 5),
    ],
)
def test_steps_cooldown_and_undoing(cooldown, undo_when_healthy, verdicts, moves):
    action = Steps(cooldown=cooldown, undo_when_healthy=undo_when_healthy)
    messages = [action.update(None, epoch, Diagnosis(v)) for epoch, v in enumerate(verdicts)]
    assert messages == [None if move is None else f"at {move}" for move in moves]


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_raised_regularization_reaches_the_compiled_step(run_eagerly):
    net = model()
    net.compile(keras.optimizers.SGD(0.0), "mse", run_eagerly=run_eagerly)
    action = actions.RaiseRegularization(factor=2, limit=5, cooldown=0)
    watch = detector([BAD, BAD, BAD, BAD, GOOD, GOOD, GOOD, GOOD], action)
    callbacks = [RegularizationScheduler(), watch]
    data = X, net.predict(X, verbose=0)
    run = frozen_fit(
        net, X, epochs=8, batch_size=3 * BATCH, validation_data=data, callbacks=callbacks
    )
    # Each epoch is one step, and sees the gain that the epoch before has left.
    gains = [1, 2, 4, 5, 5, 4, 2, 1]
    np.testing.assert_allclose(run.loss, base_penalty(net) * np.array(gains), rtol=1e-5)


def test_regularization_is_raised_without_the_scheduler_too():
    net = model()
    watch = detector([BAD, BAD], actions.RaiseRegularization(factor=3, cooldown=0))
    data = X, net.predict(X, verbose=0)
    run = frozen_fit(
        net, X, epochs=2, batch_size=3 * BATCH, validation_data=data, callbacks=[watch]
    )
    np.testing.assert_allclose(run.loss, base_penalty(net) * np.array([1, 3]), rtol=1e-5)


def dropping(rate, schedule):
    """Its loss is the share of its values that were dropped."""
    inputs = keras.Input((500,))
    nothing = layers.Dense(1, kernel_initializer="zeros")(inputs)
    net = keras.Model(inputs, ScheduledDropout(rate, schedule, seed=5)(inputs) + nothing)
    ops = keras.ops
    net.compile(
        keras.optimizers.SGD(0.0),
        # The second summand is 0; torch refuses a loss without a gradient.
        loss=lambda y, p: ops.mean(ops.cast(ops.equal(p, 0), "float32")) + 0 * ops.mean(p),
    )
    return net


def test_raised_dropout_reaches_the_compiled_step_and_the_logs():
    ones = np.ones((100, 500), "float32")
    action = actions.RaiseDropout(by=0.1, limit=0.25, cooldown=0)
    verdicts = [BAD, BAD, BAD, BAD, GOOD, GOOD, GOOD]
    callbacks = [RegularizationScheduler(), detector(verdicts, action)]
    arguments = {"batch_size": 100, "validation_data": (ones, ones), "epochs": 7, "verbose": 0}
    history = dropping(0.2, Constant()).fit(ones, ones, callbacks=callbacks, **arguments).history
    rates = [0.2, 0.3, 0.4, 0.45, 0.45, 0.4, 0.3]
    # Five standard errors of a share of 50,000 values.
    assert history["loss"] == pytest.approx(rates, abs=5 * np.sqrt(0.25 / 50_000))
    assert max(history["val_loss"]) == 0
    (key,) = (key for key in history if key.startswith("rate/"))
    assert history[key] == pytest.approx(rates)


@pytest.mark.parametrize(
    ("rate", "action", "expected"),
    [
        (0.2, actions.RaiseRegularization(factor=3, limit=100, cooldown=0), [0.2, 0.6, 0.9, 0.9]),
        (0.7, actions.RaiseDropout(by=0.15, limit=1.0, cooldown=0), [0.7, 0.85, 0.9, 0.9]),
        (0.95, actions.RaiseDropout(cooldown=0), [0.95] * 4),
        (0.95, actions.RaiseRegularization(cooldown=0), [0.95] * 4),
    ],
)
def test_no_action_lets_a_layer_drop_everything(rate, action, expected):
    ones = np.ones((8, 500), "float32")
    callbacks = [RegularizationScheduler(), detector([BAD] * 4, action)]
    arguments = {"validation_data": (ones, ones), "epochs": 4, "verbose": 0}
    history = dropping(rate, Constant()).fit(ones, ones, callbacks=callbacks, **arguments).history
    (key,) = (key for key in history if key.startswith("rate/"))
    assert history[key] == pytest.approx(expected)


@pytest.mark.parametrize("raises_dropout_first", [False, True])
def test_two_actions_together_let_no_layer_drop_everything(raises_dropout_first):
    ones = np.ones((8, 500), "float32")
    both = [actions.RaiseRegularization(factor=2, cooldown=0), actions.RaiseDropout(cooldown=0)]
    if raises_dropout_first:
        both.reverse()
    callbacks = [RegularizationScheduler(), detector([BAD] * 4, both)]
    arguments = {"validation_data": (ones, ones), "epochs": 4, "verbose": 0}
    history = dropping(0.2, Constant()).fit(ones, ones, callbacks=callbacks, **arguments).history
    (key,) = (key for key in history if key.startswith("rate/"))
    # 0.2 x 2 + 0.1, then x 4 + 0.1; or, the other way round, x 3.5 + 0.2.
    assert history[key] == pytest.approx([0.2, 0.5, 0.9, 0.9])


def noisy():
    net = keras.Sequential([keras.Input((4,)), ScheduledGaussianNoise(0.1, Constant())])
    net.add(keras.layers.Dense(1))
    net.compile("sgd", "mse")
    return net


@pytest.mark.parametrize("build", [model, lambda: dropping(0.2, None), noisy])
def test_no_scheduled_dropout_is_one_warning(build):
    net = build()
    watch = detector([BAD, BAD], actions.RaiseDropout(cooldown=0))
    x = np.ones((8, *net.input_shape[1:]), "float32")
    y = np.ones((8, *net.output_shape[1:]), "float32")
    with pytest.warns(RegPlusWarning, match="RaiseDropout: the model must have") as caught:
        net.fit(x, y, validation_data=(x, y), epochs=2, verbose=0, callbacks=[watch])
    assert sum(warning.category is RegPlusWarning for warning in caught) == 1


class NeverAddsPenalties(keras.Sequential):
    """Its training step, and its evaluation, leave the model's penalties out."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **_):
        return self._compile_loss(y, y_pred, sample_weight)


def without_penalties():
    dense = layers.Dense(2, kernel_regularizer=ScheduledL2(0.1))
    net = NeverAddsPenalties([keras.Input((4,)), dense])
    net.compile("sgd", "mse")
    return net


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: dropping(0.2, None), "must have something scheduled, got none"),
        pytest.param(
            without_penalties,
            "must compute what is scheduled, got one that never does",
            marks=pytest.mark.skipif(
                keras.backend.backend() == "jax",
                reason="On JAX Keras computes penalties, then leaves them out of the loss.",
            ),
        ),
    ],
)
def test_a_gain_that_would_do_nothing_is_one_warning(build, match):
    net = build()
    x = np.ones((8, *net.input_shape[1:]), "float32")
    y = np.ones((8, *net.output_shape[1:]), "float32")
    watch = detector([BAD, BAD], actions.RaiseRegularization(cooldown=0))
    with pytest.warns(RegPlusWarning, match=match) as caught:
        net.fit(x, y, validation_data=(x, y), epochs=2, verbose=0, callbacks=[watch])
    assert sum(warning.category is RegPlusWarning for warning in caught) == 1
    assert wiring.attach(net).gain == 1


def test_nothing_scheduled_is_one_warning():
    net = model(keras.regularizers.L2(0.1))
    watch = detector([BAD, BAD, BAD], actions.RaiseRegularization(cooldown=0))
    with pytest.warns(RegPlusWarning, match="must have something scheduled, got none") as caught:
        net.fit(X, X[:, :2], validation_data=(X, X[:, :2]), epochs=3, verbose=0, callbacks=[watch])
    assert sum(warning.category is RegPlusWarning for warning in caught) == 1


def test_several_actions_act_and_one_that_raises_stops_none_of_the_others():
    def fail(*_):
        raise OSError("no")

    called, steps = [], Steps(cooldown=0)
    watch = detector(
        [FLAT, BAD, BAD],
        [fail, steps, "stop", lambda _, diagnosis: called.append(diagnosis.verdict)],
    )
    watch.set_model(model())
    watch.on_train_begin()
    with pytest.warns(RegPlusWarning, match=r"got OSError\('no'\) from fail in epoch 1"):
        for epoch in range(3):
            watch.on_epoch_end(epoch, {"loss": 1.0, "val_loss": 1.0})
    assert (steps.steps, called) == (2, [BAD])


def test_a_second_training_begins_without_steps():
    steps = Steps(cooldown=0)
    watch = detector([BAD, BAD, BAD], steps)
    watch.set_model(model())
    for _ in range(2):
        watch.on_train_begin()
        watch.on_epoch_end(0, {"loss": 1.0, "val_loss": 1.0})
        assert steps.steps == 1


@pytest.mark.parametrize(
    ("make", "build", "name", "values"),
    [
        (actions.RaiseRegularization, model, "gain", [2, 4]),
        (actions.RaiseDropout, lambda: dropping(0.2, Constant()), "rate_offset", [0.1, 0.2]),
    ],
    ids=["regularization", "dropout"],
)
def test_a_second_training_starts_from_what_the_first_has_left(make, build, name, values):
    net, action = build(), make()
    for value in values:
        action.begin()
        action.update(net, 0, Diagnosis(BAD))
        assert getattr(wiring.attach(net), name) == pytest.approx(value)


def test_what_is_done_is_printed(capsys):
    watch = OverfittingDetector("loss", action=Steps(), criterion=Script([BAD]))
    watch.set_model(model())
    watch.on_train_begin()
    watch.on_epoch_end(0, {"loss": 1.0, "val_loss": 1.0})
    assert "OverfittingDetector: after epoch 0: at 1." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("make", "build"),
    [
        (lambda: actions.RaiseRegularization(2, limit=6, cooldown=1), model),
        (lambda: actions.RaiseDropout(0.1, cooldown=1), lambda: dropping(0.2, Constant())),
    ],
    ids=["regularization", "dropout"],
)
@pytest.mark.parametrize("epochs", [3, 12])
def test_a_restored_action_continues_as_if_nothing_had_happened(epochs, make, build):
    verdicts = [BAD] * 4 + [GOOD] * 3 + [BAD] * 20
    whole, first, second = make(), make(), make()
    nets = build(), build()

    def run(action, net, begin, end):
        for epoch in range(begin, end):
            action.update(net, epoch, Diagnosis(verdicts[epoch]))
        return action.state()

    run(first, nets[0], 0, epochs)
    other = build()
    second.restore(other, first.state())
    assert run(second, other, epochs, 20) == run(whole, nets[1], 0, 20)
    clocks = [wiring.attach(net) for net in (other, nets[1])]
    assert clocks[0].gain == clocks[1].gain
    assert clocks[0].rate_offset == clocks[1].rate_offset


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (
            lambda: actions.ReduceLearningRate(1),
            ValueError,
            "`factor` must be .* above 0 and below 1",
        ),
        (lambda: actions.ReduceLearningRate(0), ValueError, "`factor`"),
        (lambda: actions.ReduceLearningRate("x"), TypeError, "`factor` must be a finite number"),
        (lambda: actions.ReduceLearningRate(cooldown=-1), ValueError, "`cooldown` must be a whole"),
        (lambda: actions.ReduceLearningRate(undo_when_healthy=1), TypeError, "`undo_when_healthy`"),
        (
            lambda: actions.RaiseDropout(0),
            ValueError,
            "`by` must be .* above 0 and of at most 1, got 0",
        ),
        (
            lambda: actions.RaiseDropout(limit=1.5),
            ValueError,
            "`limit` must be .* above 0 and of at most 1",
        ),
        (lambda: actions.RaiseDropout("x"), TypeError, "`by`"),
        (lambda: actions.RaiseRegularization(1), ValueError, "`factor` must be .* above 1, got 1"),
        (lambda: actions.RaiseRegularization(limit=0.5), ValueError, "`limit` must be .* 1"),
        (lambda: actions.RaiseRegularization(limit=np.inf), ValueError, "`limit`"),
    ],
)
def test_bad_arguments_raise_three_part_errors(make, error, match):
    with pytest.raises(error, match=match):
        make()
