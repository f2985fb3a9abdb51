"""`ReduceLearningRate`: what it says is the rate at which the steps of an epoch ran."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import callbacks, optimizers
from keras.optimizers import SGD

from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import OverfittingDetector, actions
from keras_regplus.diagnosis import Diagnosis

STEPS = 3
X = np.ones((STEPS, 1), "float32")
BAD, GOOD, FLAT = "overfitting", "healthy", "plateau"


class Script:
    """A criterion that says what is in its script, one verdict an epoch."""

    def __init__(self, verdicts):
        self.verdicts = list(verdicts)

    def update(self, train, val):
        return Diagnosis(self.verdicts.pop(0))


def first_plus_second():
    """The sum of two layers, whose kernels each have the gradient 1."""
    inputs = keras.Input((1,))
    arguments = {"use_bias": False, "kernel_initializer": "ones"}
    first = keras.layers.Dense(1, name="first", **arguments)(inputs)
    second = keras.layers.Dense(1, name="second", **arguments)(inputs)
    return keras.Model(inputs, first + second)


def trained(verdicts, optimizer, before=(), after=(), action=None, **fit):
    """The rates at which the steps of each epoch ran: of each kernel, from its way alone."""
    net, kernels = first_plus_second(), []
    net.compile(optimizer, loss=lambda _, y: keras.ops.mean(y))

    def note(*_):
        kernels.append([float(weight[0, 0]) for weight in net.get_weights()])

    spy = callbacks.LambdaCallback(on_train_begin=note, on_epoch_end=note)
    detector = OverfittingDetector(
        "loss",
        action=action or actions.ReduceLearningRate(0.5, cooldown=0),
        criterion=Script(verdicts),
    )
    arguments = {"epochs": len(verdicts), "batch_size": 1, "validation_data": (X, X)} | fit
    net.fit(X, X, verbose=0, callbacks=[spy, *before, detector, *after], **arguments)
    return -np.diff(kernels, axis=0) / STEPS


def messages(capsys):
    """What the action had printed, by epoch."""
    lines = [line for line in capsys.readouterr().out.splitlines() if "learning rate" in line]
    pairs = [
        line.removeprefix("OverfittingDetector: after epoch ").split(": ", 1) for line in lines
    ]
    return {int(epoch): text for epoch, text in pairs}


def trained_at(rates, instead):
    return f"this epoch was trained at a learning rate of {rates} instead of {instead}."


def ours(caught):
    return [str(one.message) for one in caught if one.category is RegPlusWarning]


def test_the_rate_is_reduced_and_comes_back_and_each_epoch_says_at_which_it_ran(capsys, recwarn):
    rates = trained([BAD, BAD, GOOD, GOOD, GOOD], SGD(0.08))
    expected = [0.08, 0.04, 0.02, 0.04, 0.08]
    np.testing.assert_allclose(rates, np.transpose([expected, expected]), rtol=1e-3)
    assert messages(capsys) == {
        epoch: trained_at(expected[epoch], expected[epoch - 1]) for epoch in range(1, 5)
    }
    assert not ours(recwarn)


def test_of_a_long_cooldown_only_the_first_epoch_is_told(capsys):
    action = actions.ReduceLearningRate(0.5, cooldown=5)
    rates = trained([FLAT, BAD, BAD, BAD, BAD], SGD(0.08), action=action)
    np.testing.assert_allclose(rates[:, 0], [0.08, 0.08, 0.04, 0.04, 0.04], rtol=1e-3)
    assert messages(capsys) == {2: trained_at(0.04, 0.08)}


class EachEpoch(callbacks.Callback):
    """Sets the rate as a callback of one's own does."""

    def __init__(self, hook, rates):
        super().__init__()
        self.rates = rates
        setattr(self, hook, self.set)

    def set(self, epoch, logs=None):
        self.model.optimizer.learning_rate = self.rates[epoch]


SETTERS = {
    "constant": lambda: callbacks.LearningRateScheduler(lambda epoch: 0.1),
    "falling": lambda: callbacks.LearningRateScheduler(lambda epoch: 0.1 * 0.95**epoch),
    "own at the begin": lambda: EachEpoch("on_epoch_begin", [0.1] * 6),
    "own at a batch": lambda: EachEpoch("on_train_batch_begin", [0.1] * 6),
}


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("name", SETTERS)
def test_a_rate_that_another_callback_sets_is_one_warning_and_no_claim(name, place, capsys):
    twin = trained([FLAT] * 6, SGD(0.1), before=[SETTERS[name]()])
    with pytest.warns(RegPlusWarning, match=r"must stay at 0\.05, .* got 0\.(1|095): another") as c:
        rates = trained([BAD, BAD, BAD, GOOD, BAD, GOOD], SGD(0.1), **{place: [SETTERS[name]()]})
    assert len(ours(c)) == 1
    assert "`LearningRateScheduler`" in ours(c)[0]
    assert "Put the reduction into that schedule" in ours(c)[0]
    np.testing.assert_allclose(rates, twin)
    assert messages(capsys) == {}


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_scheduler_that_goes_on_from_the_rate_takes_effect_too(place, capsys, recwarn):
    relative = callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9)
    rates = trained([BAD, FLAT, GOOD, FLAT], SGD(0.1), **{place: [relative]})
    expected = [0.09, 0.5 * 0.081, 0.5 * 0.0729, 0.06561]
    np.testing.assert_allclose(rates[:, 0], expected, rtol=1e-3)
    assert not ours(recwarn)
    assert messages(capsys) == {
        1: "the learning rate is 0.0405: something else lowers it, too.",
        3: "the learning rate is 0.0656: something else lowers it, too.",
    }


@pytest.mark.parametrize("place", ["before", "after"])
def test_reduce_on_plateau_takes_effect_too(place, recwarn):
    plateau = callbacks.ReduceLROnPlateau("val_loss", 0.1, patience=1, mode="max")
    rates = trained([BAD, FLAT, GOOD, FLAT], SGD(0.1), **{place: [plateau]})
    # The loss falls, which is no improvement here: from the second epoch on, each reduces.
    np.testing.assert_allclose(rates[:, 0], [0.1, 0.05, 0.005, 0.001], rtol=2e-3)
    assert not ours(recwarn)


def test_the_last_epoch_claims_nothing_for_an_epoch_that_never_comes(capsys):
    trained([FLAT, BAD], SGD(0.1))
    assert messages(capsys) == {}


@pytest.mark.parametrize(
    "rate",
    [optimizers.schedules.CosineDecay(0.1, 100), lambda: 0.1],
    ids=["schedule", "function"],
)
def test_what_is_no_number_is_one_warning(rate, capsys):
    with pytest.warns(RegPlusWarning, match="must be a number to be changed, got a sch") as caught:
        trained([BAD, BAD, GOOD], SGD(rate))
    assert len(ours(caught)) == 1
    assert messages(capsys) == {}


def test_a_loss_scale_optimizer_is_looked_through(capsys, recwarn):
    rates = trained([BAD, GOOD, FLAT], optimizers.LossScaleOptimizer(SGD(0.08), initial_scale=1.0))
    np.testing.assert_allclose(rates[:, 0], [0.08, 0.04, 0.08], rtol=1e-3)
    assert messages(capsys) == {1: trained_at(0.04, 0.08), 2: trained_at(0.08, 0.04)}
    assert not ours(recwarn)


needs_multi = pytest.mark.skipif(
    not hasattr(optimizers, "MultiOptimizer"), reason="this Keras has no MultiOptimizer"
)


def two(first, second):
    """One optimizer for each layer, and a third that nothing is given to."""
    spare = SGD(7.0, name="spare")
    chosen = {"first/.*": SGD(first, name="one"), "second/.*": SGD(second, name="two")}
    return optimizers.MultiOptimizer(optimizers.OptimizerMap(spare, chosen))


@needs_multi
def test_each_inner_optimizer_is_reduced_and_comes_back(capsys, recwarn):
    rates = trained([BAD, GOOD, FLAT], two(0.08, 0.8))
    np.testing.assert_allclose(rates, [[0.08, 0.8], [0.04, 0.4], [0.08, 0.8]], rtol=1e-3)
    both = "0.04 (one), 0.4 (two)", "0.08 (one), 0.8 (two)"
    assert messages(capsys) == {1: trained_at(*both), 2: trained_at(*reversed(both))}
    assert not ours(recwarn)


@needs_multi
def test_inner_optimizers_of_a_loss_scale_optimizer_are_reduced(recwarn):
    optimizer = optimizers.LossScaleOptimizer(two(0.08, 0.8), initial_scale=1.0)
    rates = trained([BAD, GOOD, FLAT], optimizer)
    np.testing.assert_allclose(rates, [[0.08, 0.8], [0.04, 0.4], [0.08, 0.8]], rtol=1e-3)
    assert not ours(recwarn)


@needs_multi
def test_optimizers_that_are_chosen_by_a_function_are_reduced():
    made = {"first": SGD(0.08, name="one"), "second": SGD(0.8, name="two")}
    rates = trained([BAD, FLAT], optimizers.MultiOptimizer(lambda v: made[v.path.split("/")[0]]))
    np.testing.assert_allclose(rates, [[0.08, 0.8], [0.04, 0.4]], rtol=1e-3)


@needs_multi
def test_an_inner_schedule_is_left_alone_with_one_warning(capsys):
    schedule = optimizers.schedules.PolynomialDecay(0.0, 100, 0.1 * 100)  # rises
    with pytest.warns(RegPlusWarning, match="got a schedule or a function in 'two'") as caught:
        rates = trained([BAD, BAD, GOOD], two(0.08, schedule))
    assert len(ours(caught)) == 1
    np.testing.assert_allclose(rates[:, 0], [0.08, 0.04, 0.02], rtol=1e-3)
    assert messages(capsys) == {
        1: trained_at("0.04 (one)", "0.08 (one)"),
        2: trained_at("0.02 (one)", "0.04 (one)"),
    }


@needs_multi
def test_inner_optimizers_under_a_scheduler_are_one_warning(capsys):
    constant = callbacks.LearningRateScheduler(lambda epoch: 0.1)
    match = r"must stay at 0\.05 \(one\), 0\.05 \(two\).* got 0\.1 \(one\), 0\.1 \(two\)"
    with pytest.warns(RegPlusWarning, match=match) as caught:
        rates = trained([BAD, BAD, BAD], two(0.1, 0.1), after=[constant])
    assert len(ours(caught)) == 1
    np.testing.assert_allclose(rates, np.full((3, 2), 0.1), rtol=1e-3)
    assert messages(capsys) == {}


def test_an_optimizer_that_makes_no_updates_is_one_warning(capsys):
    class Idle(SGD):
        def apply(self, grads, trainable_variables=None):
            pass

        def stateless_apply(self, optimizer_variables, grads, trainable_variables):
            return trainable_variables, optimizer_variables

    with pytest.warns(RegPlusWarning, match="must make the updates of this training") as caught:
        trained([BAD, BAD], Idle(0.1))
    assert len(ours(caught)) == 1
    assert messages(capsys) == {}


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_restored_action_continues_as_if_nothing_had_happened(epochs):
    verdicts = [BAD, BAD, GOOD, BAD, FLAT, GOOD]

    def run(action, net, begin, end):
        messages = []
        for epoch in range(begin, end):
            net.fit(X, X, verbose=0)
            messages.append(action.update(net, epoch, Diagnosis(verdicts[epoch])))
        return messages

    def fresh():
        net = first_plus_second()
        net.compile(SGD(0.08), "mse")
        return actions.ReduceLearningRate(0.5, cooldown=0), net

    whole, first, second = fresh(), fresh(), fresh()
    told = run(*whole, 0, 6)
    run(*first, 0, epochs)
    # A backup that was written just before the last step of the action.
    second[1].optimizer.build(second[1].trainable_variables)
    second[1].optimizer.learning_rate = first[0].state()["rates"][0][0]
    second[0].restore(second[1], first[0].state())
    assert run(*second, epochs, 6) == told[epochs:]
    assert second[0].state() == whole[0].state()
