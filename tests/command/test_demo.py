"""The demo from start to end: what it needs, what it writes, and where."""

from __future__ import annotations

import pytest

from keras_regplus.command import _demo_training as training
from keras_regplus.command import demo, main


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (["sklearn"], "scikit-learn is missing. Run `pip install scikit-learn`."),
        (["matplotlib"], "matplotlib is missing. Run `pip install matplotlib`."),
        (
            ["sklearn", "matplotlib"],
            "matplotlib and scikit-learn are missing. Run `pip install matplotlib scikit-learn`.",
        ),
    ],
)
def test_missing_libraries_are_named(capsys, monkeypatch, tmp_path, modules, message):
    find_spec = demo.importlib.util.find_spec
    monkeypatch.setattr(
        demo.importlib.util, "find_spec", lambda name: None if name in modules else find_spec(name)
    )
    assert main(["demo", "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith(f" demo: {message}\n")
    assert list(tmp_path.iterdir()) == []


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
    demo._prepare(tmp_path / "curves.png", tmp_path / "logs", training.experiments())
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*longer than")
def test_the_demo_runs_from_start_to_end(capsys, tmp_path):
    output = tmp_path / "my demo"
    assert main(["demo", "--output", str(output), "--epochs", "1"]) == 0
    printed = capsys.readouterr().out
    for number, name in enumerate(["Tiny", "Small", "Medium", "Large"], start=1):
        assert f"[{number}/8] {name}: " in printed
    assert printed.count("! overfitting") == 1  # the legend
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
