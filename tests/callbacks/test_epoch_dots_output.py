"""Where `EpochDots` writes and how its lines are laid out, against bytes written down by hand."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import EpochDots
from keras_regplus.diagnosis import Diagnosis

pytestmark = pytest.mark.same_on_all_backends

LEGEND = ". undecided or healthy, ~ stagnating, - plateau, ! overfitting, x diverging\n"


def train(dots, epochs, logs=None, first=0):
    dots.set_params({"epochs": epochs, "verbose": 0})
    dots.on_train_begin()
    for epoch in range(first, epochs):
        dots.on_epoch_end(epoch, {"loss": 0.5} if logs is None else logs)
    dots.on_train_end()


def ours(caught):
    """How many of the warnings are of this package: the backends have their own."""
    return sum(issubclass(warning.category, RegPlusWarning) for warning in caught)


def written(epochs, logs=None, first=0, **arguments):
    stream = io.StringIO()
    train(EpochDots(file=stream, **arguments), epochs, logs, first)
    return stream.getvalue()


def test_wrapped_lines_begin_with_their_epoch_and_hold_whole_tens():
    expected = (
        "Epoch: 0, loss:0.5000\n"
        f"  0 {'.' * 90}\n"
        f" 90 {'.' * 60}\n"
        "Epoch: 150, loss:0.5000\n"
        f"150 {'.' * 51}\n"
    )
    assert written(201, report_every=150, wrap=True) == expected


def test_a_wrapped_training_that_goes_on_begins_at_its_epoch():
    assert written(103, first=95, wrap=True) == " 95 .....\nEpoch: 100, loss:0.5000\n100 ...\n"


def test_a_long_report_is_wrapped_between_its_values():
    logs = {f"a_metric_with_a_long_name_{number}": 1.0 for number in range(4)}
    text = written(1, logs, wrap=True)
    assert text == (
        "Epoch: 0, a_metric_with_a_long_name_0:1.0000,  a_metric_with_a_long_name_1:1.0000,\n"
        "  a_metric_with_a_long_name_2:1.0000,  a_metric_with_a_long_name_3:1.0000\n"
        "0 .\n"
    )


def on_terminal(columns, epochs):
    """What a terminal of that width gets, with its line ends as Python wrote them."""
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, columns))
    with os.fdopen(slave, "w") as stream:
        train(EpochDots(report_every=1000, file=stream, wrap=True), epochs)
    shown = b""
    # The end of the other side is an error on Linux.
    with contextlib.suppress(OSError):
        while chunk := os.read(master, 4096):
            shown += chunk
    os.close(master)
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("columns", "dots"), [(80, 70), (200, 190), (20, 10), (13, 8), (3, 1), (0, 70)]
)
def test_on_a_terminal_lines_end_at_its_width(columns, dots):
    lines = on_terminal(columns, 101).splitlines()
    rows = [f"{epoch:>3} {'.' * min(dots, 101 - epoch)}" for epoch in range(0, 101, dots)]
    assert lines[-len(rows) :] == rows


def test_nothing_but_printable_ascii_and_newlines_is_written():
    said = Diagnosis("plateau", best_epoch=1, gap=0.5)
    for arguments in ({}, {"wrap": True}, {"json_lines": True}, {"summary": True, "times": True}):
        detector = SimpleNamespace(diagnosis=said)
        text = written(5, {"odd": "\x1b[31mred\x07"}, detector=detector, **arguments)
        assert text.isascii()
        assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("ascii", b"pr\\xe9cision"), ("cp1252", b"pr\xe9cision"), ("utf-8", b"pr\xc3\xa9cision")],
)
def test_a_character_that_the_encoding_lacks_is_escaped(encoding, name):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    train(EpochDots(file=stream), 1, {"précision": 0.5})
    assert stream.buffer.getvalue() == b"\nEpoch: 0, " + name + b":0.5000,  \n.\n"


def test_json_lines_are_reports_of_their_own():
    logs = {
        "loss": float("nan"),
        "acc": np.float32(0.5),
        "up": float("-inf"),
        "count": np.int64(7),
        "done": True,
        "recall": keras.ops.convert_to_tensor([0.5, 0.25]),
        "word": "é\n",
        "none": None,
        "odd": object,
        1: [0.5, float("nan")],
    }
    first, second = written(11, logs, report_every=10, json_lines=True).splitlines()
    assert json.loads(second)["epoch"] == 10
    assert json.loads(first) == {
        "epoch": 0,
        "metrics": {
            "1": [0.5, None],
            "acc": 0.5,
            "count": 7,
            "done": True,
            "loss": None,
            "none": None,
            "odd": "<class 'object'>",
            "recall": [0.5, 0.25],
            "up": None,
            "word": "é\n",
        },
    }


def test_json_lines_hold_what_else_is_asked_for():
    said = Diagnosis("overfitting", best_epoch=3, gap=float("nan"))
    text = written(
        2,
        {"loss": 1.0, "val_loss": 1e-9},
        detector=SimpleNamespace(diagnosis=said),
        metrics="val_loss",
        times=True,
        summary=True,
        json_lines=True,
    )
    report, *ends = (json.loads(line) for line in text.splitlines())
    assert report.pop("elapsed_seconds") >= 0
    assert report.pop("left_seconds") >= 0
    assert report == {
        "epoch": 0,
        "metrics": {"val_loss": 1e-9},
        "diagnosis": {"verdict": "overfitting", "best_epoch": 3, "gap": None},
    }
    values = {"metrics": {"val_loss": 1e-9}}
    assert ends == [
        {"which": "first", "epoch": 0, **values},
        {"which": "best", "epoch": 0, "by": "val_loss", **values},
        {"which": "last", "epoch": 1, **values},
    ]


def test_a_path_is_made_with_its_folders_and_appended_to(tmp_path, capsys):
    path = tmp_path / "new" / "run.log"
    dots = EpochDots(file=path)
    train(dots, 2, {"é": 0.5})
    train(dots, 1, {})
    expected = "\nEpoch: 0, é:0.5000,  \n..\n\nEpoch: 0, \n.\n"
    assert path.read_bytes().replace(b"\r\n", b"\n").decode("utf-8") == expected
    assert capsys.readouterr().out == ""


def test_a_dot_is_in_the_file_at_once(tmp_path):
    dots = EpochDots(file=str(tmp_path / "run.log"))
    dots.on_epoch_end(1)
    assert (tmp_path / "run.log").read_text() == "."


def test_a_logger_gets_a_record_for_each_report_and_no_dots(caplog):
    logger = logging.getLogger("test.dots")
    with caplog.at_level(logging.INFO, logger.name):
        train(EpochDots(report_every=2, logger=logger, summary=True), 3, {"100 %": 0.5})
    texts = ["Epoch: 0", "Epoch: 2", "First epoch: 0", "Last epoch: 2"]
    assert caplog.messages == [f"{text}, 100 %:0.5000,  " for text in texts]
    assert {record.levelname for record in caplog.records} == {"INFO"}


class Jupyter(io.StringIO):
    """A stream that sends by itself every so often, as that of ipykernel does."""

    flush_interval = 0.2
    flushes = 0

    def flush(self):
        self.flushes += 1


def test_a_notebook_is_not_flooded_with_a_message_for_each_dot():
    stream = Jupyter()
    train(EpochDots(file=stream), 50)
    assert stream.flushes == 0
    assert stream.getvalue() == "\nEpoch: 0, loss:0.5000,  \n" + "." * 50 + "\n"


class Broken(io.StringIO):
    def write(self, text):
        raise RuntimeError("no write")

    def isatty(self):
        raise RuntimeError("no terminal")


class Full(logging.Filter):
    def filter(self, record):
        raise OSError("No space left on device")


def failing_logger():
    logger = logging.Logger("failing", level=logging.INFO)
    logger.addFilter(Full())
    return {"logger": logger}


def closed_stream():
    stream = io.StringIO()
    stream.close()
    return {"file": stream}


@pytest.mark.parametrize(
    "failing",
    [
        lambda path: {"file": Broken()},
        lambda path: closed_stream(),
        lambda path: failing_logger(),
        lambda path: {"file": path / "a file" / "run.log"},
    ],
    ids=["stream", "closed", "logger", "path"],
)
@pytest.mark.parametrize("wrap", [False, True])
def test_what_cannot_be_written_costs_one_warning(tmp_path, failing, wrap):
    (tmp_path / "a file").touch()
    dots = EpochDots(report_every=1, wrap=wrap, **failing(tmp_path))
    with pytest.warns(RegPlusWarning, match="could not be written") as caught:
        train(dots, 3)
        train(dots, 3)
    assert ours(caught) == 1


def test_a_full_disk_costs_one_warning():
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full here")
    with pytest.warns(RegPlusWarning, match=r"`file` could not be written .*No space") as caught:
        train(EpochDots(file="/dev/full"), 3)
    assert ours(caught) == 1


def test_a_reader_that_leaves_ends_nothing():
    script = (
        "from keras_regplus.callbacks import EpochDots\n"
        "dots = EpochDots(wrap=True, summary=True, report_every=1)\n"
        "dots.on_train_begin()\n"
        "[dots.on_epoch_end(epoch, {'loss': 1.0}) for epoch in range(3000)]\n"
        "dots.on_train_end()\n"
        "import sys; print('trained', file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", script]
    training = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    training.stdout.read(10)
    training.stdout.close()
    said = training.stderr.read().decode()
    training.stderr.close()
    training.wait()
    assert "trained" in said
    assert "RegPlusWarning" not in said


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda dots: pickle.loads(pickle.dumps(dots))])
def test_a_copy_writes_to_the_same_file_also_in_the_middle_of_a_training(tmp_path, clone):
    dots = EpochDots(file=tmp_path / "run.log", wrap=True, summary=True, times=True)
    dots.on_epoch_end(1)
    twin = clone(dots)
    dots.on_epoch_end(2)
    twin.on_epoch_end(3)
    dots.on_train_end()
    assert (tmp_path / "run.log").read_text().startswith("   1 ..   3 .\nFirst epoch: 1\n")


def test_a_copy_shares_the_stream():
    stream = io.StringIO()
    copy.deepcopy(EpochDots(file=stream)).on_epoch_end(1)
    assert stream.getvalue() == "."


@pytest.mark.parametrize("file", [5, b"run.log", io.BytesIO(), io.StringIO, ["run.log"]])
def test_what_is_no_file_is_refused(file):
    with pytest.raises(TypeError, match="EpochDots: `file` must be a stream of text, a path or"):
        EpochDots(file=file)


@pytest.mark.parametrize("folder", [".", ""])
def test_a_folder_is_no_file(folder):
    with pytest.raises(ValueError, match="EpochDots: `file` must be a stream of text, a path or"):
        EpochDots(file=folder)


def test_a_file_and_a_logger_are_one_too_many():
    with pytest.raises(ValueError, match="EpochDots: `logger` must be None beside `file`, got "):
        EpochDots(file="run.log", logger=logging.getLogger("dots"))


def test_the_example_prints_a_training_that_comes_to_overfit():
    script = Path(__file__).parents[2] / "examples" / "quiet_training.py"
    words = ["epochs=140", "wrap=True", "summary=True", "metrics='loss'"]
    command = [sys.executable, str(script), *words]
    lines = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    assert lines[0] + "\n" == LEGEND
    assert lines[-1].startswith("Last epoch: 139, loss:")
    assert lines[-4].endswith("!" * 10)
