"""What can be added to the curves: best epochs, overfitting, strengths, seeds, markers."""

from __future__ import annotations

import io
import json

import keras
import matplotlib
import numpy as np
import pandas
import pytest
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from keras_regplus.plots import HistoryPlotter

matplotlib.use("Agg")

CURVES = {"loss": [0.9, 0.5, 0.2, 0.1], "val_loss": [1.0, 0.6, 0.7, 0.9]}
TURNING = {"loss": [0.80, 0.30, 0.10], "val_loss": [0.70, 1.82, 2.45]}
HALVES, ONES = [0.5, 0.5, 0.5, 0.5], [1.0, 1.0, 1.0, 1.0]


def plotted(ax, histories, metric="loss", **arguments):
    return HistoryPlotter(metric).plot(histories, ax=ax, **arguments)


def labels_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def keras_history(curves):
    history = keras.callbacks.History()
    history.history, history.epoch = curves, list(range(len(curves["loss"])))
    return history


@pytest.mark.parametrize(
    ("metric", "mode", "best"),
    [
        ("loss", "auto", 1),
        ("loss", "max", 0),
        ("val_free_accuracy", "auto", 0),
        ("auc", "auto", 0),
        ("mystery", "auto", 1),
        ("accuracy", "min", 1),
    ],
)
def test_the_best_validation_epoch_is_a_point(ax, metric, mode, best):
    curves = {metric: CURVES["loss"], f"val_{metric}": CURVES["val_loss"]}
    plotted(ax, {"a": curves}, metric, mark_best=True, mode=mode)
    point = ax.lines[2]
    assert (point.get_marker(), point.get_linestyle()) == ("o", "None")
    assert point.get_xydata().tolist() == [[best, CURVES["val_loss"][best]]]
    assert same_color(point.get_color(), ax.lines[1].get_color())


def test_the_best_epoch_is_that_of_the_measured_values_on_the_smoothed_line(ax):
    curves = {"loss": [1.0] * 9, "val_loss": [1, 1, 0, 1, 1, 0.5, 0.5, 0.5, 0.5]}
    plotted(ax, {"a": curves}, smoothing_std=1, mark_best=True)
    _, val, point = ax.lines
    assert np.argmin(val.get_ydata()) != 2
    assert point.get_xydata().tolist() == [[2, val.get_ydata()[2]]]


def test_nothing_is_marked_unless_asked_for(ax):
    plotted(ax, {"a": TURNING})
    assert {line.get_marker() for line in ax.lines} == {"None"}
    assert (len(ax.lines), len(ax.collections), len(ax.figure.axes)) == (2, 0, 1)


@pytest.mark.parametrize("lost", [float("nan"), float("inf"), -float("inf"), None])
def test_lost_values_are_never_the_best(ax, lost):
    plotted(ax, {"a": {"loss": [1, 2, 3], "val_loss": [lost, 2, 1]}}, mark_best=True)
    assert ax.lines[2].get_xydata().tolist() == [[2, 1]]


def test_without_any_validation_value_there_is_nothing_to_mark(ax):
    nothing = {"loss": [1.0, 2.0], "val_loss": [float("nan")] * 2}
    runs = {"a": nothing, "b": {"loss": [1.0, 2.0]}}
    plotted(ax, runs, mark_best=True, mark_onset=True)
    assert len(ax.lines) == 3


def test_validation_is_shaded_from_the_onset_of_overfitting_on(ax):
    healthy = {"loss": [3.0, 2.0, 1.0], "val_loss": [3.0, 2.0, 1.0]}
    plotted(ax, {"healthy": healthy, "large": TURNING}, mark_onset=True)
    assert labels_of(ax)[-1] == "Large Overfitting"
    *curves, stretch = ax.lines
    assert len(curves) == 4
    assert stretch.get_xydata().tolist() == [[1, 1.82], [2, 2.45]]
    assert stretch.get_linewidth() > 3 * curves[0].get_linewidth()
    assert 0 < stretch.get_alpha() < 0.5


@pytest.mark.parametrize("count", [1, 3])
def test_the_shade_begins_after_the_best_epoch(ax, count):
    lucky = [0.3 if epoch == 70 else 0.5 + abs(epoch - 40) / 100 for epoch in range(100)]
    runs = [{"loss": [0.97**epoch for epoch in range(100)], "val_loss": lucky}] * count
    plotted(ax, {"a": runs}, mark_best=True, mark_onset=True)
    best, stretch = ax.lines[2:]
    assert (best.get_xdata().tolist(), stretch.get_xdata()[0]) == ([70], 71)


def test_where_the_last_epoch_is_the_best_the_shade_is_that_of_the_smoothed_curve(ax):
    val = [0.3 if epoch == 99 else 0.5 + abs(epoch - 40) / 100 for epoch in range(100)]
    runs = {"a": {"loss": [0.97**epoch for epoch in range(100)], "val_loss": val}}
    plotted(ax, runs, mark_best=True, mark_onset=True)
    assert ax.lines[2].get_xdata().tolist() == [99]
    assert labels_of(ax)[-1] == "A Overfitting of the smoothed curve"


def test_a_falling_accuracy_is_overfitting_too(ax):
    curves = {"accuracy": [0.2, 0.7, 0.9], "val_accuracy": [0.9, 0.5, 0.2]}
    plotted(ax, {"a": curves}, "accuracy", mark_onset=True)
    assert labels_of(ax)[-1] == "A Overfitting"
    assert ax.lines[2].get_xdata()[0] == 1


def test_a_list_of_histories_is_their_mean_in_a_band_of_one_deviation(ax):
    runs = [{"loss": [1.0, 2.0, 9.0], "val_loss": [4, 0]}, {"loss": [3.0, 6.0], "val_loss": [8, 0]}]
    plotted(ax, {"large": runs}, mark_best=True)
    train, _, best = ax.lines
    assert labels_of(ax) == ["Large Train (mean of 2)", "Large Val (mean of 2)"]
    assert train.get_xydata().tolist() == [[0, 2], [1, 4]]
    assert ax.get_xlim() == (0, 1)
    assert best.get_xydata().tolist() == [[1, 0]]
    band = ax.collections[0].get_paths()[0].vertices
    # With two runs the deviation is their difference over the root of 2.
    for epoch, mean, difference in ((0, 2, 2), (1, 4, 4)):
        edges = band[band[:, 0] == epoch][:, 1]
        half = difference / 2**0.5
        assert (edges.min(), edges.max()) == pytest.approx((mean - half, mean + half))


def test_a_mean_is_drawn_where_all_runs_have_a_value(ax):
    gaps = [{"loss": [1.0, None, 3.0, 4.0]}, {"loss": [3.0, 2.0, float("inf"), 6.0]}]
    plotted(ax, {"a": gaps})
    assert ax.lines[0].get_xydata().tolist() == [[0, 2], [3, 5]]


def test_the_onset_of_several_runs_is_that_of_their_means(ax):
    other = {"loss": TURNING["loss"], "val_loss": [0.8, 1.9, 2.3]}
    plotted(ax, {"a": [TURNING, other]}, mark_onset=True)
    assert ax.lines[2].get_xydata() == pytest.approx(np.array([[1, 1.86], [2, 2.375]]))


def test_a_list_of_one_history_is_that_history(ax):
    plotted(ax, {"a": [CURVES]})
    assert labels_of(ax) == ["A Train", "A Val"]
    assert len(ax.collections) == 0


def test_strengths_are_dotted_on_a_second_axis(ax):
    curves = {**CURVES, "strength/one/kernel": HALVES, "strength/two/kernel": HALVES}
    plotted(ax, {"tiny": CURVES, "l2": curves}, scheduled="strength")
    first, second = ax.figure.axes
    assert first is ax
    (line,) = second.lines
    assert (list(line.get_ydata()), line.get_linestyle()) == (HALVES, ":")
    assert same_color(line.get_color(), ax.lines[2].get_color())
    assert second.get_ylabel() == "Strength"
    assert labels_of(ax)[-1] == "L2 Strength"
    assert len(ax.lines) == 4


def test_different_strengths_are_named_by_their_keys(ax):
    curves = {**CURVES, "rate/1": HALVES, "rate/10": ONES, "rate/2": HALVES, "rated": ONES}
    plotted(ax, {"a": curves}, scheduled="rate")
    assert labels_of(ax)[2:] == ["A rate/1", "A rate/10"]


def test_a_longer_beginning_chooses_among_the_strengths(ax):
    curves = {**CURVES, "rate/1": HALVES, "rate/10": ONES}
    plotted(ax, {"a": curves}, scheduled="rate/1")
    (line,) = ax.figure.axes[1].lines
    assert list(line.get_ydata()) == HALVES


def test_what_is_drawn_after_a_second_axis_goes_to_the_first(ax):
    import matplotlib.pyplot as plt

    figure, current = plt.subplots()
    HistoryPlotter("loss").plot({"a": {**CURVES, "rate/1": HALVES}}, scheduled="rate")
    assert plt.gca() is current
    assert current.get_zorder() > figure.axes[1].get_zorder()
    plt.close(figure)


def test_markers_tell_runs_apart_and_stay_with_their_names():
    plotter = HistoryPlotter("loss")
    first, second = Figure().add_subplot(), Figure().add_subplot()
    plotter.plot({"a": CURVES, "b": CURVES}, ax=first, markers=True)
    plotter.plot({"b": CURVES, "c": CURVES}, ax=second, markers=True)
    a_train, a_val, b_train, _ = (line.get_marker() for line in first.lines)
    assert a_train == a_val
    assert second.lines[0].get_marker() == b_train
    assert len({a_train, b_train, second.lines[2].get_marker(), "o", "None"}) == 5


def test_a_name_is_never_read_as_a_formula(ax):
    formula = r"$\no formula$"
    curves = {formula: [1.0, 2.0], "rate/1": [1.0, 2.0]}
    plotted(ax, {formula: curves}, formula, scheduled="rate")
    ax.figure.savefig(io.BytesIO())
    assert labels_of(ax)[0] == r"$\No Formula$ Train"


def as_csv(folder):
    path = folder / "log.csv"
    path.write_text("epoch,loss,val_loss\n0,0.9,1.0\n1,0.5,0.6\n2,0.2,0.7\n3,0.1,0.9\n")
    return path


def as_json(folder):
    path = folder / "log.json"
    path.write_text(json.dumps(CURVES))
    return str(path)


@pytest.mark.parametrize(
    "kind",
    [
        lambda folder: CURVES,
        lambda folder: keras_history(CURVES),
        lambda folder: pandas.DataFrame(CURVES),
        as_csv,
        as_json,
    ],
    ids=["dict", "History", "DataFrame", "CSV", "JSON"],
)
def test_a_history_of_any_kind_is_drawn(kind, ax, tmp_path):
    plotted(ax, {"a": kind(tmp_path)})
    assert [list(line.get_ydata()) for line in ax.lines] == list(CURVES.values())


@pytest.mark.parametrize("lost", [None, float("nan"), float("inf")])
def test_a_curve_goes_through_the_epochs_that_have_values(ax, lost):
    curves = {"loss": [5.0, 4.0, 3.0, 2.0], "val_loss": [lost, 4.5, lost, 2.5]}
    plotted(ax, {"a": curves})
    assert ax.lines[1].get_xydata().tolist() == [[1, 4.5], [3, 2.5]]


def test_a_file_that_is_not_there_is_named(ax, tmp_path):
    with pytest.raises(OSError, match=r"missing\.csv"):
        plotted(ax, {"a": tmp_path / "missing.csv"})
