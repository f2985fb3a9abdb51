"""Where `EpochDots` writes and how its lines are laid out, against bytes written down by hand."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

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


def on_terminal(columns, epochs, logs=None, **arguments):
    """What a terminal of that width gets, with its line ends as Python wrote them."""
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, columns))
    with os.fdopen(slave, "w") as stream:
        train(EpochDots(report_every=1000, file=stream, **arguments), epochs, logs)
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
    lines = on_terminal(columns, 101, wrap=True).splitlines()
    rows = [f"{epoch:>3} {'.' * min(dots, 101 - epoch)}" for epoch in range(0, 101, dots)]
    assert lines[-len(rows) :] == rows


MANY = {"accuracy": 0.5, "loss": 1, "recall": [0.25, 0.5], "val_accuracy": 0.5, "val_loss": 2}


@pytest.mark.parametrize(
    ("columns", "report"),
    [
        (
            80,
            "Epoch: 0, accuracy:0.5000,  loss:1.0000,  recall:[0.25, 0.5],\n"
            "  val_accuracy:0.5000,  val_loss:2.0000\n",
        ),
        (
            24,
            "Epoch: 0,\n  accuracy:0.5000,\n  loss:1.0000,\n  recall:[0.25, 0.5],\n"
            "  val_accuracy:0.5000,\n  val_loss:2.0000\n",
        ),
        (
            104,
            "Epoch: 0, accuracy:0.5000,  loss:1.0000,  recall:[0.25, 0.5],  val_accuracy:0.5000,"
            "  val_loss:2.0000,  \n",
        ),
        # The last column stays free: some terminals go on in the next line when it is full.
        (
            62,
            "Epoch: 0, accuracy:0.5000,  loss:1.0000,  recall:[0.25, 0.5],\n"
            "  val_accuracy:0.5000,  val_loss:2.0000\n",
        ),
        (
            61,
            "Epoch: 0, accuracy:0.5000,  loss:1.0000,\n"
            "  recall:[0.25, 0.5],  val_accuracy:0.5000,  val_loss:2.0000\n",
        ),
        # The blanks at the end are the first to go.
        (
            102,
            "Epoch: 0, accuracy:0.5000,  loss:1.0000,  recall:[0.25, 0.5],  val_accuracy:0.5000,"
            "  val_loss:2.0000\n",
        ),
        # A name that is wider than the screen stays whole.
        (
            12,
            "Epoch: 0,\n  accuracy:0.5000,\n  loss:1.0000,\n  recall:[0.25, 0.5],\n"
            "  val_accuracy:0.5000,\n  val_loss:2.0000\n",
        ),
    ],
)
def test_a_report_that_a_terminal_cannot_show_in_a_line_is_broken_between_metrics(columns, report):
    assert on_terminal(columns, 1, MANY) == f"\n{report}.\n"


def test_a_report_that_no_terminal_gets_stays_one_line():
    logs = {f"a_metric_with_a_long_name_{number}": 1.0 for number in range(9)}
    values = "".join(f"{name}:1.0000,  " for name in logs)
    assert written(1, logs) == f"\nEpoch: 0, {values}\n.\n"


def test_a_summary_and_a_legend_are_broken_as_reports_are():
    detector = SimpleNamespace(diagnosis=Diagnosis("plateau"))
    text = on_terminal(50, 1, {"loss": 1, "val_loss": 2}, detector=detector, summary=True)
    values = "loss:1.0000,  val_loss:2.0000"
    assert text == (
        ". undecided or healthy, ~ stagnating, - plateau,\n  ! overfitting, x diverging\n"
        f"\nEpoch: 0, {values},\n  verdict:plateau\n-\n"
        f"First epoch: 0, {values},  \n"
        f"Best epoch: 0 (val_loss), loss:1.0000,\n  val_loss:2.0000\n"
        f"Last epoch: 0, {values},  \n"
    )


def test_each_stream_gets_the_legend_once_and_each_other_one_too(tmp_path):
    detector = SimpleNamespace(diagnosis=Diagnosis("plateau"))
    streams = io.StringIO(), io.StringIO()
    for stream in (*streams, *streams):
        train(EpochDots(file=stream, detector=detector), 1)
    for name in ("one.log", "two.log"):
        train(EpochDots(file=tmp_path / name, detector=detector), 1)
    texts = [stream.getvalue() for stream in streams]
    texts += [(tmp_path / name).read_text() for name in ("one.log", "two.log")]
    assert [text.count(LEGEND) for text in texts] == [1, 1, 1, 1]
    assert all(text.startswith(LEGEND) for text in texts)


def test_nothing_but_printable_ascii_and_newlines_is_written():
    detector = SimpleNamespace(diagnosis=Diagnosis("plateau", best_epoch=1, gap=0.5))
    for arguments in ({}, {"wrap": True}, {"summary": True, "times": True}):
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


def closed_stream():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize(
    ("file", "error"),
    [
        (Broken(), "no write"),
        (closed_stream(), "closed file"),
        (Path(__file__) / "run.log", "File exists|Not a directory"),
        ("/dev/full", "No space"),
    ],
    ids=["broken", "closed", "path", "full"],
)
@pytest.mark.parametrize("wrap", [False, True])
def test_a_failure_to_write_gives_one_warning(file, error, wrap):
    if file == "/dev/full" and not os.path.exists(file):
        pytest.skip("there is no /dev/full here")
    dots = EpochDots(report_every=1, wrap=wrap, file=file)
    text = f"EpochDots: `file` could not be written .*({error})"
    with pytest.warns(RegPlusWarning, match=text) as caught:
        train(dots, 3)
        train(dots, 3)
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
    errors = training.stderr.read().decode()
    training.stderr.close()
    training.wait()
    assert "trained" in errors
    assert "RegPlusWarning" not in errors


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


def test_the_example_prints_a_training_that_comes_to_overfit():
    script = Path(__file__).parents[2] / "examples" / "quiet_training.py"
    words = ["epochs=140", "wrap=True", "summary=True", "metrics='loss'"]
    command = [sys.executable, str(script), *words]
    lines = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    assert lines[0] + "\n" == LEGEND
    assert lines[-1].startswith("Last epoch: 139, loss:")
    assert lines[-4].endswith("!" * 10)
