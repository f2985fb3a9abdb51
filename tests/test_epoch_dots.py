"""`EpochDots` against bytes written down by hand."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_regplus.callbacks import epoch_dots
from keras_regplus.callbacks.epoch_dots import EpochDots


@pytest.fixture(autouse=True)
def close_lines_of_other_tests():
    epoch_dots._with_open_line.clear()
    yield
    epoch_dots._with_open_line.clear()


def printed(capsys, epochs, logs, **arguments):
    dots = EpochDots(**arguments)
    for epoch in epochs:
        dots.on_epoch_end(epoch, logs)
    return capsys.readouterr().out


class Frozen(keras.callbacks.Callback):
    """Replaces the logs of each epoch, so that a real fit prints known numbers."""

    def on_epoch_end(self, epoch, logs=None):
        logs.update(accuracy=0.5, loss=1)


class Raises(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise RuntimeError("stopped by the test")


def fit(*callbacks, epochs=3):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    x = np.zeros((2, 1))
    return model.fit(x, x, epochs=epochs, verbose=0, callbacks=list(callbacks))


def test_defaults_print_the_published_bytes(capsys):
    logs = {"loss": 1.0, "val_loss": 2, "accuracy": 0.5}
    values = "accuracy:0.5000,  loss:1.0000,  val_loss:2.0000,  \n"
    expected = (
        ("\nEpoch: 0, " + values + "." * 100)
        + ("\nEpoch: 100, " + values + "." * 100)
        + ("\nEpoch: 200, " + values + "......")
    )
    assert len(expected) == 396
    assert printed(capsys, range(206), logs) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "\nEpoch: 0, a:1.0000,  \n....."),
        (
            {"report_every": 2},
            "\nEpoch: 0, a:1.0000,  \n..\nEpoch: 2, a:1.0000,  \n..\nEpoch: 4, a:1.0000,  \n.",
        ),
        (
            {"report_every": 3, "dot_every": 2},
            "\nEpoch: 0, a:1.0000,  \n..\nEpoch: 3, a:1.0000,  \n.",
        ),
        (
            {"report_every": 2.0, "dot_every": np.int64(5)},
            "\nEpoch: 0, a:1.0000,  \n.\nEpoch: 2, a:1.0000,  \n\nEpoch: 4, a:1.0000,  \n",
        ),
    ],
)
def test_reports_and_dots_come_at_their_intervals(capsys, arguments, expected):
    assert printed(capsys, range(5), {"a": 1.0}, **arguments) == expected


@pytest.mark.parametrize(
    ("logs", "expected"),
    [
        (None, "\nEpoch: 0, \n."),
        ({}, "\nEpoch: 0, \n."),
        ({"b": 2, "a": True}, "\nEpoch: 0, a:1.0000,  b:2.0000,  \n."),
        ({"loss": float("nan")}, "\nEpoch: 0, loss:nan,  \n."),
        ({"loss": np.float32(0.25)}, "\nEpoch: 0, loss:0.2500,  \n."),
        ({"loss": np.array(0.25)}, "\nEpoch: 0, loss:0.2500,  \n."),
        ({"phase": "warm\nup"}, "\nEpoch: 0, phase:warm up,  \n."),
        ({"none": None}, "\nEpoch: 0, none:None,  \n."),
        ({"recall": np.array([0.5, 1.0])}, "\nEpoch: 0, recall:[0.5000 1.0000],  \n."),
        ({"recall": [0.5, 1.0]}, "\nEpoch: 0, recall:[0.5, 1.0],  \n."),
        ({"matrix": np.eye(2)}, "\nEpoch: 0, matrix:[[1.0000 0.0000] [0.0000 1.0000]],  \n."),
        ({"many": np.zeros(999)}, "\nEpoch: 0, many:[0.0000 0.0000 ... 0.0000 0.0000],  \n."),
        ({"text": "x" * 99}, "\nEpoch: 0, text:" + "x" * 57 + "...,  \n."),
        ({1: 0.5, "a": 0.5}, "\nEpoch: 0, 1:0.5000,  a:0.5000,  \n."),
    ],
)
def test_whatever_the_logs_hold_is_printed(capsys, logs, expected):
    assert printed(capsys, [0], logs) == expected


def test_device_tensors_are_printed_as_numbers(capsys):
    logs = {"scalar": keras.ops.convert_to_tensor(0.25), "vector": keras.ops.ones(2)}
    expected = "\nEpoch: 0, scalar:0.2500,  vector:[1.0000 1.0000],  \n."
    assert printed(capsys, [0], logs) == expected


def test_a_value_that_cannot_be_rendered_is_a_question_mark(capsys):
    class Unprintable:
        def __str__(self):
            raise RuntimeError("no text")

    assert printed(capsys, [0], {"odd": Unprintable()}) == "\nEpoch: 0, odd:?,  \n."


def test_a_fit_ends_with_a_newline(capsys):
    fit(Frozen(), EpochDots(report_every=2))
    report = "accuracy:0.5000,  loss:1.0000,  \n"
    expected = f"\nEpoch: 0, {report}..\nEpoch: 2, {report}.\n"
    assert capsys.readouterr().out == expected


def test_a_fit_that_ends_on_a_finished_line_gets_no_second_newline(capsys):
    fit(Frozen(), EpochDots(report_every=1, dot_every=2), epochs=2)
    report = "accuracy:0.5000,  loss:1.0000,  \n"
    assert capsys.readouterr().out == f"\nEpoch: 0, {report}.\nEpoch: 1, {report}"


def test_a_fit_without_epochs_prints_nothing(capsys):
    dots = EpochDots()
    dots.on_train_begin()
    dots.on_train_end()
    assert capsys.readouterr().out == ""


def test_the_next_fit_finishes_the_line_of_one_that_raised(capsys):
    dots = EpochDots()
    with pytest.raises(RuntimeError, match="stopped by the test"):
        fit(Frozen(), dots, Raises())
    report = "\nEpoch: 0, accuracy:0.5000,  loss:1.0000,  \n"
    assert capsys.readouterr().out == report + ".."
    fit(Frozen(), dots, epochs=1)
    assert capsys.readouterr().out == "\n" + report + ".\n"


def test_the_interpreters_exit_finishes_an_open_line():
    script = (
        "from keras_regplus.callbacks.epoch_dots import EpochDots\n"
        "dots = EpochDots()\n"
        "dots.on_epoch_end(0, None)\n"
        "raise SystemExit(3)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert run.returncode == 3
    assert run.stdout.replace(b"\r\n", b"\n") == b"\nEpoch: 0, \n.\n"


@pytest.mark.parametrize("character", [".", "~", "-", "!", "x"])
def test_a_detectors_verdict_is_the_dot(capsys, character):
    detector = SimpleNamespace(diagnosis=None)
    dots = EpochDots(detector=detector)
    dots.on_epoch_end(0, {})
    detector.diagnosis = SimpleNamespace(dot=character)
    dots.on_epoch_end(1, {})
    assert capsys.readouterr().out == "\nEpoch: 0, \n." + character


def test_it_writes_to_the_stdout_of_the_moment(monkeypatch):
    dots = EpochDots()
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    dots.on_epoch_end(1, {})
    assert stream.getvalue() == "."


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError])
def test_a_stream_that_fails_does_not_end_the_training(monkeypatch, error):
    class Closed(io.StringIO):
        def write(self, text):
            raise error

    monkeypatch.setattr(sys, "stdout", Closed())
    history = fit(EpochDots(), epochs=2)
    assert len(history.epoch) == 2


def test_only_the_chief_process_prints(capsys, monkeypatch):
    monkeypatch.setattr(epoch_dots, "is_chief", lambda model: False)
    fit(EpochDots())
    assert capsys.readouterr().out == ""


def test_the_logs_are_left_as_they_are():
    logs = {"b": 1.0, "a": 2.0}
    EpochDots().on_epoch_end(0, logs)
    assert list(logs.items()) == [("b", 1.0), ("a", 2.0)]


def test_it_has_no_batch_hooks():
    hooks = [name for name in vars(EpochDots) if "batch" in name]
    assert hooks == []


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda dots: pickle.loads(pickle.dumps(dots))])
def test_copies_print_the_same_and_do_not_share_the_line(capsys, clone):
    dots = EpochDots(report_every=2, dot_every=3)
    dots.on_epoch_end(0, {})
    twin = clone(dots)
    capsys.readouterr()
    twin.on_train_end()
    assert capsys.readouterr().out == ""
    for epoch in (2, 3):
        twin.on_epoch_end(epoch, {})
    assert capsys.readouterr().out == "\nEpoch: 2, \n."


@pytest.mark.parametrize("argument", ["report_every", "dot_every"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (1.5, ValueError),
        (float("nan"), ValueError),
        ("10", TypeError),
        (None, TypeError),
        (True, TypeError),
    ],
)
def test_counts_below_one_are_refused(argument, value, error):
    with pytest.raises(
        error, match=f"EpochDots: `{argument}` must be a whole number of at least 1, got "
    ):
        EpochDots(**{argument: value})


@pytest.mark.parametrize("detector", ["val_loss", 1, keras.callbacks.EarlyStopping()])
def test_a_detector_without_a_diagnosis_is_refused(detector):
    with pytest.raises(
        TypeError, match="EpochDots: `detector` must be an OverfittingDetector or None, got "
    ):
        EpochDots(detector=detector)
