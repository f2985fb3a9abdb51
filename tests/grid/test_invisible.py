"""A clock leaves nothing on a model that a user, a file or Keras could trip over."""

import gc
import weakref

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.layers import ScheduledDropout
from keras_regplus.schedules import Linear

from .models import BASE, BATCH, X, compiled
from .rising import assert_at, fit, penalty, rising, ways

pytestmark = pytest.mark.filterwarnings("ignore:.*longer than")

Y = X[:, :2]


def with_dropout(regularizer, dropout):
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, kernel_regularizer=regularizer),
            dropout,
            layers.BatchNormalization(),
            layers.Dense(2),
        ],
        name="net",
    )


def scheduled():
    return with_dropout(penalty(), ScheduledDropout(0.5, Linear(10), seed=1))


def plain():
    return with_dropout(keras.regularizers.L2(BASE), layers.Dropout(0.5, seed=1))


def both_trained(**compile_arguments):
    """The model and its twin, of plain Keras alone, after a fit."""
    pair = []
    for build, callbacks in ((scheduled, [RegularizationScheduler()]), (plain, [])):
        model = compiled(build(), keras.optimizers.Adam(), metrics=["mae"], **compile_arguments)
        model.fit(X, Y, batch_size=BATCH, verbose=0, validation_data=(X, Y), callbacks=callbacks)
        pair.append(model)
    return pair


SEEN = {
    "get_weights()": lambda m: [w.shape for w in m.get_weights()],
    "weights": lambda m: [(w.name, w.shape) for w in m.weights],
    "trainable weights": lambda m: [(w.name, w.shape) for w in m.trainable_weights],
    "non-trainable weights": lambda m: [(w.name, w.shape) for w in m.non_trainable_weights],
    "count_params()": lambda m: m.count_params(),
    "metrics": lambda m: [metric.name for metric in m.metrics],
    "metrics_names": lambda m: m.metrics_names,
    "metrics' variables": lambda m: [v.path for v in m.metrics_variables],
    "optimizer's variables": lambda m: [v.shape for v in m.optimizer.variables],
    "evaluate": lambda m: len(m.evaluate(X, Y, verbose=0)),
    "evaluate, by name": lambda m: list(m.evaluate(X, Y, verbose=0, return_dict=True)),
    "train_on_batch": lambda m: len(m.train_on_batch(X, Y)),
    "train_on_batch, by name": lambda m: list(m.train_on_batch(X, Y, return_dict=True)),
    "test_on_batch": lambda m: len(m.test_on_batch(X, Y)),
    "test_on_batch, by name": lambda m: list(m.test_on_batch(X, Y, return_dict=True)),
    "a later fit": lambda m: list(m.fit(X, Y, verbose=0, validation_data=(X, Y)).history),
}


@pytest.mark.grid
@ways
def test_what_a_user_sees_is_that_of_the_plain_twin(way):
    ours, twin = both_trained(**way)
    for name, look in SEEN.items():
        assert look(ours) == look(twin), name


def test_the_summary_counts_what_the_plain_twin_has():
    def totals(model):
        lines = []
        model.summary(print_fn=lambda line, **_: lines.extend(line.splitlines()))
        return [line.strip() for line in lines if "params:" in line]

    ours, twin = both_trained()
    assert len(totals(ours)) >= 3
    assert totals(ours) == totals(twin)


def keys_and_shapes(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: getattr(item, "shape", None)}))
    return {name.replace("scheduled_", ""): shape for name, shape in found.items()}


def test_weight_files_and_those_of_the_plain_twin_are_interchangeable(tmp_path):
    pair = both_trained()
    paths = [tmp_path / "ours.weights.h5", tmp_path / "plain.weights.h5"]
    for model, path in zip(pair, paths, strict=True):
        model.save_weights(path)
    assert keys_and_shapes(paths[0]) == keys_and_shapes(paths[1])
    for build, path, source in zip((plain, scheduled), paths, pair, strict=True):
        other = compiled(build(), keras.optimizers.Adam(), metrics=["mae"])
        # Keras loads nothing into an optimizer that is not built.
        other.optimizer.build(other.trainable_variables)
        other.load_weights(path)
        for found, expected in zip(other.get_weights(), source.get_weights(), strict=True):
            np.testing.assert_array_equal(found, expected)
        assert int(other.optimizer.iterations) == int(source.optimizer.iterations)


@pytest.mark.grid
def test_old_model_files_and_those_of_the_plain_twin_are_interchangeable(tmp_path):
    pair = both_trained()
    for number, (source, build) in enumerate(zip(pair, (plain, scheduled), strict=True)):
        source.save(tmp_path / f"{number}.h5")
        other = build()
        other.load_weights(tmp_path / f"{number}.h5")
        for found, expected in zip(other.get_weights(), source.get_weights(), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_a_run_with_the_clock_changes_no_number_of_a_training():
    def weights(callbacks):
        keras.utils.set_random_seed(0)
        model = compiled(plain(), keras.optimizers.Adam(0.01))
        model.fit(X, Y, batch_size=BATCH, epochs=2, verbose=0, callbacks=callbacks)
        return model.get_weights()

    for ours, twins in zip(weights([RegularizationScheduler()]), weights([]), strict=True):
        np.testing.assert_array_equal(ours, twins)


def fitted(model, tmp_path):
    fit(model, validation_data=(X, Y))


def cut_short(model, tmp_path):
    def stop(batch, logs):
        raise KeyboardInterrupt

    stops = keras.callbacks.LambdaCallback(on_train_batch_end=stop)
    with pytest.raises(KeyboardInterrupt):
        fit(model, callbacks=[RegularizationScheduler(), stops])


def saved(model, tmp_path):
    fit(model)
    model.save(tmp_path / "model.keras")


def evaluated(model, tmp_path):
    fit(model)
    model.evaluate(X, Y, verbose=0)


def on_batches(model, tmp_path):
    keras.callbacks.CallbackList([RegularizationScheduler()], model=model)
    model.train_on_batch(X, Y)


@pytest.fixture
def _collected_fast():
    """Collections look at what the test makes, not at all that was imported before."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("_collected_fast")
@pytest.mark.parametrize("use", [fitted, cut_short, saved, evaluated, on_batches])
def test_nothing_keeps_a_model_alive(use, tmp_path):
    model = rising()
    use(model, tmp_path)
    gone = [weakref.ref(model), weakref.ref(model.layers[0]), weakref.ref(model.optimizer)]
    del model
    gc.collect()
    keras.backend.clear_session()
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3


@pytest.mark.usefixtures("_collected_fast")
def test_a_regularizer_that_outlives_its_model_does_not_keep_it_alive():
    rise = penalty()
    model = compiled(
        keras.Sequential([keras.Input((4,)), layers.Dense(2, kernel_regularizer=rise)])
    )
    fit(model)
    gone = weakref.ref(model)
    del model
    gc.collect()
    keras.backend.clear_session()
    gc.collect()
    assert gone() is None
    again = compiled(
        keras.Sequential([keras.Input((4,)), layers.Dense(2, kernel_regularizer=rise)])
    )
    assert_at(fit(again), again, range(3))
