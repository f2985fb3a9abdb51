"""The logs are true of training steps and losses that a user has written.

The fit is frozen: weights stand still, so a penalty is its base value times the schedule
times a sum of squares that the table knows, and all else is what a twin of plain Keras
reports that has no penalty.
"""

from __future__ import annotations

import functools
import re
import warnings

import keras
import numpy as np
import pytest
from keras import layers

from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.layers import ScheduledDropout
from keras_regplus.regularizers import ScheduledL2
from keras_regplus.schedules import Constant, LinearWarmup

from .gan import UntoldWgan, Wgan, untold_wgan_losses, wgan_losses
from .models import BACKEND, compiled, in_floatx
from .rising import ours
from .user_rows import KERNEL, NO_COMPUTE_LOSS, ROWS
from .user_steps import FEATURES, OUTPUTS, ran

BASE, WARMUP, RATE = 0.1, 6, 0.5
BATCH, EPOCHS = 4, 2
SIZES = np.array([4, 4, 2])
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(SIZES.sum(), FEATURES)).astype("float32")
Y = RANDOM.normal(size=(SIZES.sum(), OUTPUTS)).astype("float32")


class Scheduled:
    """Makes the parts of a model that the package is about."""

    def l2(self):
        return ScheduledL2(BASE, LinearWarmup(WARMUP))

    def dropout(self):
        return ScheduledDropout(RATE, LinearWarmup(WARMUP), seed=1, name="drop")


class AtFull(Scheduled):
    """Makes them with nothing that moves."""

    def l2(self):
        return ScheduledL2(BASE, Constant(1.0))

    def dropout(self):
        return ScheduledDropout(RATE, seed=1, name="drop")


class Plain:
    """Makes them for a twin of plain Keras."""

    def __init__(self, base):
        self.base = base

    def l2(self):
        return keras.regularizers.L2(self.base) if self.base else None

    def dropout(self):
        return layers.Dropout(RATE, seed=1, name="drop")


class Fit:
    """A fit of a row's model, frozen unless it has a learning rate, and all that came of it."""

    def __init__(self, row, parts, callbacks=(), rate=0.0, **compile_arguments):
        keras.utils.set_random_seed(0)
        ran.clear()
        with in_floatx(row.floatx), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.model = row.build(parts)
            optimizer = keras.optimizers.SGD(rate)
            self.model.compile(optimizer, **row.compiled, **compile_arguments)
            data = data_of(row)
            self.history = self.model.fit(
                *data,
                batch_size=BATCH,
                epochs=EPOCHS,
                shuffle=False,
                verbose=0,
                validation_data=data,
                callbacks=list(callbacks),
            ).history
        self.messages = ours(caught)
        self.ran = len(ran)


def data_of(row):
    if not row.has_targets:
        return (X,)
    return X, {"near": Y, "far": Y} if "loss_weights" in row.compiled else Y


@functools.cache
def without_penalty(name, eager=False):
    return Fit(ROWS[name], Plain(0.0), run_eagerly=eager)


def batch_weighted(values):
    return np.average(values, axis=-1, weights=SIZES)


def factors():
    """The factor of each step, a row for each epoch, and of the evaluation after it."""
    done = np.arange(EPOCHS * len(SIZES)).reshape(EPOCHS, -1)
    return np.minimum(done / WARMUP, 1.0), np.minimum((done[:, -1] + 1) / WARMUP, 1.0)


def in_the_loss(row, parts):
    """What is in the loss of each epoch and of each evaluation because of a penalty."""
    train, evaluated = factors() if parts is Scheduled else (np.ones((EPOCHS, 3)), np.ones(EPOCHS))
    mean = train.mean(axis=-1) if row.mean_over_batches else batch_weighted(train)
    val_squares = row.squares if row.val_squares is None else row.val_squares
    return {"loss": BASE * row.squares * mean, "val_loss": BASE * val_squares * evaluated}


def assert_history(row, found, expected):
    for key, values in expected.items():
        assert len(found[key]) == EPOCHS, f"{key} is not there in every epoch"
        np.testing.assert_allclose(found[key], values, rtol=row.rtol, atol=row.rtol, err_msg=key)
    assert set(found) == set(expected)


@pytest.mark.grid
@pytest.mark.parametrize("name", ROWS)
def test_the_table_is_true_of_plain_keras(name):
    row, twin = ROWS[name], without_penalty(name)
    constant = in_the_loss(row, Plain)
    expected = {k: np.add(values, constant.get(k, 0.0)) for k, values in twin.history.items()}
    assert_history(row, Fit(row, Plain(BASE)).history, expected)


def expected_logs(row, twin):
    penalty = in_the_loss(row, Scheduled)
    logs = {key: np.add(values, penalty.get(key, 0.0)) for key, values in twin.items()}
    train, evaluated = factors()
    added = row.added * np.mean(X.astype("float64") ** 2)
    if row.measured[0]:
        # An evaluation weights by the size of a batch, as both keys do.
        data = twin["val_loss"] if row.mean_over_batches else twin["loss"]
        logs["data_loss"] = np.subtract(data, added)
        logs["penalty"] = added + BASE * row.squares * batch_weighted(train)
    if row.measured[1]:
        logs["val_data_loss"] = np.subtract(twin["val_loss"], added)
        logs["val_penalty"] = added + penalty["val_loss"]
    logs |= {f"strength/{path}": BASE * evaluated for path in row.strengths}
    return logs | {f"rate/{path}": RATE * evaluated for path in row.rates}


def by_ends(history, row):
    """The logs, with the ends of paths that the table has in the place of whole paths."""
    ends = {"strength": row.strengths, "rate": row.rates}

    def short(key):
        kind, _, path = key.partition("/")
        return next((f"{kind}/{end}" for end in ends.get(kind, ()) if path.endswith(end)), key)

    return {short(key): values for key, values in history.items()}


# One row of each kind every day; the grid has all.
DAILY = {
    "step that never adds penalties, with a dropout",
    "sharpness-aware (SAM)",
    "compute_loss leaves them out",
    "compute_loss adds half",
    "compute_loss adds an inner model's",
    "frozen layer",
    "LoRA",
    "float64 everywhere, compute_loss",
}
CELLS = [
    pytest.param(
        name,
        eager,
        id=f"{name}-{'eager' if eager else 'default'}",
        marks=() if name in DAILY and not eager else pytest.mark.grid,
    )
    for name in ROWS
    for eager in (False, True)
]


def test_what_runs_every_day_is_in_the_table():
    assert set(ROWS) >= DAILY | VERIFIED_DAILY


@pytest.mark.parametrize(("name", "eager"), CELLS)
def test_logs_are_true(name, eager):
    row, twin = ROWS[name], without_penalty(name, eager)
    fit = Fit(row, Scheduled(), [RegularizationScheduler()], run_eagerly=eager)
    history = by_ends(fit.history, row)
    assert_history(row, history, expected_logs(row, twin.history))
    assert_adds_up(row, history)
    assert_warned(fit.messages, row)
    assert fit.ran == twin.ran
    assert_same_state(fit.model, twin.model, row.rtol)


def assert_adds_up(row, history):
    for prefix, measured in zip(("", "val_"), row.measured, strict=True):
        if measured and not (row.mean_over_batches and prefix == ""):
            total = np.add(history[f"{prefix}data_loss"], history[f"{prefix}penalty"])
            np.testing.assert_allclose(history[f"{prefix}loss"], total, rtol=row.rtol / 10)


@pytest.mark.grid
@pytest.mark.parametrize("name", ROWS)
def test_weights_move_as_in_plain_keras(name):
    fit = Fit(ROWS[name], AtFull(), [RegularizationScheduler()], rate=0.05)
    twin = Fit(ROWS[name], Plain(BASE), rate=0.05)
    start = without_penalty(name).model.get_weights()
    assert not all(map(np.array_equal, twin.model.get_weights(), start))
    assert_same_state(fit.model, twin.model, ROWS[name].rtol)


# On JAX Keras computes the penalties that an own `compute_loss` then leaves out.
LEFT_OUT = "not in the loss" if BACKEND == "jax" else "never computed"
VERDICTS = {
    "compute_loss leaves them out": {KERNEL: LEFT_OUT},
    "distillation as in the guide": {KERNEL: LEFT_OUT},
}
VERIFIED_DAILY = {"step that never adds penalties, with a dropout", *VERDICTS}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in VERIFIED_DAILY else pytest.mark.grid) for name in ROWS],
)
def test_verify_tells_what_is_in_the_loss(name):
    row = ROWS[name]
    with in_floatx(row.floatx), warnings.catch_warnings():
        warnings.simplefilter("ignore", RegPlusWarning)
        model = row.build(Scheduled())
        model.compile(keras.optimizers.SGD(0.05), **row.compiled)
        batch = [
            part[:BATCH]
            if not isinstance(part, dict)
            else {key: values[:BATCH] for key, values in part.items()}
            for part in data_of(row)
        ]
        model(X[:BATCH])
        before = model.get_weights()
        found = RegularizationScheduler().verify(model, *batch)
    never = [w for w in row.warns if "never" in w]
    unused = VERDICTS.get(name, {})
    for part in found.parts:
        left_out = [v for path, v in unused.items() if part.path.endswith(path)]
        is_never = any(re.search(pattern, f"{part.path} never computed") for pattern in never)
        expected = left_out[0] if left_out else "never computed" if is_never else "exact"
        assert part.verdict == expected, str(found)
    assert found.parts or name == "all layers frozen"
    for weight, value in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, value)


def assert_warned(messages, row):
    """One warning for each pattern, and no other."""
    matches = [[bool(re.search(p, m, re.DOTALL)) for m in messages] for p in row.warns]
    assert [sum(match) for match in matches] == [1] * len(row.warns), messages
    assert all(any(match[i] for match in matches) for i in range(len(messages))), messages
    if not row.strengths:
        assert not any("followed" in message for message in messages), messages


def assert_same_state(model, twin, rtol=1e-5):
    assert int(model.optimizer.iterations) == int(twin.optimizer.iterations)
    for found, expected in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)
    for found, expected in zip(seeds(model), seeds(twin), strict=True):
        np.testing.assert_array_equal(found, expected)


def seeds(model):
    """Where each source of random numbers stands."""
    states = [v for v in model.non_trainable_variables if "seed_generator" in v.path]
    return [keras.ops.convert_to_numpy(state) for state in states]


@pytest.mark.filterwarnings("ignore:.*longer than")
@pytest.mark.parametrize(
    "build, losses_of", [(Wgan, wgan_losses), (UntoldWgan, untold_wgan_losses)]
)
def test_the_logs_of_two_models_with_an_optimizer_each(build, losses_of):
    model = compiled(build())
    with pytest.warns(RegPlusWarning, match=NO_COMPUTE_LOSS) as caught:
        history = model.fit(
            X,
            X,
            batch_size=BATCH,
            epochs=EPOCHS,
            shuffle=False,
            verbose=0,
            callbacks=[RegularizationScheduler()],
        ).history
    assert len(ours(caught)) == 1 + len(ours(caught, "longer than"))
    done = np.arange(EPOCHS * len(SIZES))
    losses = losses_of(model, lambda t: np.minimum(t / 10, 1.0), done)
    np.testing.assert_allclose(history["loss"], losses.reshape(EPOCHS, -1).mean(1), rtol=1e-5)
    assert {"loss"} == {key for key in history if not key.startswith("strength/")}
    (strengths,) = (values for key, values in history.items() if key.startswith("strength/"))
    np.testing.assert_allclose(strengths, [BASE * 0.3, BASE * 0.6], rtol=1e-5)
