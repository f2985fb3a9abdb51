"""A step of a schedule is an update, whatever optimizer counts it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.clock import wiring
from keras_regplus.clock.updates import assign_updates, batches_per_update, updates_finished
from keras_regplus.regularizers import ScheduledL2
from keras_regplus.schedules import Linear
from keras_regplus.testing import frozen_fit

MULTI = pytest.mark.skipif(
    not hasattr(keras.optimizers, "MultiOptimizer"), reason="this Keras has no MultiOptimizer"
)
X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
BATCH, BATCHES = 2, 8


def sgd(accumulate=None):
    return keras.optimizers.SGD(0.0, gradient_accumulation_steps=accumulate)


def mapped(hidden, rest):
    """A `MultiOptimizer` that picks by the path, with its default last."""
    from keras.optimizers import OptimizerMap

    return keras.optimizers.MultiOptimizer(OptimizerMap(rest, {".*hidden.*": hidden}))


def one_each(accumulate):
    """A `MultiOptimizer` that makes an optimizer for each weight."""
    return keras.optimizers.MultiOptimizer(lambda weight: sgd(accumulate))


def scaled(optimizer):
    return keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=4.0)


# Optimizer, and the batches that make one of its updates.
OPTIMIZERS = {
    "plain": (sgd, 1),
    "accumulation": (lambda: sgd(3), 3),
    "scaled": (lambda: scaled(sgd()), 1),
    "scaled accumulation": (lambda: scaled(sgd(3)), 3),
    "multi": (lambda: mapped(sgd(), sgd()), 1),
    "multi, accumulation": (lambda: mapped(sgd(3), sgd(3)), 3),
    "multi, one for each weight": (lambda: one_each(3), 3),
    "scaled multi": (lambda: scaled(mapped(sgd(), sgd())), 1),
    "scaled multi, accumulation": (lambda: scaled(mapped(sgd(3), sgd(3))), 3),
}
optimizers = pytest.mark.parametrize(
    ("make", "batches"),
    [
        pytest.param(*row, id=name, marks=[MULTI] if "multi" in name else [])
        for name, row in OPTIMIZERS.items()
    ],
)


def model_with(optimizer, last="last", is_built=True, **arguments):
    l2 = ScheduledL2(0.1, Linear(100, 1.0, 101.0))
    model = keras.Sequential(
        [
            *([keras.Input((4,))] if is_built else []),
            layers.Dense(3, name="hidden", kernel_regularizer=l2),
            layers.Dense(2, name=last),
        ],
        name="net",
    )
    model.compile(optimizer, "mse", **arguments)
    return model


def base_penalty(model):
    kernel = ops.convert_to_numpy(model.layers[0].kernel).astype("float64")
    return 0.1 * float((kernel**2).sum())


def fit(model, **arguments):
    return frozen_fit(
        model, X, batch_size=BATCH, callbacks=[RegularizationScheduler()], **arguments
    )


@pytest.mark.filterwarnings("ignore:.*longer than")
@optimizers
def test_the_penalty_of_each_batch_is_that_of_the_updates_before_it(make, batches):
    model = model_with(make())
    run = fit(model, epochs=2, validation_data=(X, model.predict(X, verbose=0)))
    updates = np.arange(2 * BATCHES) // batches
    np.testing.assert_allclose(run.loss, base_penalty(model) * (1 + updates), rtol=1e-5)
    after = np.array([BATCHES, 2 * BATCHES]) // batches
    np.testing.assert_allclose(run.val_loss, base_penalty(model) * (1 + after), rtol=1e-5)
    assert int(ops.convert_to_numpy(updates_finished(model))) == 2 * BATCHES // batches
    assert wiring.attach(model).position().step == 2 * BATCHES // batches


@pytest.mark.grid
@pytest.mark.filterwarnings("ignore:.*longer than")
@optimizers
def test_a_second_fit_goes_on_and_a_moment_can_be_set(make, batches):
    model = model_with(make())
    fit(model)
    assign_updates(model, 40)
    run = fit(model)
    np.testing.assert_allclose(
        run.loss, base_penalty(model) * (41 + np.arange(BATCHES) // batches), rtol=1e-5
    )
    assert RegularizationScheduler().verify(model, X[:2], np.zeros((2, 2))).exact


@pytest.mark.filterwarnings("ignore:.*longer than")
@optimizers
def test_on_batches_a_step_is_an_update_too(make, batches):
    model = model_with(make())
    wiring.attach(model)
    y = model.predict(X, verbose=0)
    losses = [float(model.train_on_batch(X[:2], y[:2])) for _ in range(7)]
    np.testing.assert_allclose(
        losses, base_penalty(model) * (1 + np.arange(7) // batches), rtol=1e-5
    )
    assert wiring.attach(model).position().step == 7 // batches


@MULTI
@pytest.mark.filterwarnings("ignore:.*longer than")
def test_an_optimizer_that_updates_no_weight_does_not_count():
    model = model_with(mapped(sgd(3), sgd()), last="hidden_too")
    assert batches_per_update(model) == 3
    run = fit(model)
    np.testing.assert_allclose(
        run.loss, base_penalty(model) * (1 + np.arange(BATCHES) // 3), rtol=1e-5
    )
    assert batches_per_update(model) == 3


@MULTI
@pytest.mark.parametrize("is_built", [True, False], ids=["built", "not built"])
@pytest.mark.parametrize("around", [lambda each: each, scaled], ids=["alone", "scaled"])
def test_optimizers_that_update_at_different_times_are_refused(around, is_built):
    model = model_with(around(mapped(sgd(3), sgd())), is_built=is_built)
    with pytest.raises(
        ValueError,
        match=r"^RegularizationScheduler: `gradient_accumulation_steps` must be the same .*, "
        r"got \[1, 3\]\. Give all of them",
    ):
        model.fit(X, X[:, :2], verbose=0, callbacks=[RegularizationScheduler()])


def test_the_private_names_of_keras_are_where_we_look():
    assert hasattr(sgd(), "_iterations")
    if hasattr(keras.optimizers, "MultiOptimizer"):
        assert hasattr(mapped(sgd(), sgd()), "_optimizer_map")
