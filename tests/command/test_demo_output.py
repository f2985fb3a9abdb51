"""What the demo prints."""

from __future__ import annotations

import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from matplotlib.figure import Figure

from keras_regplus.command import _demo_output as demo_output
from keras_regplus.command._demo_training import Result, Scores, experiments
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


def ran(name, train, val=()):
    """A training with these values from epoch 1 on, where the picture begins."""
    values = {"bce": [9.0, *train], "val_bce": [9.0, *(val or train)]}
    history = keras.callbacks.History()
    history.epoch, history.history = list(range(1 + len(train))), values
    return SimpleNamespace(name=name, history=history)


def panel(*runs):
    ax = Figure().add_subplot()
    ax.set_xlabel("Epochs")
    demo_output._fit_height(ax, runs)
    return (*ax.get_ylim(), ax.get_xlabel())


@pytest.mark.parametrize(
    ("runs", "bottom", "top", "label"),
    [
        # All curves are seen whole; 5 % are left below and above.
        ([ran("A", [1, 0], [0.6, 0.2]), ran("B", [0.8, 0.5])], -0.05, 1.05, "Epochs"),
        # The middle one of the tops, 1, fills a half: 2 is the limit.
        (
            [ran("A", [1, 0]), ran("B", [0.9, 0.5]), ran("C", [1, 0.5], [1, 5.25])],
            -0.1,
            2.1,
            "Epochs. Above the panel: C (to 5.25)",
        ),
        # Values that are no numbers have no height.
        ([ran("A", [1, 0, math.inf], [1, math.nan, 1])], -0.05, 1.05, "Epochs"),
        ([ran("A", [1, 1])], 0.95, 1.05, "Epochs"),
        # After one epoch nothing is drawn.
        ([ran("A", [])], 0, 1, "Epochs"),
    ],
)
def test_the_usual_curves_fill_a_panel_and_those_that_leave_it_are_named(runs, bottom, top, label):
    assert panel(*runs) == (pytest.approx(bottom), pytest.approx(top), label)


def test_the_legend_covers_no_panel_and_names_every_run(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *args, **kwargs: drawn.append(figure))
    names = [experiment.name for experiment in experiments()]
    results = [ran(name, [0.9, 0.5, 0.4], [0.8, 0.6, 0.7]) for name in names]
    demo_output.draw_curves(results, tmp_path / "curves.png")
    [figure] = drawn
    figure.draw_without_rendering()
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()][:8] == names
    for ax in figure.axes:
        assert ax.get_legend() is None
        assert not legend.get_window_extent().overlaps(ax.get_tightbbox())
    left, right = ([line.get_label() for line in ax.lines] for ax in figure.axes)
    assert "Tiny Train" in left and "Tiny Train" not in right
    assert "Large Val" in left and "Large Val" in right
