"""Strengths are exact whenever a training begins, goes on, is cut short or is interleaved."""

import threading

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.testing import frozen_fit

from .models import BACKEND, BATCH, X, base_penalty, compiled
from .rising import (
    assert_at,
    at_time,
    fit,
    network,
    ours,
    penalty,
    predicted,
    rising,
    time_of,
    ways,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*longer than")


def sgd():
    return keras.optimizers.SGD(0.0)


@ways
def test_a_second_fit_and_one_without_the_callback_go_on(way):
    model = rising(**way)
    assert_at(fit(model, epochs=2), model, range(6))
    assert_at(fit(model, steps=6), model, range(6, 12))
    plain = fit(model, callbacks=[], validation_data=(X, model.predict(X, verbose=0)))
    assert_at(plain, model, range(12, 15))
    assert set(plain.history) == {"loss", "val_loss"}
    assert_at(fit(model), model, range(15, 18))


@ways
def test_validation_and_evaluation_see_the_next_training_step(way):
    model = rising(**way)
    y = predicted(model)
    run = fit(model, epochs=3, validation_data=(X, y), validation_batch_size=BATCH)
    assert_at(run, model, range(9))
    np.testing.assert_allclose(run.val_loss, base_penalty(model) * np.array([5, 8, 11]), rtol=1e-5)
    assert time_of(model) == at_time(9)
    assert float(ops.convert_to_numpy(sum(model.losses))) == pytest.approx(
        11 * base_penalty(model), rel=1e-5
    )


@ways
def test_validation_every_other_epoch_and_out_of_the_training_data(way):
    model = rising(**way)
    # 8 batches, of which validation takes 2.
    x = np.concatenate([X, X[: 2 * BATCH]])
    run = frozen_fit(
        model,
        x,
        batch_size=BATCH,
        epochs=4,
        validation_split=0.25,
        validation_freq=2,
        callbacks=[RegularizationScheduler()],
    )
    assert_at(run, model, range(24))
    full = base_penalty(model)
    np.testing.assert_allclose(run.history["val_loss"], full * np.array([14, 26]), rtol=1e-5)
    np.testing.assert_allclose(run.history["val_penalty"], full * np.array([14, 26]), rtol=1e-5)
    assert len(run.history["penalty"]) == 4


@ways
def test_a_fit_without_the_callback_and_then_one_with_it(way):
    model = rising(**way)
    with pytest.warns(RegPlusWarning, match="RegularizationScheduler") as caught:
        before = fit(model, callbacks=[])
    assert len(ours(caught)) == 1
    np.testing.assert_allclose(before.loss, base_penalty(model), rtol=1e-5)
    assert_at(fit(model), model, range(3, 6))


@ways
def test_recompiling_starts_at_the_new_optimizers_step(way):
    model, first = rising(**way), sgd()
    assert_at(fit(model), model, range(3))
    compiled(model, first, **way)
    assert_at(fit(model), model, range(3))
    advanced = sgd()
    advanced.iterations.assign(40)
    compiled(model, advanced, **way)
    assert time_of(model) == at_time(40)
    assert_at(fit(model), model, range(40, 43))
    compiled(model, first, **way)
    assert_at(fit(model, callbacks=[]), model, range(3, 6))


@ways
def test_assigned_iterations_count_from_the_first_step_on(way):
    model = rising(**way)
    fit(model)
    model.optimizer.iterations.assign(100)
    assert time_of(model) == at_time(100)
    assert_at(fit(model), model, range(100, 103))
    model.optimizer.iterations.assign(7)
    assert_at(fit(model, callbacks=[]), model, range(7, 10))


@ways
def test_interleaved_fits_of_two_models_keep_apart(way):
    one, two = rising(**way), rising(**way)
    times = {one: 0, two: 0}
    for model, steps in ((one, 3), (two, 6), (one, 6), (two, 3), (one, 3)):
        begin = times[model]
        times[model] += steps
        assert_at(fit(model, steps), model, range(begin, times[model]))
    assert (time_of(one), time_of(two)) == (at_time(12), at_time(9))


def test_one_callback_object_serves_two_models_in_turn():
    one, two, scheduler = rising(), rising(), RegularizationScheduler()
    for begin in (0, 3):
        for model in (one, two):
            run = fit(model, callbacks=[scheduler])
            assert_at(run, model, range(begin, begin + 3))
            assert "penalty" in run.history


@ways
def test_two_models_fitted_in_two_threads_keep_apart(way):
    found = {}
    # Keras builds models by names that threads must not draw at the same time.
    models = {6: rising(**way), 3: rising(**way)}

    def train(steps):
        found[steps] = fit(models[steps], steps, epochs=3)

    workers = [threading.Thread(target=train, args=(steps,)) for steps in models]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for steps, model in models.items():
        assert_at(found[steps], model, range(3 * steps))


class Raises(keras.callbacks.Callback):
    def __init__(self, error, epoch, batch):
        super().__init__()
        self.error, self.moment = error, (epoch, batch)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.moment:
            raise self.error


@ways
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_a_fit_that_was_cut_short_the_next_one_goes_on(way, error):
    model = rising(**way)
    y = predicted(model)
    scheduler = RegularizationScheduler()
    with pytest.raises(error):
        fit(model, 6, callbacks=[scheduler, Raises(error, 0, 2)])
    # The scheduler still lives, and must not answer for a fit that it is no part of.
    plain = fit(model, 6, callbacks=[], validation_data=(X, y))
    assert set(plain.history) == {"loss", "val_loss"}
    assert_at(plain, model, range(3, 9))
    run = fit(model, validation_data=(X, y))
    assert_at(run, model, range(9, 12))
    assert run.history["val_penalty"] == pytest.approx([14 * base_penalty(model)], rel=1e-5)


@ways
def test_epochs_are_counted_over_fits_and_initial_epoch_is_absolute(way):
    model = rising("epoch", **way)
    y = predicted(model)

    def follows(seen, **arguments):
        run = fit(model, 6, validation_data=(X, y), **arguments)
        assert_at(run, model, np.repeat(seen, 6))
        validated = base_penalty(model) * (3.0 + np.array(seen))
        np.testing.assert_allclose(run.val_loss, validated, rtol=1e-5)

    follows([0, 1], epochs=2)
    follows([2], epochs=1)
    follows([5, 6], initial_epoch=5, epochs=7)
    follows([7], epochs=1)
    assert time_of(model) == at_time(8)
    compiled(model, **way)
    follows([0, 1], epochs=2)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_epoch_that_was_cut_short_is_trained_anew(error):
    model = rising("epoch")
    with pytest.raises(error):
        fit(model, epochs=2, callbacks=[RegularizationScheduler(), Raises(error, 1, 1)])
    assert time_of(model) == at_time(1)
    assert_at(fit(model), model, [1, 1, 1])


def attached(model):
    """A model that has met the callback, but no `fit`."""
    keras.callbacks.CallbackList([RegularizationScheduler()], model=model)
    return model


@pytest.mark.parametrize(
    "way",
    [
        pytest.param({}, id="default"),
        pytest.param({"run_eagerly": True}, id="eager", marks=pytest.mark.grid),
        # torch's compiler takes half a minute for it.
        pytest.param(
            {"jit_compile": True},
            id="jit",
            marks=pytest.mark.slow if BACKEND == "torch" else pytest.mark.grid,
        ),
    ],
)
def test_loops_of_train_on_batch_follow_the_schedule(way):
    model = attached(rising(**way))
    x, full = X[:BATCH], base_penalty(model)
    y = predicted(model, x)
    losses = []
    for step in range(4):
        # Before Keras 3.15 both return a mean since the metrics were last reset.
        model.reset_metrics()
        losses.append(float(model.train_on_batch(x, y)))
        model.reset_metrics()
        assert float(model.test_on_batch(x, y)) == pytest.approx(full * (3 + step), rel=1e-5)
    np.testing.assert_allclose(losses, full * (2 + np.arange(4)), rtol=1e-5)
    assert_at(fit(model), model, range(4, 7))
    model.reset_metrics()
    assert float(model.train_on_batch(x, y)) == pytest.approx(full * 9, rel=1e-5)


@pytest.mark.parametrize("frozen", [False, True], ids=["shared", "frozen in the pair"])
@pytest.mark.parametrize(
    "way",
    [{}, pytest.param({"run_eagerly": True}, marks=pytest.mark.grid)],
    ids=["default", "eager"],
)
def test_a_pair_like_a_gan_trained_by_train_on_batch_counts_each_its_own_steps(frozen, way):
    generator, critic = network(), network()
    adapter = layers.Dense(4, kernel_initializer="zeros")
    pair = attached(
        compiled(keras.Sequential([keras.Input((4,)), generator, adapter, critic]), **way)
    )
    attached(compiled(critic, **way))
    x, y = X[:BATCH], np.zeros((BATCH, 2))

    def trained(model, trainable=True):
        critic.trainable = trainable
        model.reset_metrics()
        return float(model.train_on_batch(ops.zeros_like(x), y))

    of_pair, of_critic = [], []
    for _ in range(3):
        of_critic += [trained(critic), trained(critic)]
        of_pair.append(trained(pair, not frozen))
    critic.trainable = True
    both = base_penalty(generator) + (0.0 if frozen else base_penalty(critic))
    np.testing.assert_allclose(of_critic, base_penalty(critic) * (2 + np.arange(6)), rtol=1e-5)
    np.testing.assert_allclose(of_pair, both * (2 + np.arange(3)), rtol=1e-5)


class Rows(keras.utils.PyDataset):
    def __init__(self, x, y, **kwargs):
        super().__init__(**kwargs)
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x) // BATCH

    def __getitem__(self, index):
        rows = slice(index * BATCH, (index + 1) * BATCH)
        return self.x[rows], self.y[rows]


def generator(x, y):
    rows = Rows(x, y)
    while True:
        for index in range(len(rows)):
            yield rows[index]


def dataset(x, y):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)


def loader(x, y):
    import torch

    both = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    return torch.utils.data.DataLoader(both, batch_size=BATCH)


# name: (of x and y, what `fit` needs beside it)
SOURCES = {
    "PyDataset": (Rows, {}),
    "PyDataset with workers": (lambda x, y: Rows(x, y, workers=2), {}),
    "generator": (generator, {"steps_per_epoch": 6}),
    "generator, short epochs": (generator, {"steps_per_epoch": 3}),
}
if BACKEND == "tensorflow":
    SOURCES["tf.data"] = (dataset, {})
    SOURCES["tf.data, repeated"] = (lambda x, y: dataset(x, y).repeat(), {"steps_per_epoch": 6})
if BACKEND == "torch":
    SOURCES["DataLoader"] = (loader, {})


class Means(keras.callbacks.Callback):
    """The loss of each step, from the running means; `frozen_fit` takes arrays only."""

    def __init__(self):
        super().__init__()
        self.loss = []

    def on_epoch_begin(self, epoch, logs=None):
        self._steps, self._sum = 0, 0.0

    def on_train_batch_end(self, batch, logs=None):
        total = logs["loss"] * (batch + 1)
        self.loss.append((total - self._sum) / (batch + 1 - self._steps))
        self._steps, self._sum = batch + 1, total


@ways
@pytest.mark.parametrize("source", SOURCES)
def test_exact_with_every_kind_of_data(source, way):
    make, arguments = SOURCES[source]
    model, means = rising(**way), Means()
    y = predicted(model)
    history = model.fit(
        make(X, y),
        epochs=2,
        shuffle=False,
        verbose=0,
        validation_data=Rows(X, y),
        callbacks=[RegularizationScheduler(), means],
        **arguments,
    ).history
    steps = 2 * arguments.get("steps_per_epoch", 6)
    assert_at(means, model, range(steps))
    full = base_penalty(model)
    assert history["val_penalty"][-1] == pytest.approx((2 + steps) * full, rel=1e-5)
    assert history["penalty"][0] == pytest.approx(full * (2 + (steps / 2 - 1) / 2), rel=1e-5)


@pytest.mark.parametrize("weights", ["class", "sample"])
@ways
def test_the_parts_of_the_loss_are_right_with_weights(way, weights):
    x, labels = X[:, :3], np.arange(len(X)) % 2
    each = np.where(labels == 1, 3.0, 0.5)
    arguments = {
        "class": {"class_weight": {0: 0.5, 1: 3.0}},
        "sample": {"sample_weight": each.astype("float32")},
    }[weights]
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, kernel_regularizer=penalty())])
    compiled(model, **way)
    run = frozen_fit(
        model,
        x,
        labels.astype("float32")[:, None],
        batch_size=BATCH,
        callbacks=[RegularizationScheduler()],
        **arguments,
    )
    kernel, bias = (w.astype("float64") for w in model.get_weights())
    errors = ((x.astype("float64") @ kernel + bias)[:, 0] - labels) ** 2
    # Keras divides by the number of samples, not by the sum of their weights.
    data = np.mean(each * errors)
    strength = base_penalty(model) * np.mean(2.0 + np.arange(6))
    assert run.history["data_loss"] == pytest.approx([data], rel=1e-6)
    assert run.history["penalty"] == pytest.approx([strength], rel=1e-6)
    assert run.history["loss"] == pytest.approx([data + strength], rel=1e-6)


def test_a_later_fit_without_the_callback_counts_its_epochs():
    model = rising("epoch")
    fit(model)
    assert_at(fit(model, epochs=2, callbacks=[]), model, [1, 1, 1, 2, 2, 2])
