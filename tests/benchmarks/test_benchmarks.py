"""The figures that pages print are computed as they are described."""

from __future__ import annotations

import gzip
import json
import math

import numpy as np
import pytest

from benchmarks.cost import dots_time
from benchmarks.detection.criteria import Outcome, early_stopping, gap, rank_correlation, spearman
from benchmarks.detection.histories.labels import judge
from benchmarks.detection.labelled import HISTORIES, LABELS, UNSEEN, Run, load
from benchmarks.detection.scores import (
    bootstrap_error,
    calibration,
    counts,
    kept,
    macro_f1,
    macro_f1_of_two,
    precision_and_recall,
    score,
    wasted,
)

NONE = np.array([])
FALLING = np.linspace(1, 0.5, 100)


def run(label, val=NONE):
    return Run("a", label, np.asarray(val, float), np.asarray(val, float))


def test_counts_are_found_false_alarms_missed_and_the_rest():
    truth = [True, True, True, False, False, False]
    said = [True, True, False, True, False, False]
    assert counts(truth, said) == (2, 1, 1, 2)
    assert precision_and_recall(truth, said) == (2 / 3, 2 / 3)
    assert precision_and_recall([True], [False]) == (0, 0)


def test_macro_f1_is_the_mean_over_labels_that_occur():
    truth = ["healthy", "healthy", "overfitting"]
    # healthy: one found, one missed; overfitting: one found, one false alarm.
    assert macro_f1(truth, ["healthy", "overfitting", "overfitting"]) == pytest.approx(2 / 3)
    assert macro_f1(truth, truth) == 1
    assert macro_f1_of_two(3, 1, 0, 2) == pytest.approx((6 / 7 + 4 / 5) / 2)


def test_bootstrap_error_of_perfection_is_none_and_falls_with_the_root_of_the_count():
    assert bootstrap_error(30, 0, 0, 40) == 0
    small, large = (bootstrap_error(40 * n, 10 * n, 10 * n, 40 * n) for n in (1, 100))
    assert small == pytest.approx(10 * large, rel=0.1)
    # With equal counts on both sides, macro-F1 is nearly the share that is right, 0.8.
    assert small == pytest.approx(math.sqrt(0.8 * 0.2 / 100), rel=0.1)


@pytest.mark.parametrize(
    ("val", "stop", "is_kept", "share"),
    [
        ([1.0, 0.5, 0.6, 0.7, 0.8], 2, True, 1 / 3),
        ([1.0, 0.5, 0.6, 0.7, 0.8], 1, True, 0),
        ([1.0, 0.5, 0.6, 0.7, 0.8], None, True, 1),
        ([1.0, 0.5, 0.6, 0.7, 0.8], 0, False, 1),
        ([1.0, 0.5, 0.6, 0.49], 2, False, 1),
        ([1.0, 0.5, 0.6, 0.496], 2, True, 0),
        ([-1.0, -2.0, -2.01], 1, True, 0),
        ([-1.0, -2.0, -2.03], 1, False, 1),
        ([1.0, math.nan, 0.5, 0.6], 3, True, 1),
        ([math.nan, math.nan], 0, True, 0),
    ],
)
def test_what_a_stop_keeps_and_wastes(val, stop, is_kept, share):
    assert kept(np.array(val), stop) == is_kept
    assert wasted(np.array(val), stop) == pytest.approx(share)


def test_calibration_counts_verdicts_by_tenth_of_their_confidence():
    said = [("healthy", 0.91), ("healthy", 1.0), ("plateau", 0.95), ("healthy", 0.5)]
    outcomes = [Outcome(verdict, None, sure) for verdict, sure in said]
    rows = calibration([run("healthy")] * 5, [*outcomes, Outcome("healthy", None)])
    assert [verdicts for verdicts, *_ in rows] == [0, 0, 0, 0, 0, 1, 0, 0, 0, 3]
    assert rows[5] == (1, 0.5, 1.0)
    assert rows[9] == pytest.approx((3, 2.86 / 3, 2 / 3))


def test_score_by_hand():
    turns, falls = [1.0, 0.5, 0.6, 0.7, 0.8], [1.0, 0.8, 0.9, 0.6, 0.5]
    runs = [run("overfitting", turns), run("overfitting", turns), run("healthy", falls)]
    outcomes = [Outcome("overfitting", 2), Outcome("healthy", None), Outcome("overfitting", 2)]
    figures = score(runs, outcomes)
    assert figures.pop("error") > 0
    assert figures == pytest.approx(
        {
            "macro-F1": 0.25,
            "precision": 0.5,
            "recall": 0.5,
            "four verdicts": 0.25,
            "within 1 %": 2 / 3,
            "harmful stops": 1,
            "never stopped": 1,
            "overfitting runs": 2,
            "useless epochs": (1 / 3 + 1) / 2,
        }
    )


def test_early_stopping_waits_for_its_patience_after_the_best():
    val = np.array([1.0, 0.9, 0.9, math.nan, 0.95, 0.1])
    assert early_stopping(3)(val, val) == Outcome("overfitting", 4)
    assert early_stopping(4)(val, val) == Outcome("healthy", None)


def test_gap_stops_from_the_second_epoch_on_and_judges_the_last():
    train, val = np.array([1.0, 1.0, 1.0, 1.0]), np.array([2.0, 1.2, 1.6, 1.4])
    assert gap(0.5)(train, val) == Outcome("healthy", 2)
    assert gap(0.5)(train[:3], val[:3]) == Outcome("overfitting", 2)


def test_spearman_by_hand():
    assert spearman(np.array([1.0, 2, 3]), np.array([1.0, 10, 100])) == pytest.approx(1)
    assert spearman(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(-1)
    # Ranks 1.5, 1.5, 3 against 1, 2, 3.
    assert spearman(np.array([5.0, 5, 6]), np.array([1.0, 2, 3])) == pytest.approx(math.sqrt(3) / 2)
    assert spearman(np.array([1.0, 1]), np.array([1.0, 2])) == 1


def test_rank_correlation_needs_ten_epochs_and_finite_curves():
    judge_ranks = rank_correlation(0.2)
    assert judge_ranks(FALLING, -FALLING) == Outcome("overfitting", 9)
    assert judge_ranks(FALLING, FALLING) == Outcome("healthy", None)
    lost = np.where(np.arange(100) == 50, math.nan, -FALLING)
    assert judge_ranks(FALLING, lost) == Outcome("healthy", None)


@pytest.mark.parametrize(
    ("train", "val", "label"),
    [
        (FALLING, 0.5 + np.exp(-np.arange(100) / 25), "healthy"),
        (FALLING, np.full(100, 0.5), "plateau"),
        (FALLING, 0.5 + np.abs(np.arange(100) - 40) / 100, "overfitting"),
        (FALLING, np.full(100, np.nan), "diverging"),
        (10 / FALLING, 10 / FALLING**2, "diverging"),
        # It falls by 1.3 % over the last 30 %: neither plateau nor healthy.
        (FALLING, 0.5 - np.arange(100) / 4500, None),
        # Training rises, too, but has not blown up.
        (1 + np.arange(100) / 400, 0.5 + np.abs(np.arange(100) - 40) / 400, None),
    ],
)
def test_label_of_sixteen_runs_that_agree(train, val, label):
    truth = judge(np.tile(train, (16, 1)), np.tile(val, (16, 1)))
    assert (truth and truth["label"]) == label


@pytest.mark.parametrize(("rising", "label"), [(12, "overfitting"), (11, None)])
def test_three_quarters_of_the_runs_must_rise(rising, label):
    turning = 0.5 + np.abs(np.arange(100) - 40) / 100
    runs = [turning] * rising + [np.full(100, 0.5)] * (16 - rising)
    truth = judge(np.tile(FALLING, (16, 1)), np.array(runs))
    assert (truth and truth["label"]) == label


def test_onset_of_a_label_is_where_the_mean_leaves_its_best():
    val = np.where(np.arange(100) < 60, 0.5, 0.7)
    truth = judge(np.tile(FALLING, (16, 1)), np.tile(val, (16, 1)))
    # Means are smoothed over three epochs.
    assert truth["onset"] == 59


@pytest.mark.parametrize(
    ("path", "count"), [(HISTORIES, 70), (UNSEEN, 200)], ids=["first", "unseen"]
)
def test_files_hold_what_the_pages_say(path, count):
    runs = load(path)
    assert len({each.id for each in runs}) == count
    assert {each.label for each in runs} == set(LABELS)
    assert all(len(each.train) == len(each.val) >= 10 for each in runs)


def test_files_hold_no_truth_but_that_of_the_label():
    for path in (HISTORIES, UNSEEN):
        with gzip.open(path, "rt") as file:
            assert {key for entry in json.load(file) for key in entry}.isdisjoint(
                {"val_mean", "rise", "rise_z", "seed_agreement", "config"}
            )


def test_an_epoch_that_only_dots_or_is_silent_writes_no_report(monkeypatch, tmp_path):
    monkeypatch.setattr(dots_time, "EPOCHS", 3)
    assert {len(values) for values in dots_time.measure(2).values()} == {2}
    for name, lines in [("silent", 1), ("a dot", 1), ("a report", 4)]:
        dots = dots_time.CASES[name](tmp_path / name)
        for epoch in range(4):
            dots.on_epoch_end(epoch, dots_time.LOGS)
        text = (tmp_path / name / "dots.log").read_text()
        assert text.count("Epoch: ") == lines
