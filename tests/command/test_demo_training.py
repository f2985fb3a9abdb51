"""The demo's data, trainings and scores."""

from __future__ import annotations

import numpy as np
import pytest

from keras_regplus import regularizers, schedules
from keras_regplus.command import _demo_training as training


def test_the_parts_of_the_data_are_disjoint_and_scaled_by_the_training_rows():
    data = training.load_data(seed=1)
    assert [x.shape for x, _ in data] == [(120, 12), (200, 12), (249, 12)]
    assert [y.shape for _, y in data] == [(120, 1), (200, 1), (249, 1)]
    assert len(np.unique(np.concatenate([x for x, _ in data]), axis=0)) == 569
    assert data.train[0].mean(axis=0) == pytest.approx(np.zeros(12), abs=1e-5)
    assert data.train[0].std(axis=0) == pytest.approx(np.ones(12), rel=1e-5)
    assert sum(y.sum() for _, y in data) == 357


def test_the_same_seed_splits_the_same_and_another_does_not():
    first, again, other = (training.load_data(seed).train[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_crossentropies_and_hits_are_those_of_logits():
    # A logit of 0.2 is a probability of 0.55: a hit for label 1, at threshold 0.
    scores = training.Scores.from_logits(np.array([0.2, -3.0, 2.0]), np.array([1.0, 0.0, 0.0]))
    expected = [np.log1p(np.exp(-0.2)), np.log1p(np.exp(-3.0)), np.log1p(np.exp(2.0))]
    assert scores.crossentropy == pytest.approx(expected, rel=1e-12)
    assert scores.hits.tolist() == [True, True, False]


def test_crossentropies_of_huge_logits_do_not_overflow():
    scores = training.Scores.from_logits(np.array([1000.0, -1000.0]), np.array([0.0, 0.0]))
    assert scores.crossentropy.tolist() == [1000.0, 0.0]


@pytest.mark.parametrize(
    ("values", "mean", "error"),
    [
        ([1.0, 3.0], 2.0, 1.0),
        ([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], 5.0, (32 / 7 / 8) ** 0.5),
        ([True, True, True, False], 0.75, 0.25),
    ],
)
def test_a_standard_error_is_the_deviation_over_the_root_of_the_count(values, mean, error):
    assert training.mean_and_error(np.array(values)) == pytest.approx((mean, error), rel=1e-12)


def test_batches_go_through_all_rows_in_ever_new_orders():
    x = np.arange(7)
    batches = training._batches(x, -x, 3, np.random.default_rng(0))
    rounds = [[next(batches) for _ in range(3)] for _ in range(2)]
    for batches_of_round in rounds:
        assert [len(part) for part, _ in batches_of_round] == [3, 3, 1]
        assert all(np.array_equal(part, -labels) for part, labels in batches_of_round)
    first, second = (np.concatenate([part for part, _ in parts]) for parts in rounds)
    assert sorted(first) == sorted(second) == x.tolist()
    assert first.tolist() != second.tolist()


def test_batches_without_a_generator_keep_the_order():
    x = np.arange(4)
    batches = training._batches(x, x, 4)
    assert [next(batches)[0].tolist() for _ in range(2)] == [[0, 1, 2, 3]] * 2


def tiny(name="Tiny + nothing", **arguments):
    return training.Experiment(name, "1 hidden layer of 2 units", (2,), **arguments)


def test_a_training_prints_nothing_and_leaves_its_log(capsys, tmp_path):
    data, detector = training.load_data(seed=1), training.make_detector()
    result = training.train(tiny(), data, tmp_path, detector, epochs=1)
    assert capsys.readouterr().out == ""
    assert result.history.epoch == [0]
    assert (len(result.validation.hits), len(result.test.hits)) == (200, 249)
    assert list((tmp_path / "tiny_nothing").rglob("events.out.tfevents.*"))


def test_one_detector_serves_many_trainings(tmp_path):
    data, shared = training.load_data(seed=1), training.make_detector()
    training.train(tiny("First"), data, tmp_path, shared, epochs=7, seed=2)
    second, alone = (
        training.train(tiny(), data, tmp_path, detector, epochs=3)
        for detector in (shared, training.make_detector())
    )
    assert second.diagnosis == alone.diagnosis
    assert second.history.history == alone.history.history


def test_tensorboard_finds_metrics_strengths_penalties_and_histograms(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    def written(run, tag):
        events = EventAccumulator(str(tmp_path / "tiny_l2" / run)).Reload().Tensors(tag)
        return {event.step: make_ndarray(event.tensor_proto) for event in events}

    penalty = regularizers.ScheduledL2(0.02, schedules.LinearWarmup(4))
    data, detector = training.load_data(seed=1), training.make_detector()
    experiment = tiny("Tiny + L2", penalty=penalty)
    history = training.train(experiment, data, tmp_path, detector, epochs=4).history.history
    for key in ("loss", "bce", "penalty"):
        expected = dict(enumerate(history[key], start=1))
        assert written("train", f"epoch_{key}") == pytest.approx(expected, rel=1e-6)
    expected = dict(enumerate(history["val_bce"], start=1))
    assert written("validation", "epoch_bce") == pytest.approx(expected, rel=1e-6)
    # The warm-up of four steps is over after the first epoch.
    strengths = written("train", "epoch_strength/network/hidden_1/kernel")
    assert [strengths[epoch] for epoch in (2, 3, 4)] == pytest.approx([0.02] * 3, rel=1e-6)
    assert list(written("weights", "network/hidden_1/kernel/histogram")) == [0, 2, 4]
