"""`diagnose` on the command line: what it finds, prints and draws, and its exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys

import pytest

from keras_regplus.command import main
from keras_regplus.diagnosis import diagnose

TRAIN = [1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125]
RISING = [1.0, 0.75, 1.5, 2.0, 2.5, 3.0]
FALLING = [1.0, 0.5, 0.3, 0.2, 0.1, 0.05]
OVERFITTING, HEALTHY = diagnose(TRAIN, RISING), diagnose(TRAIN, FALLING)
ADDRESS = "python -m keras_regplus diagnose: "


def log(path, val, metric="loss"):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"epoch,{metric},val_{metric}"]
    lines += [f"{epoch},{a},{b}" for epoch, (a, b) in enumerate(zip(TRAIN, val, strict=True))]
    path.write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture
def logs(tmp_path, monkeypatch):
    """A folder `logs` with three runs and other things, in the current folder."""
    monkeypatch.chdir(tmp_path)
    log(tmp_path / "logs" / "run_10" / "log.csv", RISING)
    log(tmp_path / "logs" / "run_9" / "log.csv", FALLING)
    only_training = {"loss": TRAIN}
    (tmp_path / "logs" / "blind.json").write_text(json.dumps(only_training))
    (tmp_path / "logs" / "config.json").write_text('{"units": 3}')
    (tmp_path / "logs" / "notes.txt").write_text("nothing to read")
    return tmp_path / "logs"


def squeezed(text):
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_folder_becomes_a_table_with_a_line_for_each_run(capsys, logs):
    assert main(["diagnose", "logs"]) == 0
    printed = capsys.readouterr()
    assert squeezed(printed.out) == [
        "run epochs best onset verdict reason",
        "blind.json 6 - - - There are no validation values, only loss.",
        f"run_9/log.csv 6 5 - healthy {HEALTHY.reason}",
        f"run_10/log.csv 6 1 {OVERFITTING.onset_epoch} overfitting {OVERFITTING.reason}",
        "",
        "3 runs: 1 not diagnosed, 1 healthy, 1 overfitting.",
        "Judged by loss. Epochs count from 0.",
    ]
    assert printed.err == ""
    # For other programs: nothing at the ends of lines, no escape sequences.
    assert all(line == line.rstrip() for line in printed.out.splitlines())
    assert printed.out.isascii() and "\x1b" not in printed.out


def test_several_paths_keep_their_names(capsys, logs):
    assert main(["diagnose", "logs/run_9/", "logs/blind.json", "logs/run_9/log.csv"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:3]]
    assert names == ["logs/run_9/log.csv", "logs/blind.json"]


def test_epochs_that_were_not_logged_are_not_counted(capsys, tmp_path):
    path = tmp_path / "resumed.csv"
    rows = [f"{epoch + 10},{a},{b}" for epoch, (a, b) in enumerate(zip(TRAIN, RISING, strict=True))]
    path.write_text("\n".join(["epoch,loss,val_loss", *rows]))
    assert main(["diagnose", str(path)]) == 0
    line = squeezed(capsys.readouterr().out)[1]
    assert f" 6 11 {OVERFITTING.onset_epoch + 10} overfitting " in line


class Terminal(io.StringIO):
    """A stream that passes for a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


def shown_on_terminal(monkeypatch, arguments, columns):
    """What a terminal of that width gets, whatever the environment of the tests says."""
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main(["diagnose", *arguments]) == 0
    return sys.stdout.getvalue()


def without_colours(text):
    return re.sub(r"\x1b\[[\d;]*m", "", text).splitlines()


@pytest.mark.parametrize("columns", [80, 119])
def test_on_a_narrow_terminal_the_reason_stands_below(logs, monkeypatch, columns):
    lines = without_colours(shown_on_terminal(monkeypatch, ["logs"], columns))
    assert max(map(len, lines)) <= columns
    assert squeezed(lines[0]) == ["run epochs best onset verdict"]
    assert f"overfitting {OVERFITTING.reason} 3 runs" in " ".join("\n".join(lines).split())
    below = [line for line in lines if "Validation" in line]
    assert len(below) == 2 and all(line.startswith("    Validation") for line in below)


def test_on_a_wide_terminal_the_reason_is_a_column(logs, monkeypatch):
    lines = without_colours(shown_on_terminal(monkeypatch, ["logs"], 120))
    assert squeezed(lines[0]) == ["run epochs best onset verdict reason"]
    assert max(map(len, lines)) <= 120
    # A long reason goes on below its own beginning.
    start = lines[0].index("reason")
    below = [line for line in lines if line.startswith(" ")]
    assert below and all(not line[:start].strip() for line in below)


def test_a_terminal_has_colours(logs, monkeypatch):
    assert "\x1b[31m" in shown_on_terminal(monkeypatch, ["logs"], 120)


def test_the_bar_is_for_a_terminal(logs, monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    assert main(["diagnose", "logs"]) == 0
    assert "Reading" in shown.getvalue()
    assert "Reading" not in capsys.readouterr().out


ODD_NAME = "a \u00e9\n[red]x\x1b[31m"
NOT_ON_WINDOWS = pytest.mark.skipif(os.name == "nt", reason="it has no such file names")


@NOT_ON_WINDOWS
def test_names_cannot_break_the_lines(capsys, tmp_path):
    log(tmp_path / ODD_NAME / "log.csv", RISING)
    assert main(["diagnose", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("a é\\n[red]x\\x1b[31m/log.csv ")
    assert len(lines) == 5


@NOT_ON_WINDOWS
def test_names_cannot_break_the_encoding(tmp_path):
    log(tmp_path / ODD_NAME / "log.csv", RISING)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LANG": "C"}
    command = [sys.executable, "-m", "keras_regplus", "diagnose", ".", "missing é\n"]
    run = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment)
    assert run.returncode == 0, run.stderr
    assert b"\n./a \\xe9\\n[red]x\\x1b[31m/log.csv " in run.stdout
    missing = f"{ADDRESS}missing \\xe9\\n: No such file or directory."
    assert run.stderr.decode("ascii").splitlines()[-1] == missing


def test_json_is_one_document_with_all_that_is_known(capsys, logs):
    (logs / "broken.json").write_text('{"loss": [1')
    assert main(["diagnose", "logs", "--json", "--mode", "min"]) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    blind, _, overfitting = document["runs"]
    assert overfitting == {
        **json.loads(OVERFITTING.to_json()),
        "run": "run_10/log.csv", "path": os.path.join("logs", "run_10", "log.csv"),
        "metric": "loss", "mode": "min", "epochs": 6,
    }  # fmt: skip
    assert blind["verdict"] is None and blind["metric"] is None
    (unreadable,) = document["unreadable"]
    assert unreadable["path"] == os.path.join("logs", "broken.json")
    assert unreadable["reason"].startswith("it is no valid JSON")
    assert unreadable["reason"] in printed.err


def test_a_file_that_cannot_be_read_is_named_and_the_others_go_on(capsys, logs):
    (logs / "events.out.tfevents.1").write_bytes(b"")
    (logs / "bad.csv").write_bytes(b"epoch,loss\n0,\xff\n")
    assert main(["diagnose", "missing", "logs", "logs/config.json"]) == 0
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert lines[0] == f"{ADDRESS}missing: No such file or directory."
    assert lines[1] == f"{ADDRESS}logs: no complete record in events.out.tfevents.1."
    assert lines[2].startswith(f"{ADDRESS}logs/bad.csv: 'utf-8' codec can't decode")
    assert lines[3] == f"{ADDRESS}logs/config.json: it holds no JSON object of lists."
    assert len(lines) == 4
    assert "3 runs: " in printed.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "there is no training in the given paths."),
        (["logs/config.json"], "there is no training in the given paths."),
        (["logs/notes.txt"], "there is no training in the given paths."),
        (["logs/blind.json"], "no run could be diagnosed."),
        (["logs", "--metric", "auc"], "no run could be diagnosed."),
        (["logs/run_9", "--plot", "nowhere/x.png"], "cannot draw into 'nowhere/x.png': No such"),
        (["logs/run_9", "--plot", "x.docx"], "cannot draw into 'x.docx': Format 'docx' is not"),
    ],
)
def test_where_nothing_can_be_done_the_exit_code_is_2(capsys, logs, arguments, message):
    assert main(["diagnose", *arguments]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"{ADDRESS}{message}")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 0),
        (["--fail-on", "overfitting"], 1),
        (["--fail-on", "diverging"], 0),
        (["--fail-on", "diverging,healthy"], 1),
        (["--fail-on", "diverging", "--fail-on", "overfitting"], 1),
    ],
)
def test_fail_on_sets_the_exit_code(capsys, logs, arguments, code):
    assert main(["diagnose", "logs", *arguments]) == code


def table_of(capsys, *arguments):
    main(["diagnose", *arguments])
    return squeezed(capsys.readouterr().out)


def test_metric_mode_and_criterion_are_used(capsys, tmp_path):
    log(tmp_path / "accuracy.csv", FALLING, "accuracy")
    log(tmp_path / "score.csv", RISING, "score")
    path = str(tmp_path)
    of_accuracy = diagnose(TRAIN, FALLING, mode="max")
    assert of_accuracy.reason in table_of(capsys, path)[1]
    assert "Name a metric with --metric; there are score." in table_of(capsys, path)[2]
    lines = table_of(capsys, path, "--metric", "val_score")
    assert "val_score has no validation values; these have: accuracy." in lines[1]
    assert "Say with --mode which way score is better." in lines[2]
    lines = table_of(capsys, path, "--metric", "Score", "--mode", "min")
    assert OVERFITTING.reason in lines[2]
    lines = table_of(capsys, path, "--metric", "score", "--mode", "min", "--criterion", "gl")
    assert diagnose(TRAIN, RISING, criterion="gl").reason in lines[2]


def test_a_data_loss_that_is_lost_on_the_way_is_not_judged(capsys, tmp_path):
    lost = [*TRAIN[:2], *["nan"] * 4]
    rows = zip(TRAIN, RISING, lost, lost, strict=True)
    lines = [",".join(map(str, (epoch, *row))) for epoch, row in enumerate(rows)]
    header = "epoch,loss,val_loss,data_loss,val_data_loss"
    (tmp_path / "log.csv").write_text("\n".join([header, *lines]))
    lines = table_of(capsys, str(tmp_path))
    assert OVERFITTING.reason in lines[1]
    assert "Judged by loss. Epochs count from 0." in lines


@pytest.mark.parametrize("criterion", ["trend", "gl", "pq", "up"])
def test_every_criterion_can_be_named(capsys, logs, criterion):
    expected = diagnose(TRAIN, RISING, criterion=criterion).reason
    assert expected in table_of(capsys, "logs/run_10", "--criterion", criterion)[1]


def drawn(monkeypatch, arguments):
    """The Axes of the picture."""
    from matplotlib.figure import Figure

    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *a, **k: (figures.append(figure), save(figure, *a, **k))
    )
    assert main(["diagnose", *arguments]) == 0
    return figures[0].axes


def test_the_picture_shows_both_curves_best_and_onset(capsys, logs, monkeypatch, tmp_path):
    log(logs / "cost_$x$.csv", RISING)
    axes = drawn(monkeypatch, ["logs", "--plot", "curves.png"])
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    titles = ["cost_$x$.csv: overfitting", "run_9/log.csv: healthy", "run_10/log.csv: overfitting"]
    assert [ax.get_title() for ax in axes] == titles
    train, val, best, onset = axes[2].lines
    assert [list(line.get_ydata()) for line in (train, val)] == [TRAIN, RISING]
    assert (train.get_linestyle(), val.get_linestyle()) == ("-", "--")
    assert (list(best.get_xdata()), list(best.get_ydata())) == ([1], [0.75])
    assert list(onset.get_xdata()) == [OVERFITTING.onset_epoch] * 2
    assert len(axes[1].lines) == 3


def test_a_picture_has_room_for_thirty_runs(capsys, monkeypatch, tmp_path):
    for number in range(32):
        log(tmp_path / f"{number}.csv", RISING)
    axes = drawn(monkeypatch, [str(tmp_path), "--plot", str(tmp_path / "x.svg")])
    assert len(axes) == 30
    assert capsys.readouterr().err.endswith("shows the first runs; 2 are left out.\n")


def test_without_matplotlib_the_picture_is_refused_and_the_library_named(capsys, logs, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["diagnose", "logs", "--plot", "x.png"]) == 2
    printed = capsys.readouterr()
    assert "matplotlib is missing. Run `pip install matplotlib`.\n" in printed.err
    assert "3 runs" in printed.out


def test_a_reader_that_has_seen_enough_is_no_error(logs):
    code = (
        "import os, sys; from keras_regplus.command import main\n"
        "reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 1)\n"
        "sys.exit(main(['diagnose', 'logs', '--fail-on', 'overfitting']))"
    )
    # Without a buffer nothing is left to be written when the interpreter ends.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.returncode == 1
    # A backend may have something to say, too.
    assert "BrokenPipeError" not in run.stderr


def test_an_interrupt_is_one_line_and_exit_130(capsys, logs, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_regplus.command.diagnose.read_run", interrupt)
    assert main(["diagnose", "logs"]) == 130
    assert capsys.readouterr().err == f"\n{ADDRESS}interrupted.\n"
