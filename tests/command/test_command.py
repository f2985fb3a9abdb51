"""The command line: what it prints, where, and with which exit code; and the demo behind it."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import keras_regplus
from keras_regplus.command import demo, main
from keras_regplus.diagnosis import Diagnosis


@pytest.fixture
def runs(monkeypatch):
    """The calls that reach the demo."""
    calls = []
    monkeypatch.setattr(demo, "run", lambda *args, **kwargs: calls.append((args, kwargs)))
    return calls


def test_without_arguments_it_says_what_it_can_do(capsys):
    assert main([]) == 0
    printed = capsys.readouterr()
    assert "usage: python -m keras_regplus" in printed.out
    assert "python -m keras_regplus diagnose logs" in printed.out
    assert "python -m keras_regplus demo --output my_demo --epochs 20" in printed.out
    assert printed.err == ""


def test_the_version_is_the_packages(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"keras-regplus {keras_regplus.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "example"),
    [(["--help"], "demo"), (["demo", "--help"], "demo"), (["diagnose", "--help"], "diagnose logs")],
)
def test_help_has_an_example(capsys, arguments, example):
    assert main(arguments) == 0
    assert f"\n  python -m keras_regplus {example}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dem"], "invalid choice: 'dem'"),
        (["--verbose"], "unrecognized arguments: --verbose"),
        (["diagnose"], "the following arguments are required: PATH"),
        (["diagnose", ""], "must be a file or a folder, got ''"),
        (["diagnose", "x", "--mode", "up"], "invalid choice: 'up'"),
        (["diagnose", "x", "--criterion", "best"], "invalid choice: 'best'"),
        (["diagnose", "x", "--fail-on", "overfitting,bad"], "must be among undecided, healthy"),
        (["demo", "extra"], "unrecognized arguments: extra"),
        (["demo", "--epochs"], "argument --epochs: expected one argument"),
        (
            ["demo", "--epochs", "0"],
            "argument --epochs: must be a whole number of at least 1, got '0'",
        ),
        (["demo", "--epochs", "1.5"], "must be a whole number of at least 1, got '1.5'"),
        (["demo", "--epochs=-1"], "must be a whole number of at least 1, got '-1'"),
        (["demo", "--seed", "x"], "must be a whole number from 0 to 4294967295, got 'x'"),
        (["demo", "--seed", "4294967296"], "must be a whole number from 0 to 4294967295"),
    ],
)
def test_errors_are_one_line_and_exit_2(capsys, runs, arguments, message):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("python -m keras_regplus")
    assert message in printed.err
    assert printed.err.count("\n") == 1 and printed.err.endswith("\n")
    assert runs == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (("regplus_demo",), {"epochs": None, "seed": 1})),
        (["--output", "x y", "--epochs", "3", "--seed", "0"], (("x y",), {"epochs": 3, "seed": 0})),
    ],
)
def test_the_demo_gets_its_arguments(runs, arguments, expected):
    assert main(["demo", *arguments]) == 0
    assert runs == [expected]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (demo.DemoError("no room."), 2, "python -m keras_regplus demo: no room.\n"),
        (KeyboardInterrupt(), 130, "\npython -m keras_regplus demo: interrupted.\n"),
    ],
)
def test_a_demo_that_ends_early_says_why(capsys, monkeypatch, error, code, message):
    def raises(*args, **kwargs):
        raise error

    monkeypatch.setattr(demo, "run", raises)
    assert main(["demo"]) == code
    assert capsys.readouterr().err == message


def test_the_module_runs_and_help_imports_nothing_heavy():
    script = (
        "import json, runpy, sys\n"
        "import keras\n"
        "before = set(sys.modules)\n"
        "sys.argv = ['keras_regplus', '--help']\n"
        "try:\n"
        "    runpy.run_module('keras_regplus', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0, end.code\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    imported = set(json.loads(run.stdout.splitlines()[-1]))
    assert "keras_regplus" in imported
    assert not imported & {"sklearn", "matplotlib", "tensorboard", "rich", "tensorflow", "torch"}


@pytest.mark.parametrize("package", ["sklearn", "matplotlib"])
def test_a_missing_package_is_named_with_its_extra(capsys, monkeypatch, tmp_path, package):
    find_spec = demo.importlib.util.find_spec
    monkeypatch.setattr(
        demo.importlib.util, "find_spec", lambda name: None if name == package else find_spec(name)
    )
    assert main(["demo", "--output", str(tmp_path)]) == 2
    expected = f'demo: {package} is missing. Run `pip install "keras-regplus[demo]"`.\n'
    assert capsys.readouterr().err.endswith(expected)


@pytest.mark.parametrize("below", ["", "below"])
def test_a_folder_that_cannot_be_written_is_named(capsys, tmp_path, below):
    file = tmp_path / "file"
    file.write_text("here already")
    assert main(["demo", "--output", str(file / below)]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert f"cannot write to {str(file / below)!r}: " in printed.err
    assert file.read_text() == "here already"


def test_events_of_an_earlier_demo_are_removed_and_nothing_else(tmp_path):
    folder = tmp_path / "logs" / "large_l2" / "weights"
    folder.mkdir(parents=True)
    (folder / "events.out.tfevents.1").touch()
    (folder / "notes.txt").touch()
    demo._prepared(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_the_parts_of_the_data_are_disjoint_and_scaled_by_the_training_rows():
    data = demo._load(seed=1)
    assert [x.shape for x, _ in data] == [(120, 12), (200, 12), (249, 12)]
    assert [y.shape for _, y in data] == [(120, 1), (200, 1), (249, 1)]
    assert len(np.unique(np.concatenate([x for x, _ in data]), axis=0)) == 569
    assert data.train[0].mean(axis=0) == pytest.approx(np.zeros(12), abs=1e-5)
    assert data.train[0].std(axis=0) == pytest.approx(np.ones(12), rel=1e-5)
    assert sum(y.sum() for _, y in data) == 357


def test_the_same_seed_splits_the_same_and_another_does_not():
    first, again, other = (demo._load(seed).train[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_crossentropies_and_hits_are_those_of_logits():
    # A logit of 0.2 is a probability of 0.55: a hit for label 1, at threshold 0.
    scores = demo._Scores.of(np.array([0.2, -3.0, 2.0]), np.array([1.0, 0.0, 0.0]))
    expected = [np.log1p(np.exp(-0.2)), np.log1p(np.exp(-3.0)), np.log1p(np.exp(2.0))]
    assert scores.crossentropy == pytest.approx(expected, rel=1e-12)
    assert scores.hits.tolist() == [True, True, False]


def test_crossentropies_of_huge_logits_do_not_overflow():
    scores = demo._Scores.of(np.array([1000.0, -1000.0]), np.array([0.0, 0.0]))
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
    assert demo._mean_and_error(np.array(values)) == pytest.approx((mean, error), rel=1e-12)


@pytest.mark.parametrize(
    ("mean", "error", "meaning"),
    [
        (-0.3, 0.1, "better"),
        (0.3, 0.1, "worse"),
        (0.2, 0.1, "no clear difference"),
        (0, 0, "no clear difference"),
    ],
)
def test_a_difference_counts_from_two_standard_errors_on(mean, error, meaning):
    assert demo._meaning(mean, error) == meaning


def result(name, verdict="overfitting", crossentropy=(0.2, 0.4), onset=7, **fields):
    scores = demo._Scores(np.array(crossentropy), np.array([True, False]))
    return demo._Result(
        name=name,
        parameters=fields.pop("parameters", 1_234_567),
        history=SimpleNamespace(epoch=list(range(12))),
        diagnosis=Diagnosis(verdict, best_epoch=4, onset_epoch=onset),
        validation=scores,
        test=scores,
    )


def squeezed(line):
    return " ".join(line.split())


def test_the_table_is_aligned_and_fits_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    results = [result("Large"), result("Large + dropout", "healthy", onset=None, parameters=225)]
    demo._print_table(results)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    large, dropout = (next(line for line in lines if line.startswith(n)) for n in ("Large", "+"))
    numbers = "12 4 0.300 0.100 0.500 0.300 0.500"
    assert squeezed(large) == f"Large 1,234,567 {numbers} overfitting 7"
    assert squeezed(dropout) == f"+ dropout 225 {numbers} healthy -"
    # Right-justified columns end under each other.
    assert large.index("fitting") + len("fitting") == dropout.index("healthy") + len("healthy")


def test_the_comparison_is_made_row_by_row(capsys):
    base = result("Large", crossentropy=(0.2, 0.4, 0.9))
    better = result("Large + L2", crossentropy=(0.1, 0.3, 0.8))
    demo._print_comparison([base, better])
    line = capsys.readouterr().out.splitlines()[-1]
    assert squeezed(line) == "Large + L2 -0.100 +/- 0.000 better"


@pytest.mark.parametrize(
    ("diagnosis", "text"),
    [
        (Diagnosis("healthy", best_epoch=11), "healthy at epoch 11; best epoch 11"),
        (
            Diagnosis("overfitting", best_epoch=4, onset_epoch=7),
            "overfitting at epoch 11, since epoch 7; best epoch 4",
        ),
    ],
)
def test_the_ending_names_verdict_onset_and_best_epoch(diagnosis, text):
    ended = SimpleNamespace(diagnosis=diagnosis, history=SimpleNamespace(epoch=list(range(12))))
    assert demo._ending(ended) == text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*longer than")
def test_the_demo_runs_from_start_to_end(capsys, tmp_path):
    output = tmp_path / "my demo"
    assert main(["demo", "--output", str(output), "--epochs", "1"]) == 0
    printed = capsys.readouterr().out
    for number, name in enumerate(["Tiny", "Small", "Medium", "Large"], start=1):
        assert f"[{number}/8] {name}: " in printed
    assert "undecided at epoch 0; best epoch 0" in printed
    assert f"tensorboard --logdir '{output}/logs'" in printed
    assert (output / "curves.png").read_bytes().startswith(b"\x89PNG")
    folders = [
        "large",
        "large_both",
        "large_dropout",
        "large_l1l2",
        "large_l2",
        "medium",
        "small",
        "tiny",
    ]
    logs = output / "logs"
    assert sorted(path.name for path in logs.iterdir()) == folders
    assert all(list(path.rglob("events.out.tfevents.*")) for path in logs.iterdir())
