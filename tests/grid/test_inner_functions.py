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

from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.schedules import Linear

from .inner_functions import FEATURES, FULL, HOSTS, WAYS, Plain, Scheduled
from .rising import NOTHING_TELLS, ours

SIZES = np.array([4, 4, 2])
X = np.random.default_rng(0).normal(size=(SIZES.sum(), FEATURES)).astype("float32")
Y = np.zeros((len(X), 3), "float32")
EPOCHS = 2


def schedule():
    return Linear(998, 2.0, 1000.0)


class Run:
    """A model that is fitted again and again, and what was said meanwhile."""

    def __init__(self, host, way, parts, **compile_arguments):
        self.model, self.loss = HOSTS[host](parts, WAYS[way])
        self.compile_arguments = compile_arguments
        self.messages = []
        self.compile()

    def compile(self):
        self.model.compile(keras.optimizers.SGD(0.0), self.loss, **self.compile_arguments)
        self.done = 0

    def fit(self, *callbacks):
        with self.listening():
            history = self.model.fit(
                X,
                Y,
                batch_size=4,
                epochs=EPOCHS,
                shuffle=False,
                verbose=0,
                callbacks=list(callbacks),
            ).history
        self.done += EPOCHS * len(SIZES)
        return history

    def evaluate(self):
        with self.listening():
            return self.model.evaluate(X, Y, batch_size=4, verbose=0)

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
        expected = FULL * np.average(2.0 + steps, axis=1, weights=SIZES)
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

SEEN = [way for way in WAYS if way not in UNSEEN]


def cells():
    rows = []
    for host in HOSTS:
        for way in SEEN:
            for moment in MOMENTS:
                daily = (host, moment) == ("layer", "after_a_fit_without")
                marks = [] if daily else [pytest.mark.grid]
                rows.append(pytest.param(host, way, moment, marks=marks))
    return rows


@pytest.mark.parametrize("host, way, moment", cells())
def test_exact(host, way, moment):
    MOMENTS[moment](Run(host, way, Scheduled(schedule())))


@pytest.mark.grid
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("host", HOSTS)
def test_the_twin_of_plain_keras(host, way):
    run = Run(host, way, Plain())
    for _ in range(2):
        np.testing.assert_allclose(run.fit()["loss"], FULL, rtol=1e-5)
        run.compile()
        gc.collect()
