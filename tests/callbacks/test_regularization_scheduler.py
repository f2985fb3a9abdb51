"""What `RegularizationScheduler` puts into the logs, and how it behaves."""

import gc
import pickle
import weakref

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.clock import loss_parts
from keras_regplus.layers import DropPath, ScheduledDropout, ScheduledGaussianNoise
from keras_regplus.regularizers import ScheduledL1L2, ScheduledL2
from keras_regplus.schedules import Linear, LinearWarmup

pytestmark = [pytest.mark.meets_keras, pytest.mark.filterwarnings("ignore:.*longer than")]

RNG = np.random.default_rng(0)
# 50 rows in batches of 16: the last batch is uneven.
X, Y = RNG.normal(size=(50, 4)).astype("float32"), RNG.normal(size=(50, 2)).astype("float32")
X_VAL, Y_VAL = (
    RNG.normal(size=(21, 4)).astype("float32"),
    RNG.normal(size=(21, 2)).astype("float32"),
)


def network(*regularizers):
    stack = [layers.Dense(2, kernel_regularizer=r) for r in regularizers]
    return keras.Sequential([keras.Input((4,)), *stack])


def compiled(model, loss=None, optimizer=None, **arguments):
    model.compile(
        optimizer or keras.optimizers.SGD(0.0), loss or keras.losses.MeanSquaredError(), **arguments
    )
    return model


def fit(model, callbacks=None, epochs=2, **arguments):
    callbacks = [RegularizationScheduler()] if callbacks is None else callbacks
    return model.fit(
        X,
        Y,
        batch_size=16,
        epochs=epochs,
        validation_data=(X_VAL, Y_VAL),
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
        **arguments,
    ).history


def mean_squared_error(model, x, y):
    # Not by `predict`, which would be compiled for this alone.
    predicted = ops.convert_to_numpy(model(x, training=False)).astype("float64")
    return float(np.mean((y.astype("float64") - predicted) ** 2))


def squares(model, layer=0):
    return float((ops.convert_to_numpy(model.layers[layer].kernel).astype("float64") ** 2).sum())


# torch.compile takes half a minute for the smallest model, with plain Keras too.
COMPILED = pytest.param(
    {"jit_compile": True}, marks=[pytest.mark.grid] if keras.backend.backend() == "torch" else []
)


@pytest.mark.parametrize("compile_arguments", [{}, COMPILED, {"run_eagerly": True}], ids=str)
def test_data_loss_and_penalty_are_the_true_ones(compile_arguments):
    model = compiled(network(ScheduledL2(0.1, LinearWarmup(6))), **compile_arguments)
    history = fit(model)
    data, validation = mean_squared_error(model, X, Y), mean_squared_error(model, X_VAL, Y_VAL)
    assert history["data_loss"] == pytest.approx([data] * 2, rel=1e-6)
    assert history["val_data_loss"] == pytest.approx([validation] * 2, rel=1e-6)
    # Steps 0 to 3 and 4 to 7; the last batch of each epoch has 2 rows of 50.
    factors = np.minimum(np.arange(8) / 6, 1).reshape(2, 4)
    weighted = factors @ np.array([16, 16, 16, 2]) / 50
    full = 0.1 * squares(model)
    assert history["penalty"] == pytest.approx(full * weighted, rel=1e-6)
    assert history["val_penalty"] == pytest.approx([full * 4 / 6, full], rel=1e-6)
    for prefix in ("", "val_"):
        total = np.add(history[f"{prefix}data_loss"], history[f"{prefix}penalty"])
        assert history[f"{prefix}loss"] == pytest.approx(total, rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*drowns any loss")
def test_data_loss_is_right_where_the_penalty_dominates_it():
    model = compiled(network(ScheduledL2(1e5)))
    assert fit(model)["data_loss"] == pytest.approx([mean_squared_error(model, X, Y)] * 2, rel=1e-6)


def test_a_long_epoch_does_not_drift():
    x, y = np.tile(X[:1], (3000, 1)), np.tile(Y[:1], (3000, 1))
    model = compiled(network(ScheduledL2(0.1)))
    history = model.fit(
        x, y, batch_size=1, verbose=0, callbacks=[RegularizationScheduler()]
    ).history
    assert history["penalty"][0] == pytest.approx(0.1 * squares(model), rel=3e-7)
    assert history["data_loss"][0] == pytest.approx(
        mean_squared_error(model, x[:1], y[:1]), rel=1e-6
    )


def test_several_outputs_with_weights_and_an_add_loss():
    class Adds(layers.Layer):
        def call(self, x):
            self.add_loss(0.25 * ops.mean(x**2))
            return x

    inputs = keras.Input((4,))
    hidden = Adds()(inputs)
    one, two = (layers.Dense(2, kernel_regularizer=ScheduledL2(0.1))(hidden) for _ in range(2))
    model = keras.Model(inputs, [one, two])
    model.compile(keras.optimizers.SGD(0.0), ["mse", "mae"], loss_weights=[0.5, 2.0])
    history = model.fit(
        X, [Y, Y], batch_size=25, verbose=0, callbacks=[RegularizationScheduler()]
    ).history
    first, second = (p.astype("float64") for p in model.predict(X, verbose=0))
    data = 0.5 * np.mean((Y - first) ** 2) + 2.0 * np.mean(np.abs(Y - second))
    penalty = sum(
        0.1 * float((ops.convert_to_numpy(w).astype("float64") ** 2).sum())
        for w in model.trainable_weights
        if w.regularizer is not None
    )
    assert history["data_loss"][0] == pytest.approx(data, rel=1e-6)
    assert history["penalty"][0] == pytest.approx(penalty + 0.25 * np.mean(X**2), rel=1e-6)


def test_strengths_and_rates_are_logged_once_each_as_validation_saw_them():
    model = compiled(
        keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(3, kernel_regularizer=ScheduledL2(0.1, LinearWarmup(8)), name="one"),
                ScheduledDropout(0.5, LinearWarmup(4, "epoch"), name="drop"),
                layers.Dense(3, kernel_regularizer=ScheduledL2(0.1, LinearWarmup(8)), name="two"),
                ScheduledGaussianNoise(3.0, LinearWarmup(4), name="noise"),
                # A rate counts up to 1, whatever its schedule says.
                DropPath(0.5, Linear(8, start=1.0, end=5.0), name="path"),
                layers.Dense(2, kernel_regularizer=ScheduledL1L2(0.2, 0.3), name="three"),
            ],
            name="net",
        )
    )
    history = fit(model)
    found = {
        k: v for k, v in history.items() if k.startswith(("strength/", "rate/", "val_strength"))
    }
    assert found == {
        "strength/net/one/kernel": pytest.approx([0.05, 0.1]),
        "rate/drop": pytest.approx([0.125, 0.25]),
        "rate/net/path": pytest.approx([1.0, 1.0]),
        "strength/net/noise": pytest.approx([3.0, 3.0]),
        "strength/net/three/kernel/l1": pytest.approx([0.2, 0.2]),
        "strength/net/three/kernel/l2": pytest.approx([0.3, 0.3]),
    }


def test_penalties_of_each_weight_on_request():
    model = compiled(network(ScheduledL2(0.1, LinearWarmup(8)), keras.regularizers.L2(0.5)))
    history = fit(model, [RegularizationScheduler(log=False, per_layer=True)])
    paths = [layer.kernel.path for layer in model.layers]
    assert set(history) == {"loss", "val_loss", *(f"penalty/{path}" for path in paths)}
    assert history[f"penalty/{paths[0]}"] == pytest.approx(
        [0.1 * squares(model) * factor for factor in (0.5, 1.0)], rel=1e-5
    )
    assert history[f"penalty/{paths[1]}"] == pytest.approx([0.5 * squares(model, 1)] * 2, rel=1e-5)


@pytest.mark.parametrize(
    "log, keys",
    [
        (False, set()),
        (["penalty"], {"penalty", "val_penalty"}),
        (("data_loss",), {"data_loss", "val_data_loss"}),
    ],
)
def test_each_key_can_be_switched_off(log, keys):
    history = fit(compiled(network(ScheduledL2(0.1))), [RegularizationScheduler(log=log)])
    assert set(history) == {"loss", "val_loss"} | keys


@pytest.mark.parametrize("ours_first", [True, False])
def test_other_callbacks_see_the_keys_wherever_they_stand(ours_first):
    others = [
        keras.callbacks.EarlyStopping("val_data_loss", mode="min", patience=1),
        keras.callbacks.ModelCheckpoint(
            "unused.keras",
            "val_penalty",
            mode="max",
            initial_value_threshold=1e9,
            save_best_only=True,
        ),
    ]
    ours = [RegularizationScheduler()]
    history = fit(
        compiled(network(ScheduledL2(0.1))), ours + others if ours_first else others + ours, 4
    )
    assert len(history["loss"]) == 2


def test_a_plain_model_is_logged_in_silence():
    model = compiled(network(keras.regularizers.L2(0.1)))
    history = fit(model)
    assert history["penalty"] == pytest.approx([0.1 * squares(model)] * 2, rel=1e-6)


def test_a_baseline_without_any_penalty_is_logged_in_silence(recwarn):
    history = fit(compiled(network(None)))
    assert history["penalty"] == history["val_penalty"] == [0.0, 0.0]
    assert history["data_loss"] == pytest.approx(history["loss"], rel=1e-6)
    assert history["val_data_loss"] == pytest.approx(history["val_loss"], rel=1e-6)
    assert not any(issubclass(w.category, RegPlusWarning) for w in recwarn)


def test_a_regularizer_that_comes_too_late_is_told():
    model = network(None)
    model.layers[0].kernel_regularizer = ScheduledL2(0.1)
    with pytest.warns(RegPlusWarning, match=r"kernel_regularizer has no effect: Keras"):
        fit(compiled(model))


class BypassesComputeLoss(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2, kernel_regularizer=ScheduledL2(0.1))

    def call(self, x):
        return self.dense(x)

    def compute_own(self, x, y):
        return ops.mean((self(x) - y) ** 2)


if keras.backend.backend() == "jax":

    def _own_step(self, state, data):
        return {"own": ops.mean(data[0])}, state

else:

    def _own_step(self, data):
        return {"own": self.compute_own(*data)}


BypassesComputeLoss.train_step = BypassesComputeLoss.test_step = _own_step


def test_a_train_step_that_bypasses_compute_loss_gets_no_key_and_one_warning():
    with pytest.warns(RegPlusWarning) as caught:
        history = fit(
            compiled(BypassesComputeLoss()), [RegularizationScheduler(log=["data_loss", "penalty"])]
        )
    ours = [w for w in caught if issubclass(w.category, RegPlusWarning)]
    assert any("the logs get no `data_loss`" in str(w.message) for w in ours)
    assert len(ours) == len({str(w.message) for w in ours})
    assert set(history) == {"own", "val_own"}


def test_a_scheduled_penalty_that_no_step_computes_is_told():
    with pytest.warns(RegPlusWarning, match="never computed in a training step"):
        fit(compiled(BypassesComputeLoss()), [RegularizationScheduler(log=["strength"])])


class NeverUpdates(keras.Sequential):
    """Stands for a step that trains with an optimizer of its own."""

    if keras.backend.backend() == "jax":

        def train_step(self, state, data):
            trainable, non_trainable, optimizer, metrics = state
            logs, state = self.test_step((trainable, non_trainable, metrics), data)
            return logs, (*state[:2], optimizer, state[2])

    else:

        def train_step(self, data):
            return self.test_step(data)


def never_updates(schedule):
    penalty = ScheduledL2(0.1, schedule)
    return NeverUpdates([keras.Input((4,)), layers.Dense(2, kernel_regularizer=penalty)])


def test_an_optimizer_that_makes_no_update_gets_one_warning():
    with pytest.warns(RegPlusWarning, match="made no update in a whole epoch") as caught:
        fit(compiled(never_updates(LinearWarmup(5))))
    assert sum(issubclass(w.category, RegPlusWarning) for w in caught) == 1


@pytest.mark.parametrize("schedule", [None, LinearWarmup(5, "epoch")])
def test_where_nothing_counts_steps_an_optimizer_without_updates_is_no_news(schedule):
    fit(compiled(never_updates(schedule)))


class OwnSignature(keras.Sequential):
    """Has a `compute_loss` that only its own step calls, with arguments of its own."""

    def compute_loss(self, outputs, *, targets):
        return ops.mean((outputs - targets) ** 2) + sum(self.losses)

    def _compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.compute_loss(y_pred, targets=y)


def test_a_compute_loss_with_a_signature_of_its_own_goes_on_working():
    parts = [keras.Input((4,)), layers.Dense(2, kernel_regularizer=ScheduledL2(0.1))]
    model = compiled(OwnSignature(parts))
    history = fit(model)
    data, full = mean_squared_error(model, X, Y), 0.1 * squares(model)
    assert history["loss"] == pytest.approx([data + full] * 2, rel=1e-5)
    assert history["data_loss"] == pytest.approx([data] * 2, rel=1e-5)


def test_when_keras_moves_a_private_name_keys_are_lost_and_no_training(monkeypatch):
    def moved(model):
        raise AttributeError("_compile_loss")

    monkeypatch.setattr(loss_parts, "_note_compiled_loss", moved)
    with pytest.warns(RegPlusWarning, match="_compile_loss") as caught:
        history = fit(compiled(network(ScheduledL2(0.1))))
    assert len(history["loss"]) == 2 and "data_loss" not in history
    messages = [str(w.message) for w in caught if issubclass(w.category, RegPlusWarning)]
    assert len(messages) == 1


def test_a_key_that_is_there_already_is_kept_with_one_warning():
    model = compiled(
        network(ScheduledL2(0.1)), metrics=[keras.metrics.MeanSquaredError(name="penalty")]
    )
    with pytest.warns(RegPlusWarning, match="the logs have a key 'penalty' already") as caught:
        history = fit(model)
    assert sum(issubclass(w.category, RegPlusWarning) for w in caught) == 1
    assert history["penalty"] == pytest.approx([mean_squared_error(model, X, Y)] * 2, rel=1e-5)


class RaisesOnTheHost(ScheduledL2):
    def _strengths(self):
        raise RuntimeError("no")


def test_a_part_that_cannot_tell_its_strength_costs_keys_and_no_training():
    model = compiled(network(RaisesOnTheHost(0.1)))
    with pytest.warns(RegPlusWarning, match="lack its keys") as caught:
        history = fit(model)
    assert sum(issubclass(w.category, RegPlusWarning) for w in caught) == 1
    assert {"loss", "val_loss"} <= set(history) and len(history["loss"]) == 2


def test_it_changes_no_weight():
    def weights(callbacks):
        keras.utils.set_random_seed(0)
        model = compiled(network(keras.regularizers.L2(0.1)), optimizer=keras.optimizers.Adam(0.01))
        fit(model, callbacks)
        return model.get_weights()

    for ours, plain in zip(weights([RegularizationScheduler()]), weights([]), strict=True):
        np.testing.assert_array_equal(ours, plain)


def test_evaluate_and_train_on_batch_return_what_they_did():
    model = compiled(network(ScheduledL2(0.1)))
    fit(model)
    assert isinstance(model.evaluate(X, Y, verbose=0), float)
    assert set(model.evaluate(X, Y, verbose=0, return_dict=True)) == {"loss"}
    assert np.ndim(model.train_on_batch(X, Y)) == 0


def test_evaluate_with_the_callback_in_its_own_list_returns_what_it_did():
    model, scheduler = compiled(network(ScheduledL2(0.1))), RegularizationScheduler()
    fit(model, [scheduler])
    found = model.evaluate(X, Y, verbose=0, return_dict=True, callbacks=[scheduler])
    assert set(found) == {"loss"}


def test_an_evaluation_inside_a_callback_gets_no_keys_and_moves_no_epoch():
    seen = []

    class Evaluates(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(self.model.evaluate(X, Y, verbose=0, return_dict=True))

        def on_epoch_begin(self, epoch, logs=None):
            self.on_epoch_end(epoch)

    model = compiled(network(ScheduledL2(0.1, LinearWarmup(4, "epoch"))))
    history = fit(model, [Evaluates(), RegularizationScheduler(), Evaluates()])
    full, data = 0.1 * squares(model), mean_squared_error(model, X, Y)
    assert all(set(logs) == {"loss"} for logs in seen)
    # Twice before and twice after each of the two epochs; the first ran before ours.
    expected = [data + full * epochs / 4 for epochs in (0, 0, 1, 1, 1, 1, 2, 2)]
    assert [logs["loss"] for logs in seen] == pytest.approx(expected, rel=1e-5)
    assert history["val_penalty"] == pytest.approx([full / 4, full / 2], rel=1e-5)


@pytest.mark.parametrize("bad", [lambda epoch: 0.1, LinearWarmup(10), "penalty", 3, None])
def test_a_schedule_in_first_place_is_a_type_error(bad):
    with pytest.raises(TypeError, match=r"`log` must be .*, got .*\. Schedules go to"):
        RegularizationScheduler(bad)


def test_an_unknown_key_is_a_value_error():
    with pytest.raises(ValueError, match=r"`log` must be .*, got \['strenght'\]"):
        RegularizationScheduler(log=["strenght"])


def test_it_can_be_pickled_before_and_after_a_fit():
    callback = RegularizationScheduler()
    pickle.loads(pickle.dumps(callback))
    fit(compiled(network(ScheduledL2(0.1))), [callback])
    again = pickle.loads(pickle.dumps(callback))
    history = fit(compiled(network(ScheduledL2(0.1))), [again])
    assert "penalty" in history


class OwnLoss(keras.Sequential):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean((y_pred - y) ** 2) + sum(self.losses)


@pytest.mark.parametrize("cls", [keras.Sequential, OwnLoss])
def test_a_model_goes_when_nobody_holds_it(cls):
    model = compiled(cls([keras.Input((4,)), layers.Dense(2, kernel_regularizer=ScheduledL2(0.1))]))
    assert "data_loss" in fit(model)
    held = weakref.ref(model)
    del model
    keras.backend.clear_session()
    gc.collect()
    assert held() is None
