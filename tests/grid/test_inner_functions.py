"""Strengths are exact in functions that are compiled inside the step, or said to be frozen.

The fit is frozen: its loss is that of the twin of plain Keras, which is constant, times
the factor of each step, 2 + t, which is never 1.
"""

from __future__ import annotations

import contextlib
import gc
import warnings

import keras
import numpy as np
import pytest
from keras import layers

from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.layers import ScheduledDropout
from keras_regplus.schedules import Linear

from .decorated import DECORATED, CompiledPenalty
from .inner_functions import (
    FEATURES,
    FULL,
    HOSTS,
    OWN_WAYS,
    WAYS,
    Plain,
    Read,
    Scheduled,
    nothing,
    rate_read,
    sequential,
)
from .models import BACKEND
from .rising import NOTHING_TELLS, ours

SIZES = np.array([4, 4, 2])
X = np.random.default_rng(0).normal(size=(SIZES.sum(), FEATURES)).astype("float32")
Y = np.zeros((len(X), 3), "float32")
EPOCHS = 2


def schedule():
    return Linear(998, 2.0, 1000.0)


class Run:
    """A model that is fitted again and again, and what was said meanwhile."""

    weights = SIZES  # of the batches, in the loss of an epoch

    def __init__(self, model, loss, **compile_arguments):
        self.model, self.loss = model, loss
        self.compile_arguments = compile_arguments
        self.messages = []
        self.compile()

    def compile(self):
        self.model.compile(keras.optimizers.SGD(0.0), self.loss, **self.compile_arguments)
        self.done = 0

    def fit(self, *callbacks, epochs=EPOCHS):
        with self.listening():
            history = self.model.fit(
                X,
                Y,
                batch_size=4,
                epochs=epochs,
                shuffle=False,
                verbose=0,
                callbacks=list(callbacks),
            ).history
        self.done += epochs * len(SIZES)
        return history

    def evaluate(self):
        with self.listening():
            return self.model.evaluate(X, Y, batch_size=4, verbose=0, return_dict=True)["loss"]

    @contextlib.contextmanager
    def listening(self):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        self.messages += [m for m in ours(caught) if "longer than" not in m]

    def said(self):
        messages, self.messages = self.messages, []
        return messages

    # What must be true.

    def fit_is_exact(self):
        before = self.done
        history = self.fit(RegularizationScheduler())
        steps = before + np.arange(EPOCHS * len(SIZES)).reshape(EPOCHS, -1)
        expected = FULL * np.average(2.0 + steps, axis=1, weights=self.weights)
        np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)
        for key, values in history.items():
            if key.startswith("strength/"):
                base = FULL / 12.0 if "dense" in key else FULL
                np.testing.assert_allclose(values, base * (3.0 + steps[:, -1]), rtol=1e-5)
        np.testing.assert_allclose(self.evaluate(), FULL * (2.0 + self.done), rtol=1e-5)
        return history


def from_the_first(run):
    run.fit_is_exact()
    run.fit_is_exact()
    run.compile()
    gc.collect()
    run.fit_is_exact()
    assert run.said() == []


def after_a_fit_without(run):
    np.testing.assert_allclose(run.fit()["loss"], FULL, rtol=1e-5)
    # A function that Keras's symbolic build has traced before asks for no strength in a step.
    said = run.said()
    assert len(said) <= 1 and all(NOTHING_TELLS in message for message in said)
    run.fit_is_exact()
    old = run.model.optimizer
    run.compile()
    run.fit_is_exact()
    assert int(old.iterations) == 2 * EPOCHS * len(SIZES)
    assert run.said() == []


MOMENTS = {f.__name__: f for f in (from_the_first, after_a_fit_without)}

# Ways that keep what they traced first, and that are not found from the model.
UNSEEN = ("tf.function out of sight", "torch.jit.trace")

# What every run takes: one way of each kind, and nothing that takes half a minute to compile.
DAILY = (
    "jax.jit out of sight",
    "jax.lax.scan",
    "tf.function of the object",
    "tf.function behind a helper",
    "tf.while_loop",
    "torch.compile(backend='eager')",
    "torch.utils.checkpoint",
)
SLOW = ("torch.compile(backend='aot_eager')", "torch.compile")

SEEN = [way for way in WAYS if way not in UNSEEN]


# What torch takes seconds to compile.
SLOW_ON_TORCH = ("CompiledStep", "CompiledCall")


def marked(*values, daily, slow=False):
    marks = [] if daily else [pytest.mark.grid]
    return pytest.param(*values, marks=[*marks, pytest.mark.slow] if slow else marks)


def cells():
    return [
        marked(
            *(host, way, moment),
            daily=(host, moment) == ("layer", "after_a_fit_without") and way in DAILY,
            # A person runs these; each of them trains several times.
            slow=(host, moment) != ("layer", "after_a_fit_without") or way in SLOW,
        )
        for host in HOSTS
        for way in SEEN
        for moment in MOMENTS
    ]


@pytest.mark.parametrize("host, way, moment", cells())
def test_exact(host, way, moment):
    MOMENTS[moment](Run(*HOSTS[host](Scheduled(schedule()), WAYS[way])))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.skipif(BACKEND == "jax", reason="there is no such function on JAX")
@pytest.mark.parametrize(
    "host, part", [("layer", "strength/net/host/level"), ("penalty", "kernel")]
)
def test_what_stays_frozen_is_said_once(host, part):
    (way,) = (way for way in WAYS if way in UNSEEN)
    run = Run(*HOSTS[host](Scheduled(schedule()), WAYS[way]))
    np.testing.assert_allclose(run.fit()["loss"], FULL, rtol=1e-5)
    run.said()
    scheduler = RegularizationScheduler()
    for _ in range(2):
        history = run.fit(scheduler)
        np.testing.assert_allclose(history["loss"], FULL, rtol=1e-5)
        assert not any(key.startswith("strength/") for key in history)
    (said,) = run.said()
    assert part in said and "never computed" in said


@pytest.mark.skipif(BACKEND != "jax", reason="without a trace only JAX compiles for itself")
def test_a_compiled_function_in_an_eager_step_is_said_to_be_frozen():
    model, loss = HOSTS["layer"](Scheduled(schedule()), WAYS["jax.jit of the object"])
    run = Run(model, loss, run_eagerly=True)
    # An uneven batch is traced anew, and must not stand for the others.
    history = run.fit(RegularizationScheduler(), epochs=1)
    np.testing.assert_allclose(history["loss"], FULL * (0.8 * 2.0 + 0.2 * 4.0), rtol=1e-5)
    (said,) = run.said()
    assert "strength/net/host/level" in said and "never computed" in said


@pytest.mark.grid
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("host", HOSTS)
def test_the_twin_of_plain_keras(host, way):
    run = Run(*HOSTS[host](Plain(), WAYS[way]))
    for _ in range(2):
        np.testing.assert_allclose(run.fit()["loss"], FULL, rtol=1e-5)
        run.compile()
        gc.collect()


OWN_CELLS = [
    marked(name, moment, daily=moment == "from_the_first" and name in ("RNN", "stateless_call"))
    for name in OWN_WAYS
    for moment in MOMENTS
]


@pytest.mark.parametrize("name, moment", OWN_CELLS)
def test_exact_in_a_model_with_its_own_way(name, moment):
    MOMENTS[moment](Run(*OWN_WAYS[name](Scheduled(schedule()))))


RATE = 0.1
# Where Keras's own dropout cannot be either: its seed belongs to the inner trace.
LEAKS = tuple(["jax", "keras.", "ops.", "torch.func", "torch.compile(full"])


RATE_CELLS = [
    marked(
        way,
        daily=way in ("tf.function of the object", "torch.func.vmap"),
        slow=way.startswith("torch.compile"),
    )
    for way in SEEN
    if not way.startswith(LEAKS)
]


@pytest.mark.parametrize("way", RATE_CELLS)
def test_a_rate_is_exact(way):
    rising = Linear(20, 2.0, 4.0)
    model = sequential(Read(ScheduledDropout(RATE, rising, seed=3, name="drop"), WAYS[way]))
    run = Run(model, rate_read)
    done = 0
    for compile_again in (False, True, False):
        history = run.fit(RegularizationScheduler())
        steps = done + np.arange(EPOCHS * len(SIZES)).reshape(EPOCHS, -1)
        rates = RATE * (2.0 + 0.1 * steps)
        np.testing.assert_allclose(
            history["loss"], np.average(rates, axis=1, weights=SIZES), rtol=1e-5
        )
        key = "rate/net/host/drop" if "rate/net/host/drop" in history else "rate/drop"
        np.testing.assert_allclose(history[key], rates[:, -1] + RATE * 0.1, rtol=1e-5)
        done += EPOCHS * len(SIZES)
        if compile_again:
            run.compile()
            gc.collect()
            done = 0
    assert run.said() == []


def penalized(regularizer):
    return layers.Dense(
        3, use_bias=False, kernel_initializer="ones", kernel_regularizer=regularizer
    )


def test_equal_penalties_share_what_is_compiled():
    chain = [penalized(CompiledPenalty(schedule())) for _ in range(3)]
    run = Run(keras.Sequential([keras.Input((4,)), *chain]), nothing)
    history = run.fit(RegularizationScheduler())
    steps = np.arange(EPOCHS * len(SIZES)).reshape(EPOCHS, -1)
    expected = 0.1 * 30.0 * np.average(2.0 + steps, axis=1, weights=SIZES)
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)
    assert run.said() == []


def decorated(name, parts):
    inner = sequential(regularizer=parts.l2())
    run = Run(DECORATED[name](inner), nothing)
    if name == "CompiledStep":
        run.weights = None  # as in Keras's guides
    return run


DECORATED_CELLS = [
    marked(
        *(name, moment),
        daily=moment == "after_a_fit_without" and (BACKEND != "torch" or name not in SLOW_ON_TORCH),
        slow=BACKEND == "torch" and name in SLOW_ON_TORCH,
    )
    for name in DECORATED
    for moment in MOMENTS
]


@pytest.mark.parametrize("name, moment", DECORATED_CELLS)
def test_exact_in_a_method_that_is_compiled(name, moment):
    MOMENTS[moment](decorated(name, Scheduled(schedule())))


# What plain Keras cannot do: compile once more a model whose method has kept the first trace.
FAILS_PLAINLY = {
    "tensorflow": ["CompiledStep"],
    "jax": ["CompiledLoss", "CompiledCall"],
    "torch": [],
}[BACKEND]


@pytest.mark.grid
@pytest.mark.parametrize("name", DECORATED)
def test_the_twin_of_a_method_that_is_compiled(name):
    run = decorated(name, Plain())
    expected = contextlib.nullcontext()
    if name in FAILS_PLAINLY:
        expected = pytest.raises(Exception, match=r"unexpected tracer|have been deleted")
    with expected:
        for _ in range(2):
            np.testing.assert_allclose(run.fit()["loss"], FULL, rtol=1e-5)
            run.compile()
            gc.collect()
