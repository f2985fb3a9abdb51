"""Strengths are exact wherever a regularizer sits and however its model is compiled.

The frozen fit is the oracle: weights stand still, so the loss of a step is the
strength at that step times a penalty known in closed form. `docs/grid.md` is written
from the outcome of these tests.
"""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.testing.frozen import FrozenFit, _StepLosses

from .compilations import HOW, reason_against
from .models import (
    BACKEND,
    BATCH,
    SEQUENCES,
    STEPS,
    X,
    averages_activities,
    compiled,
    sequential,
    warmed,
)
from .places import WHERE

# A fit here is one epoch, shorter than the schedule: full strength at its end would
# not tell an exact evaluation from one that ignores the schedule.
pytestmark = pytest.mark.filterwarnings("ignore:.*longer than")

SPOILED = 2  # the batch that the loss scaler has to skip


class Training:
    """A model fitted for an epoch at a time, and what that must show."""

    def __init__(self, place, column, model, batches):
        loss = place.loss or keras.losses.MeanSquaredError()
        self.place, self.column = place, column
        self.model = compiled(model, column.optimizer(), loss, **column.arguments)
        self.x = place.x[: batches * BATCH]
        self.y = self.predictions() if place.y is None else place.y[: batches * BATCH]
        self.batches, self.done = batches, 0

    def epoch_is_exact(self):
        spoil = self.column.skips and self.done == 0
        run = self.fit(spoiled(self.y) if spoil else self.y)
        train, evaluated, first = self.expected()
        if not spoil:  # there the running mean of the loss is not finite
            self.near(run.loss, grouped(train, self.column.group))
        self.near(run.val_loss, [evaluated])
        again = self.model.evaluate(
            self.x, self.y, batch_size=len(self.x), verbose=0, return_dict=True
        )
        self.near(again["loss"], evaluated)
        self.model(self.x[:BATCH])
        self.near(float(ops.convert_to_numpy(sum(self.model.losses))), first)

    def predictions(self):
        batches = np.split(self.x, len(self.x) // BATCH)
        return np.concatenate(
            [ops.convert_to_numpy(ops.cast(self.model(x), "float32")) for x in batches]
        )

    def fit(self, y):
        # As `frozen_fit`, which wants a model that has its weights.
        run = FrozenFit()
        run.history = self.model.fit(
            self.x,
            y,
            batch_size=BATCH,
            validation_data=(self.x, self.y),
            validation_batch_size=len(self.x),
            shuffle=False,
            verbose=0,
            callbacks=[RegularizationScheduler(self.place.log), _StepLosses(run)],
        ).history
        self.done += self.batches
        return run

    def expected(self):
        """Losses of the steps of the last epoch, of an evaluation and of its first batch."""
        core = getattr(self.model, "inner", self.model)
        full = np.broadcast_to(self.place.full(core), STEPS)[: self.batches]
        before = np.arange(self.done - self.batches, self.done)
        now = self.strength(self.done)
        train = self.place.training(core, full, self.strength, before)
        return train, full.mean() * now, full[0] * now

    def strength(self, batches):
        """After so many batches, by the updates that they make."""
        batches = np.asarray(batches)
        skipped = np.where(batches > SPOILED, 1, 0) if self.column.skips else 0
        updates = (batches - skipped) // self.column.accumulate
        return warmed(updates.ravel()).reshape(updates.shape)

    def near(self, found, expected):
        atol = self.column.atol * np.max(np.abs(expected))
        np.testing.assert_allclose(found, expected, rtol=self.column.rtol, atol=atol)


def grouped(losses, size):
    """Their means over the steps of each execution."""
    return [losses[i : i + size].mean() for i in range(0, len(losses), size)]


def spoiled(y):
    y = y.copy()
    y[SPOILED * BATCH] = np.inf
    return y


def assert_exact(where, how):
    if where == "kernel, bias and activity" and not averages_activities():
        pytest.skip("an older Keras adds activities up, and the closed form here is of their mean")
    place, column = WHERE[where], HOW[how]
    keras.config.set_dtype_policy(column.policy)
    try:
        built = place.build()
        models = built if isinstance(built, tuple) else (built,)
        # A second model trains in turn with the first, for fewer batches.
        trainings = [
            Training(place, column, column.around(model), STEPS // (i + 1))
            for i, model in enumerate(models)
        ]
        for _ in range(2):
            for training in trainings:
                training.epoch_is_exact()
    finally:
        keras.config.set_dtype_policy("float32")


def cells(rows, columns):
    """What can be asked of this backend, with ids that `report.py` reads."""
    return [
        pytest.param(where, how, id=f"{where}|{how}")
        for where in rows
        for how in columns
        if reason_against(where, how) is None
    ]


@pytest.mark.grid
@pytest.mark.parametrize("where, how", cells(WHERE, HOW))
def test_exact(where, how):
    assert_exact(where, how)


# `Bidirectional` holds a GRU; the other two share its code.
PLACES = [where for where in WHERE if where not in ("LSTM", "GRU")]


@pytest.mark.parametrize("where, how", cells(PLACES, ["default"]))
def test_exact_wherever_the_regularizer_sits(where, how):
    assert_exact(where, how)


# Left to the wide grid: columns that share their code with others here, and what
# torch.compile takes half a minute for. `default` is a column of the test above.
ONLY_IN_GRID = ["default", "jit_compile=False", "steps_per_execution=3", "accumulation of 3"]
if BACKEND == "torch":
    ONLY_IN_GRID.append("jit_compile=True")
EVERY_DAY = [how for how in HOW if how not in ONLY_IN_GRID]


@pytest.mark.parametrize("where, how", cells(["Sequential"], EVERY_DAY))
def test_exact_however_the_model_is_compiled(where, how):
    assert_exact(where, how)


@pytest.mark.skipif(BACKEND != "torch", reason="why torch has no such column")
def test_keras_itself_refuses_several_steps_per_execution_on_torch():
    with pytest.raises(ValueError, match="steps_per_execution"):
        compiled(sequential(), steps_per_execution=2).fit(X, X[:, :2], verbose=0)


@pytest.mark.skipif(BACKEND != "jax", reason="why JAX has no such cell")
def test_jax_itself_has_no_float16_attention_on_a_cpu():
    inputs = keras.Input((3, 4))
    attend = layers.MultiHeadAttention(2, 3, dtype="mixed_float16")
    model = compiled(keras.Model(inputs, attend(inputs, inputs)))
    with pytest.raises(ValueError, match="F16_F16_F32"):
        model.predict(SEQUENCES, verbose=0)
