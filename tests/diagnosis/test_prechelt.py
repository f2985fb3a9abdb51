"""Prechelt's criteria, against his formulas written down once more for whole curves."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keras_regplus.diagnosis import GL, PQ, UP, TrendTracker, diagnose

positive = st.floats(0.01, 100).map(lambda value: round(value, 3))


@st.composite
def curves(draw):
    epochs = draw(st.integers(1, 40))
    return [draw(st.lists(positive, min_size=epochs, max_size=epochs)) for _ in range(2)]


def generalization_loss(val, t):
    return 100 * (val[t] / min(val[: t + 1]) - 1)


def gl_fires(train, val, t, alpha=5.0):
    loss = generalization_loss(val, t)
    assume(abs(loss - alpha) > 1e-6)
    return loss > alpha


def pq_fires(train, val, t, alpha=0.5, k=5):
    end = (t + 1) // k * k - 1  # the last epoch of the last whole strip
    if end < 0:
        return False
    strip = train[end - k + 1 : end + 1]
    progress = 1000 * (sum(strip) / (k * min(strip)) - 1)
    loss = generalization_loss(val, end)
    assume(abs(loss - alpha * progress) > 1e-6 or loss == 0)  # else rounding decides
    return loss > alpha * progress


def up_fires(train, val, t, s=3, k=5):
    ends = val[k - 1 : t + 1 : k]
    last = ends[-s - 1 :]
    return len(last) == s + 1 and all(b > a for a, b in pairwise(last))


FORMULAS = {"gl": gl_fires, "pq": pq_fires, "up": up_fires}


@pytest.mark.parametrize("name", FORMULAS)
@settings(deadline=None, max_examples=150)
@given(curves())
def test_a_criterion_fires_when_its_formula_does(name, pair):
    train, val = pair
    diagnosis = diagnose(train, val, criterion=name)
    fires = FORMULAS[name](train, val, len(val) - 1)
    assert (
        (diagnosis.verdict == "overfitting")
        == diagnosis.should_stop
        == (diagnosis.score > 0.5)
        == fires
    )


@pytest.mark.parametrize(
    ("criterion", "train", "val", "verdict", "numbers"),
    [
        (GL(5), [1, 1], [1.0, 1.06], "overfitting", ["6 %", "5 %"]),
        (GL(6.5), [1, 1], [1.0, 1.06], "healthy", ["6 %", "6.5 %"]),
        (GL(5), [None, None], [1.0, 1.06], "overfitting", ["6 %"]),
        (PQ(1, strip=2), [1.1, 0.9], [1.0, 1.2], "healthy", ["20 %", "0.18"]),
        (PQ(0.1, strip=2), [1.1, 0.9], [1.0, 1.2], "overfitting", ["20 %", "0.18"]),
        (PQ(0.5, strip=2), [1, 1], [1.0, 1.1], "overfitting", ["inf"]),
        (PQ(0.5, strip=2), [1, 1], [1.0, 1.0], "healthy", ["0"]),
        (PQ(strip=3), [1, 1], [1, 2], "undecided", ["3 validated epochs"]),
        (
            UP(1, strip=1),
            [1, 1],
            [1.0, 1.1],
            "overfitting",
            ["over 1 strip of 1 epoch in a row", "allows 0"],
        ),
        (UP(2, strip=1), [1, 1, 1], [1.0, 1.1, 1.2], "overfitting", ["2 strips"]),
        (UP(2, strip=1), [1, 1, 1], [1.0, 1.1, 1.1], "healthy", ["0 strips"]),
        (UP(2), [1] * 9, [1] * 9, "undecided", ["10 validated epochs"]),
    ],
)
def test_by_hand(criterion, train, val, verdict, numbers):
    diagnosis = diagnose(train, val, criterion=criterion)
    assert diagnosis.verdict == verdict
    for number in numbers:
        assert number in diagnosis.reason


def test_strips_count_and_their_word_stands_until_the_next():
    tracker = UP(1, strip=2)
    verdicts = [tracker.update(1, val).verdict for val in [1, 1, 9, 2, 0, 2, 0, 1]]
    assert verdicts == ["undecided"] * 3 + ["overfitting"] * 2 + ["healthy"] * 3


@pytest.mark.parametrize("name", FORMULAS)
def test_accuracies_are_judged_by_their_loss_of_size(name):
    # 10 % below the best accuracy, in the last of three strips and more.
    val = [0.5] * 5 + [0.8] * 5 + [0.78] * 5 + [0.75] * 5 + [0.72] * 5
    train = list(np.linspace(0.8, 0.801, 25))
    assert diagnose(train, val, mode="max", criterion=name).verdict == "overfitting"
    assert diagnose(train[:15], val[:5] * 3, mode="max", criterion=name).verdict == "healthy"


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("lost", [math.nan, math.inf, None])
def test_what_is_not_finite_is_never_best_and_ends_nothing(name, lost):
    val = [1.0, lost, 0.9, lost, 0.8, 0.8, lost, 0.7, 0.7, 0.7, 0.7, 0.6, 0.6]
    diagnosis = diagnose([1 / (2 + t) for t in range(13)], val, criterion=name)
    assert (diagnosis.verdict, diagnosis.should_stop, diagnosis.best_epoch) == (
        "healthy",
        False,
        11,
    )
    json.loads(diagnosis.to_json(), parse_constant=pytest.fail)


@pytest.mark.parametrize("criterion", ["gl", GL(), None, "trend", TrendTracker()])
def test_lost_training_is_diverging_by_any_criterion(criterion):
    diagnosis = diagnose([math.nan] * 3, [1.0] * 3, criterion=criterion)
    assert (diagnosis.verdict, diagnosis.should_stop) == ("diverging", True)


def test_a_criterion_that_is_given_is_left_as_it_is():
    mine = GL(5)
    before = dict(vars(mine))
    diagnose([1, 1], [1, 2], criterion=mine)
    assert vars(mine) == before


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: GL(0), ValueError, r"^GL: `alpha` must be a finite number above 0, got 0\. Use"),
        (lambda: GL(-1), ValueError, "^GL: `alpha` must be"),
        (lambda: GL("5"), TypeError, "^GL: `alpha` must be a finite number"),
        (lambda: PQ(math.nan), ValueError, "^PQ: `alpha`"),
        (lambda: PQ(strip=0), ValueError, "^PQ: `strip` must be a whole number of at least 1"),
        (lambda: UP(0), ValueError, "^UP: `strips` must be a whole number of at least 1"),
        (lambda: UP(2.5), ValueError, "^UP: `strips`"),
        (lambda: UP(strip=True), TypeError, "^UP: `strip`"),
        (lambda: GL(mode="down"), ValueError, r"^GL: `mode` must be one of 'min', 'max'"),
        (lambda: diagnose([1], [1], criterion="glory"), ValueError, r"'trend', 'gl', 'pq', 'up'"),
        (lambda: diagnose([1], [1], criterion=GL), TypeError, "`criterion` must be None"),
        (lambda: diagnose([1], [1], criterion=5), TypeError, "an object with `update"),
        (lambda: GL().update(1, "low"), TypeError, "^GL: `val` must be a number or None"),
    ],
)
def test_bad_input_is_told_in_three_parts(call, error, match):
    with pytest.raises(error, match=match):
        call()
