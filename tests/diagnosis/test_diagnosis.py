"""The diagnosis: verdicts on curves in closed form, and properties of every curve."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_regplus.diagnosis import (
    GL,
    VERDICTS,
    Diagnosis,
    TrendTracker,
    diagnose,
    diagnose_history,
)
from keras_regplus.diagnosis._curves import (
    Curve,
    ThinnedPoints,
    deviation_of_blocks,
    median_of_three,
    noise_of,
    slope_of,
)
from keras_regplus.diagnosis._trend_rule import _REASONS, TrendRule
from keras_regplus.diagnosis.report import report

EPOCHS = np.arange(100)
FALLING = 0.97**EPOCHS
FLAT = np.full(100, 0.8)
TURNING = 0.5 + np.abs(EPOCHS - 40) / 100
NOISE = np.random.default_rng(0).normal(size=100)

# The curves that the tutorial "Overfit and underfit" prints, at epochs 0, 100, 200 ...
TUTORIAL = {
    "tiny": (
        [0.8395, 0.6240, 0.6103, 0.5984, 0.5905, 0.5831, 0.5795],
        [0.7700, 0.6256, 0.6151, 0.6038, 0.5993, 0.5960, 0.5965],
    ),
    "small": (
        [0.7209, 0.6148, 0.5853, 0.5750, 0.5683, 0.5593, 0.5531],
        [0.7025, 0.6184, 0.5949, 0.5868, 0.5859, 0.5883, 0.5894],
    ),
    "medium": ([0.6952, 0.5194, 0.4219], [0.6829, 0.6157, 0.7006]),
    "large": ([0.8038, 0.0021, 0.0001], [0.6990, 1.8178, 2.4547]),
    "combined": (
        [0.8059, 0.6040, 0.5897, 0.5808, 0.5779, 0.5679, 0.5571],
        [0.7068, 0.5893, 0.5737, 0.5623, 0.5520, 0.5448, 0.5466],
    ),
}

# As Keras returns it, and as pandas has it.
HISTORY = SimpleNamespace(history={"loss": [1.0]}, epoch=[0])

numbers = st.floats(-100, 100).map(lambda value: round(value, 3))
anything = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True))


def pairs(values, longest=60):
    return st.lists(st.tuples(values, values), min_size=1, max_size=longest)


def without_hint(diagnosis):
    """It without the sentence for those who forgot `mode="max"`."""
    reason = diagnosis.reason.partition(" Both curves grow")[0]
    return dataclasses.replace(diagnosis, reason=reason)


def followed(train, val, mode="min"):
    """What a tracker says after each epoch."""
    tracker = TrendTracker(mode)
    return [tracker.update(*pair) for pair in zip(train, val, strict=True)]


@pytest.mark.parametrize(
    ("train", "val", "verdict"),
    [
        (FALLING, FALLING + 0.1, "healthy"),
        (FALLING, FALLING + 0.1 + 0.005 * NOISE, "healthy"),
        (FALLING, FLAT, "stagnating"),
        (FALLING, FLAT * (1 + 0.03 * NOISE), "stagnating"),
        (FLAT, FLAT, "plateau"),
        (FLAT, 3 * FLAT, "plateau"),
        (FALLING, TURNING, "overfitting"),
        (FLAT, TURNING, "overfitting"),
        (FALLING, TURNING * (1 + 0.05 * NOISE), "overfitting"),
        (TURNING[::-1], TURNING[::-1], "plateau"),
        (0.1 + EPOCHS**2, 0.1 + EPOCHS**2, "diverging"),
        (np.where(EPOCHS < 90, FALLING, np.nan), FALLING, "diverging"),
        (np.where(EPOCHS < 90, FALLING, np.inf), TURNING, "diverging"),
        (FALLING, np.where(EPOCHS < 80, FALLING, np.nan), "diverging"),
        (FALLING[:2], FALLING[:2], "undecided"),
        (FALLING, np.full(100, None), "undecided"),
        (0 * FLAT, 0 * FLAT, "plateau"),
        (-1 - EPOCHS / 10, -1 - EPOCHS / 10, "healthy"),
        (FALLING - 1, TURNING - 0.5, "overfitting"),
    ],
)
def test_verdict_of_a_curve_in_closed_form(train, val, verdict):
    assert diagnose(train, val).verdict == verdict


@pytest.mark.parametrize("name", TUTORIAL)
def test_verdict_on_the_tutorials_printed_curves(name):
    diagnosis = diagnose(*TUTORIAL[name])
    if name == "large":
        assert (diagnosis.verdict, diagnosis.onset_epoch) == ("overfitting", 1)
    elif name == "medium":
        assert diagnosis.verdict in ("overfitting", "undecided")
    else:
        assert diagnosis.verdict != "overfitting"


@pytest.mark.parametrize("name", ["overfitting", "healthy"])
def test_accuracies_are_judged_as_growing_values(name):
    val = {"overfitting": TURNING, "healthy": FALLING}[name]
    assert diagnose(1 - FALLING / 2, 1 - val / 2, mode="max").verdict == name


def test_who_forgets_the_mode_of_accuracies_is_told():
    accuracies = [0.5, 0.7, 0.8, 0.85, 0.87], [0.45, 0.6, 0.7, 0.72, 0.73]
    hint = (
        "Both curves grow from the start: if higher values are better, as for accuracies, "
        'pass mode="max".'
    )
    assert diagnose(*accuracies).reason.endswith(f". {hint}")
    for pair in (accuracies, (1 + EPOCHS / 50, 1 + EPOCHS / 99), (1 - FALLING, 1 - FALLING)):
        assert hint in diagnose(*pair).reason
        assert hint in diagnose(*pair, criterion="gl").reason
        assert hint not in diagnose(*pair, mode="max").reason
        assert hint not in diagnose(*pair, criterion=GL(mode="max")).reason
        curves = {"loss": pair[0], "val_loss": pair[1]}
        assert hint not in diagnose_history(curves).reason


@pytest.mark.parametrize("val", [TURNING, FLAT, FALLING, np.full(100, None), 1 - FALLING])
def test_a_training_that_improves_gets_no_hint_of_the_mode(val):
    assert "mode" not in diagnose(FALLING, val).reason


@pytest.mark.parametrize(("length", "best"), [(100, 70), (300, 150)])
def test_overfitting_begins_after_a_lucky_value(length, best):
    epochs = np.arange(length)
    train, val = 0.99**epochs, 0.5 + np.abs(epochs - 40) / 100
    lucky = np.where(epochs == best, 0.3, val)
    assert 40 < diagnose(train, val).onset_epoch < best
    diagnosis = diagnose(train, lucky)
    assert (diagnosis.best_epoch, diagnosis.onset_epoch) == (best, best + 1)


def test_the_reason_counts_from_the_onset():
    lucky = np.where(EPOCHS == 70, 0.3, TURNING)
    assert "getting worse for 29 epochs and" in diagnose(FALLING, lucky).reason
    assert "getting worse for 1 epoch and" in diagnose(FALLING[:72], lucky[:72]).reason


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(-0.3, 0.3), min_size=20, max_size=200), st.sampled_from(["min", "max"]))
def test_the_onset_is_after_the_best_epoch_unless_that_is_the_last(noise, mode):
    epochs, sign = np.arange(len(noise)), 1 if mode == "min" else -1
    val = 0.5 + np.abs(epochs - 10) / 20 + noise
    for epoch, diagnosis in enumerate(followed(sign * 0.99**epochs, sign * val, mode)):
        if diagnosis.onset_epoch is not None:
            assert diagnosis.best_epoch < diagnosis.onset_epoch or diagnosis.best_epoch == epoch


def test_a_lone_spike_is_no_overfitting():
    val = FALLING + 0.3
    for spike in (20, 60, 99):
        assert diagnose(FALLING, np.where(spike == EPOCHS, 50, val)).verdict == "healthy"


@pytest.mark.parametrize("deviation", [0.01, 0.03])
def test_noise_on_a_plateau_is_rarely_overfitting_and_rarely_stops(deviation):
    rng = np.random.default_rng(1)
    settled = 0.6 + 0.4 * np.exp(-EPOCHS / 12)
    curves = settled * (1 + deviation * rng.normal(size=(30, 100)))
    steps = [followed(FALLING, curve) for curve in curves]
    assert sum(run[-1].verdict == "overfitting" for run in steps) <= 2
    assert sum(any(diagnosis.should_stop for diagnosis in run) for run in steps) <= 3


@pytest.mark.parametrize("deviation", [0.01, 0.03])
def test_slow_learning_in_noise_is_rarely_stopped(deviation):
    rng = np.random.default_rng(2)
    curves = (1 - 0.3 * EPOCHS / 100) * (1 + deviation * rng.normal(size=(30, 100)))
    stopped = [
        any(diagnosis.should_stop for diagnosis in followed(FALLING, curve)) for curve in curves
    ]
    assert sum(stopped) <= 3


@pytest.mark.parametrize("amplitude", [0.01, 0.02])
def test_a_cyclic_learning_rate_is_no_overfitting(amplitude):
    """Validation is worst in the middle of each cycle, and a bit better from cycle to cycle."""
    epochs = np.arange(160)
    cycle = amplitude * np.sin(np.pi * (epochs % 16) / 16)
    val = 0.4 + 0.4 * np.exp(-epochs / 60) + cycle
    steps = followed(0.97**epochs + cycle, val)
    assert not any(diagnosis.should_stop for diagnosis in steps)
    assert "overfitting" not in {diagnosis.verdict for diagnosis in steps}


def test_a_second_descent_takes_the_verdict_back():
    epochs = np.arange(300)
    bump = 0.3 * np.exp(-(((epochs - 80) / 25) ** 2))
    steps = followed(0.99**epochs, 0.5 + 0.5 * 0.98**epochs + bump)
    assert steps[85].verdict == "overfitting"
    assert steps[-1].verdict != "overfitting"


def test_a_learning_rate_drop_is_no_reason_to_stop():
    val = np.where(EPOCHS < 60, 0.5, 0.4) + 0.3 * np.exp(-EPOCHS / 10)
    train = np.where(EPOCHS < 60, 0.4, 0.2) + 0.3 * np.exp(-EPOCHS / 10)
    val = val * (1 + 0.01 * NOISE)
    assert not any(diagnosis.should_stop for diagnosis in followed(train, val))


def test_a_rise_within_two_per_cent_is_no_overfitting():
    val = np.where(EPOCHS < 50, 1.0, 1.019)
    assert diagnose(FALLING, val).verdict == "stagnating"
    assert diagnose(FALLING, np.where(EPOCHS < 50, 1.0, 1.021)).verdict == "overfitting"


def test_numbers_of_a_step_are_those_of_the_step():
    val = np.where(EPOCHS < 60, 1.0, 1.25)
    diagnosis = diagnose(np.full(100, 0.5), val)
    assert diagnosis.best_epoch == 0
    assert diagnosis.best_value == 1.0
    assert diagnosis.epochs_past_best == 99
    assert diagnosis.onset_epoch == pytest.approx(60, abs=5)
    assert diagnosis.gap == pytest.approx(0.75)
    assert diagnosis.noise == 0
    assert diagnosis.score == 1.0
    assert "25 %" in diagnosis.reason


@pytest.mark.parametrize(("rise", "score"), [(0.01, 0.25), (0.02, 0.5), (0.03, 0.75), (0.05, 1.0)])
def test_score_is_half_the_rise_over_the_limit(rise, score):
    # Without noise the limit is 2 % of the best level.
    assert diagnose(FALLING, np.where(EPOCHS < 60, 1.0, 1 + rise)).score == pytest.approx(score)


@pytest.mark.parametrize(
    ("rise", "confidence"),
    [
        (0.03, 1 / (1 + math.exp(-6 / 5))),
        (0.04, 1 / (1 + math.exp(-2))),
        (0.0, 1 / (1 + math.exp(-6))),
    ],
)
def test_confidence_is_logistic_in_the_contrast_of_rise_and_limit(rise, confidence):
    # Without noise the limit is 2 % of the best level; a flat curve gains nothing.
    diagnosis = diagnose(FLAT, np.where(EPOCHS < 60, 1.0, 1 + rise))
    no_gain = 1 / (1 + math.exp(-4))
    expected = confidence if diagnosis.verdict == "overfitting" else confidence * no_gain
    assert diagnosis.confidence == pytest.approx(expected)


def test_confidence_falls_with_noise_and_is_nothing_where_nothing_is_known():
    step = np.where(EPOCHS < 60, 1.0, 1.1)
    quiet, noisy = (diagnose(FALLING, step * (1 + sd * NOISE)) for sd in (0.001, 0.05))
    assert quiet.verdict == noisy.verdict == "overfitting"
    assert quiet.confidence > 0.97 > noisy.confidence
    assert diagnose([1.0], [1.0]).confidence == 0
    lost = diagnose([math.nan] * 3, [1.0] * 3)
    assert (lost.verdict, lost.confidence) == ("diverging", 1.0)
    assert diagnose(0.1 + EPOCHS**2, 0.1 + EPOCHS**2).confidence > 0.9


def test_slopes_are_relative_changes_for_each_epoch():
    epochs = np.arange(20)
    diagnosis = diagnose(2 - 0.03 * epochs, 1 + 0.01 * epochs)
    # Windows are two epochs wide, so the best level is that of the first two.
    assert diagnosis.val_slope == pytest.approx(0.01 / 1.005)
    assert diagnosis.train_slope == pytest.approx(-0.03 / 1.005)


@pytest.mark.parametrize("deviation", [0.01, 0.1])
def test_noise_is_the_deviation_of_one_value(deviation):
    val = 10 + FALLING + 10 * deviation * NOISE
    assert diagnose(FALLING, val).noise == pytest.approx(deviation, rel=0.35)


def test_onset_is_when_it_began_not_when_it_was_noticed():
    steps = followed(FALLING, TURNING)
    first = next(
        epoch for epoch, diagnosis in enumerate(steps) if diagnosis.verdict == "overfitting"
    )
    assert 40 < steps[-1].onset_epoch <= first
    assert {diagnosis.onset_epoch for diagnosis in steps if diagnosis.verdict != "overfitting"} == {
        None
    }


def first_stop(train, val):
    return next(
        (i for i, diagnosis in enumerate(followed(train, val)) if diagnosis.should_stop), None
    )


def test_stop_comes_once_a_rise_has_stood_for_three_epochs_and_a_25th_of_all():
    # Without noise a rise of 0.3 % is one to stop for.
    assert first_stop(FALLING, np.where(EPOCHS < 40, 1.0, 1.0029)) is None
    assert first_stop(FALLING, np.where(EPOCHS < 40, 1.0, 1.0031)) is not None
    # The level is a mean over 5 epochs, its values medians of three.
    first = first_stop(FALLING, np.where(EPOCHS < 40, 1.0, 1.006))
    assert 43 <= first <= 40 + 5 + 3
    # A high step lifts the level with the second value of it; 4 % of 105 epochs are 4.2.
    epochs = np.arange(127)
    assert first_stop(0.97**epochs, np.where(epochs < 100, 1.0, 9.0)) == 101 + 4


@pytest.mark.parametrize(
    ("rise", "earliest", "latest"),
    [
        # A third of an error, one error and three of them, above 0.3 %.
        (0.003 + 0.005, None, None),
        (0.003 + 0.013, 80, 95),
        (0.003 + 0.039, 62, 75),
    ],
)
def test_the_smaller_a_rise_the_longer_it_has_to_last(rise, earliest, latest):
    # Up to epoch 60 values alternate. So most third differences are 0.08, which is a noise of
    # 1.4826 * 0.08 / sqrt(20) = 0.027, and an error of sqrt(2 / 8) of that.
    noisy = 1 + 0.01 * (-1.0) ** EPOCHS
    first = first_stop(FALLING, np.where(EPOCHS < 60, noisy, 1 + rise)[:100])
    if earliest is None:
        assert first is None
    else:
        assert earliest <= first <= latest


def test_a_value_that_comes_back_starts_the_count_anew():
    val = np.where(EPOCHS < 60, 1.0, 1.1)
    undisturbed = first_stop(FALLING, val)
    # The level does not see a lone value; its last median of three is one epoch late.
    back = undisturbed - 1
    val[back] = 1.02
    assert first_stop(FALLING, val) == back + 3


def test_a_rise_has_to_be_larger_than_one_from_which_it_recovered():
    epochs = np.arange(120)
    waved = np.select([epochs < 30, epochs < 60, epochs < 100], [1.0, 1.05, 0.99], 0)
    for rise, error in ((0.04, 0.05), (0.2, 0.05)):
        val = np.where(epochs < 100, waved, 0.99 + rise)
        rule = TrendRule(epochs, 0.97**epochs, val)
        assert rule.excess() == pytest.approx((rise - 0.003 * 0.99) / error)
        assert rule.val.error < error


def test_no_stop_before_the_seventh_epoch():
    assert first_stop(FALLING[:20], 1 + 0.1 * EPOCHS[:20]) == 6


def test_a_stop_for_a_rise_too_small_for_a_verdict_says_why():
    diagnosis = diagnose(FALLING, np.where(EPOCHS < 60, 1.0, 1.01))
    assert (diagnosis.verdict, diagnosis.should_stop) == ("stagnating", True)
    assert "But validation has stayed worse than its best level for 3" in diagnosis.reason
    assert diagnosis.reason.endswith("before it is large enough to be called overfitting.")


def test_no_stop_when_the_rise_is_taken_back():
    val = np.where((EPOCHS > 40) & (EPOCHS < 44), 0.9, FALLING + 0.1)
    assert not any(diagnosis.should_stop for diagnosis in followed(FALLING, val))


def test_lost_training_should_stop_and_is_forgiven_when_it_comes_back():
    lost = [1.0, 0.9, math.nan, math.nan, math.nan, 0.8, 0.7]
    steps = followed(lost, [1.0, 0.9, 0.8, 0.8, 0.8, 0.8, 0.7])
    assert [diagnosis.verdict == "diverging" for diagnosis in steps] == [False] * 4 + [
        True,
        False,
        False,
    ]
    assert steps[4].should_stop


def test_nan_between_validated_epochs_counts_as_not_measured():
    val = np.where(EPOCHS % 5 == 4, FALLING, np.nan)
    assert diagnose(FALLING, val).verdict == "healthy"


def test_epochs_without_validation_are_counted():
    val = [value if epoch % 2 else None for epoch, value in enumerate(TURNING)]
    diagnosis = diagnose(FALLING, val)
    assert diagnosis.verdict == "overfitting"
    assert diagnosis.best_epoch == 39
    assert diagnosis.epochs_past_best == 60
    assert diagnosis.val_slope == pytest.approx(0.01 / 0.51, rel=0.05)


@settings(deadline=None, max_examples=50)
@given(pairs(anything, longest=200))
def test_a_tracker_says_what_diagnose_says_of_the_epochs_so_far(curves):
    train, val = zip(*curves, strict=True)
    steps = followed(train, val)
    for epoch in {0, len(curves) // 2, len(curves) - 1}:
        diagnosis = without_hint(diagnose(train[: epoch + 1], val[: epoch + 1]))
        assert repr(diagnosis) == repr(steps[epoch])
        assert diagnosis.to_json() == steps[epoch].to_json()


@settings(deadline=None, max_examples=100)
@given(pairs(anything))
def test_any_numbers_give_a_verdict_and_strict_json(curves):
    diagnosis = diagnose(*zip(*curves, strict=True))
    fields = json.loads(diagnosis.to_json(), parse_constant=pytest.fail)
    assert set(fields) == {field.name for field in dataclasses.fields(Diagnosis)}
    assert diagnosis.verdict in VERDICTS
    assert 0 <= diagnosis.score <= 1
    assert 0 <= diagnosis.confidence <= 1
    if diagnosis.verdict == "overfitting":
        assert diagnosis.confidence >= 0.5 < diagnosis.score
    assert "nan" not in diagnosis.reason


@settings(deadline=None, max_examples=100)
@given(pairs(numbers), st.sampled_from(["min", "max"]))
def test_best_is_the_best_single_value(curves, mode):
    train, val = zip(*curves, strict=True)
    diagnosis = diagnose(train, val, mode)
    best = val.index(min(val) if mode == "min" else max(val))
    assert (diagnosis.best_epoch, diagnosis.best_value) == (best, val[best])
    assert diagnosis.epochs_past_best == len(val) - 1 - best


@settings(deadline=None, max_examples=100)
@given(pairs(numbers))
def test_negated_curves_are_judged_alike_in_mode_max(curves):
    train, val = np.array(curves).T
    one, other = without_hint(diagnose(train, val)), diagnose(-train, -val, mode="max")
    turned = {"best_value": -1, "train_slope": -1, "val_slope": -1}
    for name, value in one.to_dict().items():
        expected = value * turned.get(name, 1) if isinstance(value, float) else value
        assert getattr(other, name) == expected, name


@settings(deadline=None, max_examples=100)
@given(pairs(numbers), st.integers(-20, 20))
def test_scale_changes_nothing_but_the_best_value(curves, power):
    train, val = np.array(curves).T
    one, other = diagnose(train, val), diagnose(train * 2.0**power, val * 2.0**power)
    assert other == dataclasses.replace(one, best_value=one.best_value * 2.0**power)


@pytest.mark.parametrize("factor", [1e-9, 0.1, 3.0, 1e9])
@pytest.mark.parametrize("name", TUTORIAL)
def test_any_scale_gives_the_same_verdict(name, factor):
    train, val = np.array(TUTORIAL[name])
    assert diagnose(factor * train, factor * val).verdict == diagnose(train, val).verdict


def test_an_enormous_first_epoch_hides_nothing():
    first = np.where(EPOCHS == 0, 1e30, 0)
    assert diagnose(FALLING + first, TURNING + first).verdict == "overfitting"


def test_memory_does_not_grow_with_the_length():
    tracker, sizes = TrendTracker(), []
    for epoch in range(20_001):
        tracker.update(1 / (1 + epoch), 1.0)
        if epoch in (127, 20_000):
            sizes.append(len(pickle.dumps(tracker)))
    # Pending pairs of a stride of 256 epochs come on top of the points.
    assert sizes[1] < 3 * sizes[0]


@pytest.mark.parametrize(("epochs", "stride"), [(127, 1), (128, 2), (1000, 8), (1023, 8)])
def test_thinned_points_are_means_over_strides(epochs, stride):
    values = np.random.default_rng(2).normal(size=(epochs, 2))
    points = ThinnedPoints()
    for epoch, (train, val) in enumerate(values):
        points.add(epoch, train, val)
    whole = epochs // stride * stride
    columns = np.column_stack([np.arange(epochs), values])[:whole].reshape(-1, stride, 3)
    assert points.stride == stride
    np.testing.assert_allclose(points.columns(), columns.mean(axis=1).T, rtol=1e-12, atol=1e-14)


def test_median_of_three_by_hand():
    values = np.array([5.0, 1.0, 9.0, 2.0, 3.0])
    long = np.array([4.0] * 20 + [9.0])
    assert median_of_three(values).tolist() == [5.0, 5.0, 2.0, 3.0, 3.0]
    assert median_of_three(values[:2]).tolist() == [5.0, 1.0]
    assert median_of_three(long).tolist() == [4.0] * 21


def test_noise_of_a_line_is_zero_and_of_alternation_is_known():
    assert noise_of(3 * np.arange(10.0)) == 0
    # Third differences of +1, -1, +1 ... are all 8 in size, and second ones 4.
    assert noise_of(np.array([1.0, -1.0] * 5)) == pytest.approx(1.4826 * 8 / math.sqrt(20))
    assert noise_of(np.array([1.0, -1.0, 1.0])) == pytest.approx(1.4826 * 4 / math.sqrt(6))
    assert noise_of(np.array([1.0, -1.0])) == 0


def test_block_means_show_noise_that_lasts():
    rng = np.random.default_rng(3)
    white = rng.normal(size=20_000)
    lasting = np.repeat(rng.normal(size=4000), 5)
    # Means over 10 independent values scatter by 1 / sqrt(10), over two runs of 5 by 1 / sqrt(2).
    assert deviation_of_blocks(white, 10) == pytest.approx(10**-0.5, rel=0.1)
    assert deviation_of_blocks(lasting, 10) == pytest.approx(2**-0.5, rel=0.1)
    assert deviation_of_blocks(white[:59], 10) == 0


def test_error_of_a_level_is_the_largest_of_three():
    # Values that alternate: means over 10 stand still, so single values decide.
    single = 1.4826 * 8 / math.sqrt(20)
    alternating = Curve(np.array([1.0, -1.0] * 50), 10)
    assert alternating.error == pytest.approx(math.sqrt(2 / 10) * single)
    # Blocks of 10 that alternate: their third differences are all 8 in size.
    blocks = np.repeat([1.0, -1.0] * 6, 10)
    lasting = math.sqrt(2) * 1.4826 * 8 / math.sqrt(20)
    assert Curve(np.concatenate((blocks, np.zeros(80))), 10).error == pytest.approx(lasting)
    # Half of that where blocks of 5 alternate in the last half alone.
    recent = np.concatenate((np.zeros(100), np.repeat([1.0, -1.0] * 10, 5)))
    assert Curve(recent, 10).error == pytest.approx(lasting * math.sqrt(1 / 2))


@pytest.mark.parametrize(("rise", "verdict"), [(0.04, "stagnating"), (0.065, "overfitting")])
def test_half_a_standard_error_passes_for_noise(rise, verdict):
    val = np.where(EPOCHS < 60, 1.0, 1 + rise) + 0.05 * (-1.0) ** EPOCHS
    limit = 0.02 + 0.5 * math.sqrt(2 / 10) * 0.05 * 1.4826 * 8 / math.sqrt(20)
    assert 0.04 < limit < 0.065
    assert diagnose(FALLING, val).verdict == verdict


def test_slope_ignores_an_outlier():
    epochs = np.arange(12.0)
    values = 5 - 0.25 * epochs
    values[7] = 1e6
    assert slope_of(epochs, values) == pytest.approx(-0.25)
    assert slope_of(epochs[:1], values[:1]) == 0


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: TrendTracker("down"), ValueError, r"`mode` must be .*'min', 'max', got 'down'\."),
        (lambda: TrendTracker("auto"), ValueError, "`mode`"),
        (lambda: diagnose([1], [1], mode=None), ValueError, "`mode`"),
        (
            lambda: diagnose([1, 2], [1]),
            ValueError,
            r"`val` must be as long as .*2.*got '1 epoch'",
        ),
        (lambda: diagnose([], []), ValueError, r"`train` must be a non-empty .*got \[\]\. Pass"),
        (lambda: diagnose([1], []), ValueError, "`val` must be a non-empty"),
        (lambda: diagnose(1.0, [1]), TypeError, "`train` must be a non-empty sequence"),
        (lambda: diagnose([1], "1"), TypeError, "`val` must be a non-empty sequence"),
        (lambda: diagnose([1]), ValueError, r"`val` must be .*got \[\].*history\['val_loss'\]"),
        (lambda: diagnose({"loss": [1]}, [1]), TypeError, "`train` .* Use `diagnose_history`"),
        (lambda: diagnose({"loss": [1]}), TypeError, "`train` .* Use `diagnose_history`"),
        (lambda: diagnose("log.csv"), TypeError, "`train` .* Use `diagnose_history`"),
        (lambda: diagnose(HISTORY), TypeError, "`train` .* Use `diagnose_history`"),
        (lambda: diagnose([1], HISTORY), TypeError, "`val` .* Use `diagnose_history`"),
        (lambda: TrendTracker().update("high", 1), TypeError, "`train` must be a number or None"),
        (lambda: TrendTracker().update(1, [2, 3]), TypeError, "`val` must be a number or None"),
    ],
)
def test_bad_input_is_told_in_three_parts(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_a_diagnosis_cannot_be_changed_and_reads_well():
    diagnosis = diagnose(*TUTORIAL["large"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        diagnosis.verdict = "healthy"
    assert repr(diagnosis).startswith("Diagnosis('overfitting', 'Validation has been getting worse")
    assert json.loads(diagnosis.to_json()) == diagnosis.to_dict()


@pytest.mark.parametrize(("verdict", "dot"), list(zip(VERDICTS, "..~-!x", strict=True)))
def test_each_verdict_has_its_dot_and_its_texts(verdict, dot):
    assert Diagnosis(verdict).dot == dot
    assert verdict in report("loss", Diagnosis(verdict), [], [])
    assert _REASONS[verdict](TrendRule(EPOCHS, FALLING, TURNING)).endswith(".")
