"""The notes of a backend stay off the command line's screen, and only off that."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from keras_regplus import _quiet_start


@pytest.mark.parametrize(
    ("argv", "orig_argv", "is_ours"),
    [
        (["-m", "demo"], ["python", "-m", "keras_regplus", "demo"], True),
        (["-m"], ["python", "-W", "error", "-m", "keras_regplus"], True),
        (["-m", "demo"], ["python", "-Imkeras_regplus", "demo"], True),
        (["/usr/bin/keras-regplus", "demo"], ["python", "/usr/bin/keras-regplus", "demo"], True),
        (["keras-regplus.exe"], ["python.exe", "keras-regplus.exe"], True),
        (["-m", "keras_regplus"], ["python", "-m", "pytest", "keras_regplus"], False),
        (["train.py"], ["python", "train.py"], False),
        (["-c"], ["python", "-c", "import keras_regplus"], False),
        ([""], ["python"], False),
        ([], [], False),
    ],
)
def test_only_our_own_command_is_quiet(monkeypatch, argv, orig_argv, is_ours):
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", orig_argv)
    assert _quiet_start.is_command_line() is is_ours


@pytest.fixture(autouse=True)
def nobody_asked_for_notes(monkeypatch):
    monkeypatch.setattr(_quiet_start, "_user_wants_notes", False)


def test_what_is_written_below_python_is_held_back(capfd):
    with _quiet_start.quiet():
        os.write(2, b"oneDNN custom operations are on.\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_who_sets_the_level_sees_the_notes(capfd, monkeypatch):
    monkeypatch.setattr(_quiet_start, "_user_wants_notes", True)
    with _quiet_start.quiet():
        os.write(2, b"oneDNN custom operations are on.\n")
    assert capfd.readouterr().err == "oneDNN custom operations are on.\n"


def test_without_room_for_the_notes_they_are_shown(capfd, monkeypatch):
    def full():
        raise OSError("no space left")

    monkeypatch.setattr(_quiet_start.tempfile, "TemporaryFile", full)
    with _quiet_start.quiet():
        os.write(2, b"shown\n")
    assert capfd.readouterr().err == "shown\n"


def test_after_an_error_it_is_shown(capfd):
    with pytest.raises(ImportError), _quiet_start.quiet():
        os.write(2, b"no such symbol\n")
        raise ImportError
    assert capfd.readouterr().err == "no such symbol\n"


@pytest.mark.slow
def test_the_command_starts_without_notes_of_the_backend():
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-m", "keras_regplus", "--version"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert run.stderr == ""
