"""A report: its text by hand, on terminals that can show blocks and on those that cannot."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from keras_regplus.diagnosis import Diagnosis, diagnose
from keras_regplus.diagnosis.report import is_best_after_onset, report, sparkline

EPOCHS = np.arange(100)
FALLING = 0.97**EPOCHS
TURNING = 0.5 + np.abs(EPOCHS - 40) / 100
NOISE = np.random.default_rng(0).normal(size=100)
RISING = Diagnosis("overfitting", best_epoch=2, best_value=0.0, onset_epoch=4, reason="It rose.")
TRAIN, VAL = [7, 6, 5, 4, 3, 2, 1, 0], [7, 3, 0, 1, 2, 4, 5, 6]

IN_BLOCKS = """\
loss and val_loss: overfitting
It rose.
training   █▇▆▅▄▃▂▁  7 to 0
validation █▄▁▂▃▅▆▇  7 to 6
             ^ !
^ best validation 0 at epoch 2, ! overfitting since epoch 4 \
(epochs count from 0; each curve has its own scale).
Next: keep the weights of the best epoch; more data, stronger regularization or a smaller model."""
IN_ASCII = IN_BLOCKS.replace("█▇▆▅▄▃▂▁", "#*+=-:._").replace("█▄▁▂▃▅▆▇", "#-_.:=+*")


def narrow(encoding):
    """A strict stream, as that of a terminal or a pipe."""
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stdout", narrow("utf-8"))


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("utf-8", IN_BLOCKS), ("cp1252", IN_ASCII), ("ascii", IN_ASCII), ("latin-1", IN_ASCII)],
)
def test_a_report_can_be_printed_whatever_the_terminal(monkeypatch, encoding, text):
    stream = narrow(encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    print(report("loss", RISING, TRAIN, VAL), flush=True)
    assert stream.buffer.getvalue() == f"{text}\n".encode(encoding)


@pytest.mark.parametrize(
    ("encoding", "name"), [("cp1252", "pr\xe9cision\\u2082"), ("ascii", "pr\\xe9cision\\u2082")]
)
def test_the_name_of_a_metric_is_escaped_where_it_must_be(monkeypatch, encoding, name):
    monkeypatch.setattr(sys, "stdout", narrow(encoding))
    first = report("pr\xe9cision\u2082", RISING, TRAIN, VAL).splitlines()[0]
    assert first == f"{name} and val_{name}: overfitting"


@pytest.mark.parametrize("stream", [None, io.StringIO()], ids=["none", "no encoding"])
def test_where_no_encoding_is_known_there_are_blocks(monkeypatch, stream):
    monkeypatch.setattr(sys, "stdout", stream)
    assert report("loss", RISING, TRAIN, VAL) == IN_BLOCKS


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([0.663 + 0.031 * part / 7 for part in range(8)], "▁▂▃▄▅▆▇█"),
        ([0, None, 9], "▁ █"),
        ([0, float("inf"), float("nan"), 9], "▁  █"),
        ([3, 3], "▁▁"),
        ([], " "),
    ],
)
def test_a_curve_is_drawn_on_a_scale_of_its_own(values, text):
    assert sparkline(values) == text


def test_a_long_curve_has_48_characters():
    assert len(sparkline(range(1000))) == 48


@pytest.mark.parametrize(
    ("best", "onset", "epochs", "marks"),
    [
        (2, 4, range(8), "  ^ !"),
        (12, 14, range(10, 18), "  ^ !"),
        (7, None, range(8), "       ^"),
        # Each character is two epochs.
        (10, 13, range(96), "     ^!"),
        (10, 11, range(96), "     *"),
        (95, None, range(96), " " * 47 + "^"),
    ],
)
def test_best_epoch_and_onset_are_marked_below_the_curve(best, onset, epochs, marks):
    verdict = "healthy" if onset is None else "overfitting"
    diagnosis = Diagnosis(verdict, best_epoch=best, best_value=0.5, onset_epoch=onset)
    curve = [float(epoch) for epoch in epochs]
    lines = report("loss", diagnosis, curve, curve, epochs=epochs).splitlines()
    assert lines[4] == f"{'':11}{marks}"
    mark = marks.strip()[0]
    assert lines[5].startswith(f"{mark} best validation 0.5 at epoch {best}")


def test_a_best_value_within_overfitting_is_told_to_be_a_single_one():
    diagnosis = Diagnosis("overfitting", best_epoch=4, best_value=0.0, onset_epoch=2)
    assert is_best_after_onset(diagnosis)
    assert "^ best single validation value 0 at epoch 4, ! overfitting since epoch 2" in report(
        "loss", diagnosis, TRAIN, VAL
    )
    assert not is_best_after_onset(RISING)
    assert not is_best_after_onset(Diagnosis("healthy", best_epoch=4))


@pytest.mark.parametrize("verdict", ["healthy", "stagnating", "plateau"])
def test_who_should_stop_is_not_told_to_train_on(verdict):
    diagnosis = Diagnosis(verdict, best_epoch=2, best_value=0.0, should_stop=True)
    last = report("loss", diagnosis, TRAIN, VAL).splitlines()[-1]
    assert last == "Next: stop, and keep the weights of the best epoch."


def test_a_report_without_validation_says_that_it_is_missing():
    diagnosis = diagnose([0.0, 1.0], [None, None])
    assert report("loss", diagnosis, [0.0, 1.0], [None, None]) == (
        "loss and val_loss: undecided\n"
        "Too little seen: 0 validated epochs, 5 are needed.\n"
        "training   ▁█  0 to 1\n"
        "validation     nothing seen\n"
        "Next: validation, which is missing: without its values there is no verdict."
    )


def test_one_epoch_is_no_epochs():
    reason = diagnose([1.0], [1.0]).reason
    assert reason == "Too little seen: 1 validated epoch, 5 are needed."


def test_a_report_has_the_reason_and_the_numbers_of_the_diagnosis():
    diagnosis = diagnose(FALLING, TURNING)
    lines = report("loss", diagnosis, list(FALLING), list(TURNING)).splitlines()
    assert lines[1] == diagnosis.reason
    assert lines[2].endswith("1 to 0.04902")
    onset = diagnosis.onset_epoch
    assert f"best validation 0.5 at epoch 40, ! overfitting since epoch {onset} " in lines[5]


def test_report_names_noise_that_hides_the_answer():
    val = 0.8 * (1 + 0.2 * NOISE)
    assert "a larger set" in report("loss", diagnose(FALLING, val), list(FALLING), list(val))
