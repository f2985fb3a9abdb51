"""The command line: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import keras_regplus
from keras_regplus.command import demo, main


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
        (demo.DemoError("no space."), 2, "python -m keras_regplus demo: no space.\n"),
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
