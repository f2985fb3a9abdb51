"""Strengths are exact, step by step: where a regularizer sits x how it is compiled x when.

The frozen fit is the oracle: weights stand still, so the loss of a step is
`strength(t) * base * sum(w^2)`, all known in closed form.
"""

import copy
import functools
import gc
import threading
import warnings
import weakref

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_regplus as kr
from keras_regplus import RegPlusWarning, clock
from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.regularizers import Scheduled, ScheduledL2, WarmupL1L2
from keras_regplus.schedules import LinearWarmup
from keras_regplus.testing import frozen_fit

pytestmark = pytest.mark.filterwarnings("ignore:.*longer than")

BACKEND = keras.backend.backend()
BASE, WARMUP = 0.1, 10
BATCH, STEPS = 8, 6
X = np.random.default_rng(0).normal(size=(BATCH * STEPS, 4)).astype("float32")
SEQUENCES = np.random.default_rng(1).normal(size=(BATCH * STEPS, 3, 4)).astype("float32")
IMAGES = np.random.default_rng(2).normal(size=(BATCH * STEPS, 4, 4, 2)).astype("float32")
WORDS = np.random.default_rng(3).integers(0, 7, size=(BATCH * STEPS, 3))


def l2():
    return ScheduledL2(BASE, LinearWarmup(WARMUP))


def warmed(steps):
    """The factor at each of `steps`, written down once more."""
    return np.array([min(t / WARMUP, 1.0) for t in steps])


def base_penalty(model):
    """`base * sum(w^2)` over all weights that have a penalty, in float64."""
    return BASE * sum(
        float(np.sum(ops.convert_to_numpy(w).astype("float64") ** 2))
        for w in model.trainable_weights
        if w.regularizer is not None
    )


def number_of_ours(caught):
    return sum(issubclass(warning.category, RegPlusWarning) for warning in caught)


def compiled(model, optimizer=None, **arguments):
    model.compile(
        optimizer or keras.optimizers.SGD(0.0), keras.losses.MeanSquaredError(), **arguments
    )
    return model


def sequential():
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(5, kernel_regularizer=l2()), layers.Dense(2)]
    )


def unbuilt_sequential():
    return keras.Sequential([layers.Dense(5, kernel_regularizer=l2()), layers.Dense(2)])


def functional():
    inputs = keras.Input((4,))
    hidden = layers.Dense(5, kernel_regularizer=l2(), bias_regularizer=l2())(inputs)
    return keras.Model(inputs, layers.Dense(2)(hidden) + layers.Dense(2)(inputs))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = layers.Dense(5, kernel_regularizer=l2())
        self.out = layers.Dense(2)

    def call(self, x):
        return self.out(self.hidden(x))


class OnlyAddsWeight(layers.Layer):
    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], 2), regularizer=l2())

    def call(self, x):
        return ops.matmul(x, self.w)


def nested():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, kernel_regularizer=l2())])
    return keras.Sequential([keras.Input((4,)), inner, layers.Dense(2, kernel_regularizer=l2())])


def shared_instance():
    one = l2()
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, kernel_regularizer=one, bias_regularizer=one),
            layers.Dense(2, kernel_regularizer=one),
        ]
    )


def recurrent():
    penalties = {f"{name}_regularizer": l2() for name in ("kernel", "recurrent", "bias")}
    return keras.Sequential(
        [
            keras.Input((3, 4)),
            layers.Bidirectional(layers.GRU(2, return_sequences=True, **penalties)),
            layers.LSTM(3, **penalties),
        ]
    )


def attention():
    inputs = keras.Input((3, 4))
    attend = layers.MultiHeadAttention(2, 3, kernel_regularizer=l2())
    return keras.Model(
        inputs,
        layers.TimeDistributed(layers.Dense(2, kernel_regularizer=l2()))(attend(inputs, inputs)),
    )


def convolutional():
    conv = layers.SeparableConv2D(
        3, 2, depthwise_regularizer=l2(), pointwise_regularizer=l2(), bias_regularizer=l2()
    )
    return keras.Sequential([keras.Input((4, 4, 2)), conv, layers.Flatten(), layers.Dense(2)])


def embedding():
    return keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            layers.Embedding(7, 2, embeddings_regularizer=l2()),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )


def wrapped():
    schedule = LinearWarmup(WARMUP)
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, kernel_regularizer=Scheduled(keras.regularizers.L2(BASE), schedule)),
            layers.Dense(2, kernel_regularizer=WarmupL1L2(l2=BASE, warmup=WARMUP)),
        ]
    )


WHERE = {
    "sequential": (sequential, X),
    "unbuilt sequential": (unbuilt_sequential, X),
    "functional": (functional, X),
    "subclassed": (Subclassed, X),
    "add_weight only": (lambda: keras.Sequential([OnlyAddsWeight()]), X),
    "nested": (nested, X),
    "shared instance": (shared_instance, X),
    "recurrent": (recurrent, SEQUENCES),
    "attention": (attention, SEQUENCES),
    "convolutional": (convolutional, IMAGES),
    "embedding": (embedding, WORDS),
    "wrapped": (wrapped, X),
}


@pytest.mark.parametrize("where", WHERE)
def test_exact_wherever_the_regularizer_sits(where):
    build, x = WHERE[where]
    keras.utils.set_random_seed(0)
    model = compiled(build())
    y = model.predict(x, verbose=0)
    run = frozen_fit(
        model,
        x,
        y,
        batch_size=BATCH,
        epochs=2,
        validation_data=(x, y),
        callbacks=[RegularizationScheduler()],
    )
    full = base_penalty(model)
    np.testing.assert_allclose(run.loss, full * warmed(range(12)), rtol=1e-5, atol=1e-6 * full)
    np.testing.assert_allclose(run.val_loss, full * warmed([6, 12]), rtol=1e-5)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(full, rel=1e-5)
    assert float(ops.convert_to_numpy(sum(model.losses))) == pytest.approx(full, rel=1e-5)


def scaled(**arguments):
    return lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.0, **arguments))


def accumulating(n):
    return lambda: keras.optimizers.SGD(0.0, gradient_accumulation_steps=n)


# name: (optimizer, compile arguments, updates finished before each batch)
HOW = {
    "default": (None, {}, range(12)),
    "jit": (None, {"jit_compile": True}, range(12)),
    "no jit": (None, {"jit_compile": False}, range(12)),
    "eager": (None, {"run_eagerly": True}, range(12)),
    "accumulation of 2": (accumulating(2), {}, [t // 2 for t in range(12)]),
    "accumulation of 3": (accumulating(3), {}, [t // 3 for t in range(12)]),
    "loss scale": (scaled(), {}, range(12)),
    "loss scale, accumulation of 2": (
        scaled(gradient_accumulation_steps=2),
        {},
        [t // 2 for t in range(12)],
    ),
}


# torch.compile takes half a minute for the smallest model, with plain Keras too.
COMPILED_BY_TORCH = [pytest.mark.grid] if BACKEND == "torch" else []


@pytest.mark.parametrize(
    "how",
    [pytest.param(how, marks=COMPILED_BY_TORCH if "jit" in how.split(", ") else []) for how in HOW],
)
def test_exact_however_the_model_is_compiled(how):
    optimizer, arguments, updates = HOW[how]
    model = compiled(sequential(), optimizer and optimizer(), **arguments)
    run = frozen_fit(model, X, batch_size=BATCH, epochs=2, callbacks=[RegularizationScheduler()])
    full = base_penalty(model)
    np.testing.assert_allclose(run.loss, full * warmed(updates), rtol=1e-5, atol=1e-6 * full)


@pytest.mark.skipif(
    BACKEND == "torch", reason="Keras itself refuses steps_per_execution > 1 on torch (ValueError)"
)
@pytest.mark.parametrize("steps", [3, 4])
@pytest.mark.parametrize("accumulate", [None, 2])
def test_exact_with_several_steps_per_execution(steps, accumulate):
    optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=accumulate)
    model = compiled(sequential(), optimizer, steps_per_execution=steps)
    run = frozen_fit(model, X, batch_size=BATCH, epochs=2, callbacks=[RegularizationScheduler()])
    factors = warmed([t // (accumulate or 1) for t in range(12)]).reshape(2, STEPS)
    groups = [epoch[i : i + steps].mean() for epoch in factors for i in range(0, STEPS, steps)]
    np.testing.assert_allclose(run.loss, base_penalty(model) * np.array(groups), rtol=1e-5)


def test_keras_refuses_several_steps_per_execution_on_torch():
    if BACKEND != "torch":
        pytest.skip("the reason for the skip above is a fact about torch alone")
    with pytest.raises(ValueError, match="steps_per_execution"):
        compiled(sequential(), steps_per_execution=2).fit(X, X[:, :2], verbose=0)


@pytest.mark.parametrize("policy, tolerance", [("mixed_float16", 3e-3), ("mixed_bfloat16", 1e-2)])
def test_exact_in_mixed_precision(policy, tolerance):
    with_policy = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, kernel_regularizer=l2(), dtype=policy),
            layers.Dense(2, dtype="float32"),
        ]
    )
    model = compiled(with_policy)
    run = frozen_fit(model, X, batch_size=BATCH, epochs=2, callbacks=[RegularizationScheduler()])
    full = base_penalty(model)
    np.testing.assert_allclose(run.loss, full * warmed(range(12)), atol=tolerance * full)


def test_a_step_that_the_loss_scaler_skips_does_not_count():
    x = X.copy()
    x[2 * BATCH] = np.inf
    model = compiled(sequential(), keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.0)))
    model.fit(
        x,
        X[:, :2],
        batch_size=BATCH,
        verbose=0,
        shuffle=False,
        callbacks=[RegularizationScheduler()],
    )
    expected = base_penalty(model) * warmed([5])[0]
    assert float(ops.convert_to_numpy(sum(model.losses))) == pytest.approx(expected, rel=1e-5)


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


def test_epochs_are_counted_over_fits_and_initial_epoch_is_absolute():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(2, kernel_regularizer=ScheduledL2(BASE, LinearWarmup(8, "epoch"))),
        ]
    )
    compiled(model)
    y = model.predict(X, verbose=0)

    def fit(**arguments):
        run = frozen_fit(
            model,
            X,
            y,
            batch_size=24,
            validation_data=(X, y),
            callbacks=[RegularizationScheduler()],
            **arguments,
        )
        return np.array(run.loss)[::2] / base_penalty(model), np.array(run.val_loss) / base_penalty(
            model
        )

    def expect(found, train):
        np.testing.assert_allclose(found[0], np.array(train) / 8, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found[1], (np.array(train) + 1) / 8, rtol=1e-5)

    expect(fit(epochs=2), [0, 1])
    expect(fit(epochs=1), [2])
    expect(fit(initial_epoch=5, epochs=7), [5, 6])
    compiled(model)
    expect(fit(epochs=2), [0, 1])


def test_a_later_fit_without_the_callback_goes_on():
    model = compiled(sequential())
    frozen_fit(model, X[:24], batch_size=BATCH, callbacks=[RegularizationScheduler()])
    run = frozen_fit(model, X, batch_size=BATCH)
    np.testing.assert_allclose(run.loss, base_penalty(model) * warmed(range(3, 9)), rtol=1e-5)
    assert set(run.history) == {"loss"}


def test_a_fit_without_the_callback_and_then_one_with_it():
    model = compiled(sequential())
    full = base_penalty(model)
    with pytest.warns(RegPlusWarning, match="RegularizationScheduler") as caught:
        before = frozen_fit(model, X[:24], batch_size=BATCH)
    assert number_of_ours(caught) == 1
    np.testing.assert_allclose(before.loss, full, rtol=1e-5)
    after = frozen_fit(model, X[:24], batch_size=BATCH, callbacks=[RegularizationScheduler()])
    np.testing.assert_allclose(after.loss, full * warmed([3, 4, 5]), rtol=1e-5)


def test_forgotten_callback_warns_once_a_model_and_stays_at_full_strength():
    for _ in range(2):
        model = compiled(shared_instance())
        with pytest.warns(RegPlusWarning, match=model.name) as caught:
            run = frozen_fit(model, X, batch_size=BATCH, epochs=2)
        assert number_of_ours(caught) == 1
        np.testing.assert_allclose(run.loss, base_penalty(model), rtol=1e-5)


def test_an_outer_model_without_a_clock_never_takes_the_inner_ones():
    inner = compiled(sequential())
    frozen_fit(inner, X, batch_size=BATCH, callbacks=[RegularizationScheduler()])
    outer = compiled(keras.Sequential([keras.Input((4,)), inner]))
    with pytest.warns(RegPlusWarning, match=outer.name) as caught:
        run = frozen_fit(outer, X, batch_size=BATCH)
    assert number_of_ours(caught) == 1
    np.testing.assert_allclose(run.loss, base_penalty(outer), rtol=1e-5)


def test_two_models_that_share_a_layer_have_a_clock_each():
    shared = layers.Dense(5, kernel_regularizer=l2())
    inputs = keras.Input((4,))
    first = compiled(keras.Model(inputs, shared(inputs)))
    second = compiled(keras.Model(inputs, layers.Dense(2)(shared(inputs))))
    callback = RegularizationScheduler
    full = base_penalty(first)
    one = frozen_fit(first, X, batch_size=BATCH, callbacks=[callback()])
    two = frozen_fit(second, X[:24], batch_size=BATCH, callbacks=[callback()])
    again = frozen_fit(first, X, batch_size=BATCH, callbacks=[callback()])
    np.testing.assert_allclose(
        one.loss + again.loss, full * warmed(range(12)), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(two.loss, full * warmed(range(3)), rtol=1e-5, atol=1e-6)


def test_two_models_fitted_in_two_threads_keep_apart():
    found = {}

    def train(name, steps):
        model = compiled(sequential())
        run = frozen_fit(
            model,
            X[: BATCH * steps],
            batch_size=BATCH,
            epochs=3,
            callbacks=[RegularizationScheduler()],
        )
        found[name] = np.array(run.loss) / base_penalty(model)

    workers = [
        threading.Thread(target=train, args=(name, steps)) for name, steps in (("a", 6), ("b", 2))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    np.testing.assert_allclose(found["a"], warmed(range(18)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["b"], warmed(range(6)), rtol=1e-5, atol=1e-6)


def test_recompiling_with_another_optimizer_starts_at_its_step():
    model = compiled(sequential())
    frozen_fit(model, X, batch_size=BATCH, callbacks=[RegularizationScheduler()])
    compiled(model)
    run = frozen_fit(model, X[:16], batch_size=BATCH, callbacks=[RegularizationScheduler()])
    np.testing.assert_allclose(run.loss, base_penalty(model) * warmed([0, 1]), rtol=1e-5, atol=1e-6)


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


class Boom(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 3:
            raise RuntimeError("boom")


def test_after_a_fit_that_raised_the_next_one_is_exact_and_the_logs_are_clean():
    model = compiled(sequential())
    y = model.predict(X, verbose=0)
    with pytest.raises(RuntimeError, match="boom"):
        model.fit(
            X,
            y,
            batch_size=BATCH,
            shuffle=False,
            verbose=0,
            callbacks=[RegularizationScheduler(), Boom()],
        )
    plain = frozen_fit(model, X, y, batch_size=BATCH, validation_data=(X, y))
    assert set(plain.history) == {"loss", "val_loss"}
    np.testing.assert_allclose(plain.loss, base_penalty(model) * warmed(range(4, 10)), rtol=1e-5)


def test_train_on_batch_follows_the_schedule_once_the_clock_is_attached():
    model = compiled(sequential())
    y = model.predict(X, verbose=0)
    callbacks = keras.callbacks.CallbackList([RegularizationScheduler()], model=model)
    assert callbacks is not None

    def loss_of_one(on_batch):
        # Before Keras 3.15 it is a mean since the metrics were last reset.
        model.reset_metrics()
        return on_batch(X[:8], y[:8])

    losses = [loss_of_one(model.train_on_batch) for _ in range(4)]
    tested = loss_of_one(model.test_on_batch)
    full = base_penalty(model)
    np.testing.assert_allclose(losses, full * warmed(range(4)), rtol=1e-5, atol=1e-6)
    assert float(tested) == pytest.approx(full * 0.4, rel=1e-5)


def trained(**arguments):
    model = compiled(sequential(), **arguments)
    frozen_fit(model, X[:32], batch_size=BATCH, callbacks=[RegularizationScheduler()])
    return model


def test_a_reloaded_model_evaluates_the_same_and_goes_on(tmp_path):
    model = trained()
    y = model.predict(X, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RegPlusWarning)
        assert loaded.evaluate(X, y, verbose=0) == pytest.approx(
            0.4 * base_penalty(model), rel=1e-5
        )
    run = frozen_fit(loaded, X[:16], batch_size=BATCH, callbacks=[RegularizationScheduler()])
    np.testing.assert_allclose(run.loss, base_penalty(model) * warmed([4, 5]), rtol=1e-5)


def test_a_reloaded_model_trained_without_the_callback_stays_where_it_was_and_warns(tmp_path):
    model = trained()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    with pytest.warns(RegPlusWarning, match="saved at") as caught:
        run = frozen_fit(loaded, X, batch_size=BATCH)
    assert number_of_ours(caught) == 1
    np.testing.assert_allclose(run.loss, 0.4 * base_penalty(model), rtol=1e-5)


def test_weight_files_carry_the_step_with_the_optimizer(tmp_path):
    model = trained()
    model.save_weights(tmp_path / "w.weights.h5")
    fresh = compiled(sequential())
    fresh.load_weights(tmp_path / "w.weights.h5")
    run = frozen_fit(fresh, X[:16], batch_size=BATCH, callbacks=[RegularizationScheduler()])
    np.testing.assert_allclose(run.loss, base_penalty(model) * warmed([4, 5]), rtol=1e-5)


def test_a_clone_starts_where_its_own_optimizer_does():
    model = trained()
    clone = compiled(keras.models.clone_model(model))
    run = frozen_fit(clone, X[:16], batch_size=BATCH, callbacks=[RegularizationScheduler()])
    np.testing.assert_allclose(run.loss, base_penalty(clone) * warmed([0, 1]), rtol=1e-5, atol=1e-6)


def test_the_gain_changes_a_compiled_step_and_is_saved(tmp_path):
    class Louder(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                clock.attach(self.model).set_gain(3.0)

    model = compiled(sequential())
    run = frozen_fit(model, X, batch_size=BATCH, callbacks=[RegularizationScheduler(), Louder()])
    full = base_penalty(model)
    gains = np.array([1, 1, 1, 3, 3, 3])
    np.testing.assert_allclose(run.loss, full * gains * warmed(range(6)), rtol=1e-5, atol=1e-6)
    y = model.predict(X, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(X, y, verbose=0) == pytest.approx(3 * 0.6 * full, rel=1e-5)
    again = frozen_fit(
        loaded, X[:8], y[:8], batch_size=BATCH, callbacks=[RegularizationScheduler()]
    )
    np.testing.assert_allclose(again.loss, [3 * 0.6 * full], rtol=1e-5)


@pytest.mark.skipif(BACKEND == "torch", reason="torch runs eagerly: there is nothing to trace")
def test_a_whole_schedule_is_one_trace():
    calls = []

    @keras.saving.register_keras_serializable("test_clock")
    class Counting(ScheduledL2):
        def __call__(self, x):
            calls.append(1)
            return super().__call__(x)

    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(2, kernel_regularizer=Counting(BASE, LinearWarmup(WARMUP))),
        ]
    )
    compiled(model)
    frozen_fit(model, X[:16], batch_size=BATCH, epochs=2, callbacks=[RegularizationScheduler()])
    traced = len(calls)
    frozen_fit(model, X, batch_size=BATCH, epochs=3, callbacks=[RegularizationScheduler()])
    assert len(calls) == traced


def plain_twin():
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, kernel_regularizer=keras.regularizers.L2(BASE)),
            layers.Dense(2),
        ]
    )


def test_the_clock_is_invisible(tmp_path):
    model, twin = compiled(sequential(), metrics=["mae"]), compiled(plain_twin(), metrics=["mae"])
    y = X[:, :2]
    model.fit(X, y, verbose=0, callbacks=[RegularizationScheduler()])
    twin.fit(X, y, verbose=0)
    assert len(model.get_weights()) == len(twin.get_weights())
    assert model.count_params() == twin.count_params()
    assert model.metrics_names == twin.metrics_names
    assert len(model.metrics) == len(twin.metrics)
    assert len(model.evaluate(X, y, verbose=0)) == len(twin.evaluate(X, y, verbose=0))
    assert len(model.train_on_batch(X, y)) == len(twin.train_on_batch(X, y))
    assert len(model.test_on_batch(X, y)) == len(twin.test_on_batch(X, y))
    model.save_weights(tmp_path / "ours.weights.h5")
    twin.save_weights(tmp_path / "plain.weights.h5")
    twin.load_weights(tmp_path / "ours.weights.h5")
    model.load_weights(tmp_path / "plain.weights.h5")


def test_a_model_in_training_can_be_saved_copied_and_summarised(tmp_path):
    seen = []

    class Meddler(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.save(tmp_path / f"{epoch}.keras")
            copied = copy.deepcopy(self.model)
            keras.models.clone_model(self.model)
            self.model.summary(print_fn=lambda line, **_: None)
            seen.append(copied.evaluate(X, y, verbose=0))

    model = compiled(sequential())
    y = model.predict(X, verbose=0)
    run = frozen_fit(
        model, X, y, batch_size=BATCH, epochs=2, callbacks=[RegularizationScheduler(), Meddler()]
    )
    full = base_penalty(model)
    np.testing.assert_allclose(run.loss, full * warmed(range(12)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(seen, full * warmed([6, 12]), rtol=1e-5)


def test_a_model_with_a_clock_can_be_collected():
    model = trained()
    gone = weakref.ref(model)
    del model
    gc.collect()
    keras.backend.clear_session()
    gc.collect()
    assert gone() is None


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
