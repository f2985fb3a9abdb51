"""Long trainings stay exact: 10,000 batches in an epoch, and steps beyond 2**24."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.regularizers import ScheduledL2
from keras_regplus.schedules import Linear, LinearWarmup, Piecewise, Schedule

from .models import BASE, X, base_penalty, compiled
from .rising import SEVERAL_STEPS_REFUSED, fit, predicted

pytestmark = pytest.mark.filterwarnings("ignore:.*longer than")

BATCHES = 10_000


@pytest.mark.grid
@pytest.mark.parametrize(
    "way",
    [
        pytest.param({}, id="default"),
        pytest.param(
            {"steps_per_execution": 7},
            id="seven steps per execution",
            marks=SEVERAL_STEPS_REFUSED,
        ),
    ],
)
def test_the_parts_of_the_loss_are_exact_over_ten_thousand_batches(way):
    rng = np.random.default_rng(5)
    # The last batch has one row.
    x = rng.normal(size=(2 * BATCHES - 1, 4)).astype("float32")
    y = rng.normal(size=(2 * BATCHES - 1, 2)).astype("float32")
    rise = ScheduledL2(BASE, Linear(2 * BATCHES, 2.0, 3.0))
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, kernel_regularizer=rise)])
    compiled(model, **way)
    history = model.fit(
        x,
        y,
        batch_size=2,
        shuffle=False,
        verbose=0,
        validation_data=(x, y),
        validation_batch_size=2,
        callbacks=[RegularizationScheduler()],
    ).history
    kernel, bias = (w.astype("float64") for w in model.get_weights())
    data = np.mean((x.astype("float64") @ kernel + bias - y) ** 2)
    rows = np.full(BATCHES, 2)
    rows[-1] = 1
    factor = np.average(2.0 + np.arange(BATCHES) / (2 * BATCHES), weights=rows)
    penalty = {"": factor * base_penalty(model), "val_": 2.5 * base_penalty(model)}
    for prefix, expected in penalty.items():
        assert history[f"{prefix}data_loss"] == pytest.approx([data], rel=1e-6)
        assert history[f"{prefix}penalty"] == pytest.approx([expected], rel=1e-6)
        # Keras's own sum is a plain float32 one.
        assert history[f"{prefix}loss"] == pytest.approx([data + expected], rel=1e-5)


FAR = 2**24 + 3


@keras.saving.register_keras_serializable("grid")
class SinceFar(Schedule):
    """2 more than the steps since 2**24 + 3; wrong by whole numbers where `t` is a float32."""

    def __call__(self, t):
        return ops.cast(ops.convert_to_tensor(t) - FAR, "float32") + 2.0


def at_far(schedule):
    rise = ScheduledL2(BASE, schedule)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, kernel_regularizer=rise)])
    compiled(model)
    model.optimizer.iterations.assign(FAR)
    return model


# name: (schedule, its value n steps after FAR)
BEYOND = {
    "warm-up": (LinearWarmup(2**25), lambda n: (FAR + n) / 2**25),
    "whole steps": (SinceFar(), lambda n: 2.0 + n),
    "boundary": (Piecewise([FAR + 2], [1.5, 3.0]), lambda n: 1.5 if n < 2 else 3.0),
    "epochs": (Linear(8, 2.0, 10.0, unit="epoch"), lambda n: 2.0 + n // 3),
}


@pytest.mark.parametrize("name", BEYOND)
def test_steps_beyond_the_whole_numbers_of_float32(name, tmp_path):
    schedule, value = BEYOND[name]
    model = at_far(schedule)
    y = predicted(model)
    run = fit(model, epochs=2, validation_data=(X, y))
    full = base_penalty(model)
    np.testing.assert_allclose(run.loss, [full * value(n) for n in range(6)], rtol=1e-6)
    assert run.val_loss == pytest.approx([full * value(3), full * value(6)], rel=1e-6)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.evaluate(X, y, verbose=0) == pytest.approx(full * value(6), rel=1e-6)
    np.testing.assert_allclose(fit(again).loss, [full * value(n) for n in range(6, 9)], rtol=1e-6)
