"""A detector continues an earlier training, also one that was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import OverfittingDetector, actions
from keras_regplus.diagnosis import Diagnosis

from .killed_training import EPOCHS, train

FALLING = [0.9**epoch for epoch in range(40)]
TURNING = [0.5 + abs(epoch - 10) / 50 for epoch in range(40)]


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return train(tmp_path_factory.mktemp("twin"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("epoch", [2, 13])
def test_a_killed_process_is_resumed_like_its_uninterrupted_twin(epoch, twin, tmp_path):
    script = Path(__file__).with_name("killed_training.py")
    killed = subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(epoch)], capture_output=True, text=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (tmp_path / "detector.json").is_file()
    assert (tmp_path / "detector.weights.h5").is_file()

    model, detector = train(tmp_path)
    for key, values in twin[1].history.items():
        assert detector.history[key] == pytest.approx(values, rel=1e-5)
    assert detector.history["epoch"] == list(range(EPOCHS))
    assert detector.diagnosis.verdict == twin[1].diagnosis.verdict == "overfitting"
    states = [[action.state() for action in one.action] for one in (detector, twin[1])]
    assert states[0] == states[1]
    assert states[0][0]["steps"] > 1
    for one, other in zip(model.get_weights(), twin[0].get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    rates = [float(keras.ops.convert_to_numpy(m.optimizer.learning_rate)) for m in (model, twin[0])]
    assert rates[0] == pytest.approx(rates[1])
    assert not list(tmp_path.glob("detector*"))


def fed(detector, begin, end, weights=(), train=FALLING, val=TURNING):
    """A training of these epochs that never ends."""
    model = SimpleNamespace(
        metrics=[], stop_training=False, weights=[np.zeros(shape) for shape in weights]
    )
    detector.set_model(model)
    detector.on_train_begin()
    for epoch in range(begin, end):
        detector.on_epoch_begin(epoch)
        detector.on_epoch_end(epoch, {"loss": train[epoch], "val_loss": val[epoch]})
    return detector


def detector(path, **arguments):
    return OverfittingDetector(state_file=path, **{"monitor": "loss", "verbose": 0} | arguments)


@pytest.mark.parametrize("again", [20, 19])
def test_it_resumes_where_it_was_or_one_epoch_before(again, tmp_path):
    path = tmp_path / "deep" / "state.json"
    whole = fed(detector(tmp_path / "other.json"), 0, 40)
    fed(detector(path), 0, 20)
    resumed = fed(detector(path), again, 40)
    assert (resumed.history, resumed.diagnosis) == (whole.history, whole.diagnosis)


@pytest.mark.parametrize("restores", [False, True])
def test_a_second_fit_continues_if_it_begins_where_the_first_has_ended(restores):
    def model():
        keras.utils.set_random_seed(0)
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        net.compile(keras.optimizers.SGD(0.05), "mse")
        return net

    x = np.random.default_rng(0).normal(size=(24, 4))
    y = x[:, :1]
    arguments = {"validation_data": (x, -y), "verbose": 0, "shuffle": False}

    def trained(*spans):
        one = OverfittingDetector("loss", restore_best_weights=restores, verbose=0)
        net = model()
        for begin, end in spans:
            net.fit(x, y, initial_epoch=begin, epochs=end, callbacks=[one], **arguments)
        return one, net.get_weights()

    anew, _ = trained((0, 4), (0, 3))
    assert anew.history["epoch"] == [0, 1, 2]
    gap, _ = trained((0, 4), (6, 8))
    assert gap.history["epoch"] == [6, 7]
    resumed, weights = trained((0, 4), (4, 8))
    assert resumed.history["epoch"] == list(range(8))
    # Validation is best after the first epoch, and worse from there on.
    whole, best = trained((0, 8))
    if restores:
        for one, other in zip(weights, best, strict=True):
            np.testing.assert_allclose(one, other)
    else:
        assert resumed.history == whole.history
        assert resumed.diagnosis == whole.diagnosis


@pytest.mark.parametrize("criterion", [None, "at once"])
def test_a_training_cut_short_before_its_state_was_saved_can_be_followed_by_another(criterion):
    interruptions = [KeyboardInterrupt()]

    def interrupted(*_):
        if interruptions:
            raise interruptions.pop()

    if criterion == "at once":
        criterion = SimpleNamespace(update=lambda train, val: Diagnosis("overfitting"))
    one = OverfittingDetector("loss", action=interrupted, criterion=criterion, verbose=0)
    with pytest.raises(KeyboardInterrupt):
        fed(one, 0, 40)
    seen = len(one.history["epoch"])
    assert fed(one, seen, seen + 2).history["epoch"] == list(range(seen + 2))


def test_an_action_continues_with_the_epoch_that_is_trained_again(tmp_path):
    path = tmp_path / "state.json"

    class Count(actions.Action):
        def move(self, model, steps):
            return str(steps)

    def counting(end, begin=0):
        one = Count(cooldown=0)
        fed(detector(path, action=one), begin, end)
        return one.steps

    whole = counting(30)
    path.unlink()
    counting(25)
    assert counting(30, begin=24) == whole > 3


def test_the_format_of_the_file(tmp_path):
    path = tmp_path / "state.json"
    fed(detector(path, action=["warn", actions.ReduceLearningRate()]), 3, 5, weights=[(2, 3)])
    action = {"steps": 0, "last": None, "rates": None, "is_overruled": False}
    assert json.loads(path.read_text()) == {
        "version": 1,
        "monitor": ["loss"],
        "mode": "auto",
        "weights": [[2, 3]],
        "watched": [
            {
                "name": "loss",
                "history": {"epoch": [3, 4], "train": FALLING[3:5], "val": TURNING[3:5]},
            }
        ],
        "best": {"epoch": 4, "cost": TURNING[4], "metric": "loss"},
        "snapshots": [{"epoch": epoch, "actions": [None, action]} for epoch in (3, 4)],
    }


def test_what_is_not_finite_survives(tmp_path):
    val = [float("nan"), float("inf"), None, *TURNING[3:]]
    path = tmp_path / "state.json"
    fed(detector(path), 0, 5, val=val)
    json.loads(path.read_text(), parse_constant=pytest.fail)
    resumed = fed(detector(path), 5, 6, val=val)
    np.testing.assert_array_equal(resumed.history["val"][:2], [np.nan, np.inf])
    assert resumed.history["val"][2] is None


def test_a_training_from_the_first_epoch_begins_anew(tmp_path):
    path = tmp_path / "state.json"
    fed(detector(path), 0, 20)
    assert fed(detector(path), 0, 3).history["epoch"] == [0, 1, 2]


def spoiled(path, how):
    text = path.read_text()
    path.write_text({"cut": text[:-9], "empty": "", "list": "[1]", "older": '{"version": 0}'}[how])


@pytest.mark.parametrize("how", ["cut", "empty", "list", "older"])
def test_a_damaged_file_is_set_aside_with_one_warning(how, tmp_path):
    path = tmp_path / "state.json"
    fed(detector(path), 0, 10)
    spoiled(path, how)
    with pytest.warns(RegPlusWarning, match=r"`state_file` must be .*set-aside.*starts anew"):
        fresh = fed(detector(path), 10, 12)
    assert fresh.history["epoch"] == [10, 11]
    assert (tmp_path / "state.json.set-aside").is_file()
    assert json.loads(path.read_text())["watched"][0]["history"]["epoch"] == [10, 11]


def test_parts_that_cannot_be_used_are_one_warning(tmp_path):
    path = tmp_path / "state.json"
    fed(detector(path), 0, 10)
    state = json.loads(path.read_text())
    state["watched"][0]["history"]["train"] = ["high"] * 10
    path.write_text(json.dumps(state))
    with pytest.warns(RegPlusWarning, match="state of the earlier training cannot be used"):
        assert fed(detector(path), 10, 12).history["epoch"] == [10, 11]


@pytest.mark.parametrize(
    ("arguments", "weights", "word"),
    [
        ({"monitor": None}, [(2, 3)], "monitor"),
        ({"mode": "max"}, [(2, 3)], "mode"),
        ({}, [(2, 4)], "weights"),
        ({}, [(2, 3), (1,)], "weights"),
    ],
)
def test_the_state_of_another_training_is_set_aside(arguments, weights, word, tmp_path):
    path = tmp_path / "state.json"
    fed(detector(path), 0, 10, weights=[(2, 3)])
    with pytest.warns(RegPlusWarning, match=f"must be of the same {word}"):
        fed(detector(path, **arguments), 10, 11, weights=weights)


def test_a_folder_that_cannot_be_written_is_one_warning(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(RegPlusWarning, match="state could not be written") as caught:
        watched = fed(detector(tmp_path / "file" / "state.json"), 0, 5)
    assert len(caught) == 1
    assert watched.history["epoch"] == list(range(5))


def test_a_training_that_ends_leaves_nothing(tmp_path):
    watched = fed(detector(tmp_path / "state.json"), 0, 5)
    watched.on_train_end()
    assert not list(tmp_path.iterdir())


def test_resuming_is_printed(tmp_path, capsys):
    path = tmp_path / "state.json"
    fed(detector(path), 0, 5)
    fed(detector(path, verbose=1), 5, 6)
    assert "resumes at epoch 5 with the state of the earlier training." in capsys.readouterr().out
