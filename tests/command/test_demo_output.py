"""What the demo prints."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from keras_regplus.command import _demo_output as demo_output
from keras_regplus.command._demo_training import Result, Scores
from keras_regplus.diagnosis import Diagnosis


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
    assert demo_output._meaning(mean, error) == meaning


def result(name, verdict="overfitting", crossentropy=(0.2, 0.4), onset=7, **fields):
    scores = Scores(np.array(crossentropy), np.array([True, False]))
    return Result(
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
    demo_output.print_table(results)
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
    demo_output.print_comparison([base, better])
    line = capsys.readouterr().out.splitlines()[-1]
    assert squeezed(line) == "Large + L2 -0.100 +/- 0.000 better"


@pytest.mark.parametrize(
    ("diagnosis", "text"),
    [
        (
            Diagnosis("healthy", best_epoch=11, reason="It improved."),
            "healthy at epoch 11; best epoch 11\nIt improved.\n\n",
        ),
        (
            Diagnosis("overfitting", best_epoch=4, onset_epoch=7, reason="It grew worse."),
            "overfitting at epoch 11, since epoch 7; best epoch 4\nIt grew worse.\n\n",
        ),
    ],
)
def test_the_ending_names_verdict_onset_best_epoch_and_reason(capsys, diagnosis, text):
    ended = SimpleNamespace(diagnosis=diagnosis, history=SimpleNamespace(epoch=list(range(12))))
    demo_output.print_ending(ended)
    assert capsys.readouterr().out == text
