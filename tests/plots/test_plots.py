"""One metric of several trainings: lines, colours, styles, labels, smoothing."""

from __future__ import annotations

import subprocess
import sys

import keras
import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from keras_regplus.plots import HistoryPlotter, _lines

matplotlib.use("Agg")

CURVES = {"loss": [0.9, 0.5, 0.2, 0.1], "val_loss": [1.0, 0.6, 0.7, 0.9]}
DIP = {**CURVES, "val_loss": [1.0, 0.9, 0.6, 0.7]}


def test_training_is_solid_and_validation_dashed_in_one_colour(ax):
    result = HistoryPlotter("loss").plot({"small": CURVES, "LARGE": DIP}, ax=ax)
    assert result is ax
    small_train, small_val, large_train, large_val = ax.lines
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--", "-", "--"]
    assert small_train.get_color() == small_val.get_color()
    assert large_train.get_color() == large_val.get_color() != small_train.get_color()
    assert small_train.get_ydata() == pytest.approx(CURVES["loss"])
    assert large_val.get_ydata() == pytest.approx(DIP["val_loss"])


def test_labels_and_limits_are_the_published_ones(ax):
    HistoryPlotter().plot({"BIG": CURVES}, metric="loss", ax=ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Big Train", "Big Val"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Epochs", "Loss")
    assert ax.get_xlim() == (0, 3)
    assert ax.xaxis.get_gridlines()[0].get_visible()
    assert ax.get_title() == ""


def test_the_metrics_name_becomes_the_vertical_label(ax):
    HistoryPlotter("binary_crossentropy").plot({"a": {"binary_crossentropy": [1, 2]}}, ax=ax)
    assert ax.get_ylabel() == "Binary Crossentropy"


def test_a_name_keeps_its_colour_over_calls():
    plotter = HistoryPlotter("loss")
    first, second = Figure().add_subplot(), Figure().add_subplot()
    plotter.plot({"a": CURVES, "b": CURVES}, ax=first)
    plotter.plot({"b": CURVES, "c": CURVES}, ax=second)
    assert second.lines[0].get_color() == first.lines[2].get_color()
    assert len({first.lines[0].get_color(), *(line.get_color() for line in second.lines)}) == 3
    assert list(plotter.color_table) == ["a", "b", "c"]


def test_colours_start_again_after_the_last(ax):
    HistoryPlotter("loss").plot({number: CURVES for number in range(9)}, ax=ax)
    colors = [to_hex(line.get_color()) for line in ax.lines[::2]]
    assert len(set(colors[:8])) == 8
    assert colors[8] == colors[0]


def test_an_argument_of_plot_goes_before_the_plotters_own(ax):
    curves = {**CURVES, "accuracy": [0, 0, 1, 1]}
    HistoryPlotter("loss", smoothing_std=3).plot({"a": curves}, "accuracy", 0, ax=ax)
    assert ax.get_ylabel() == "Accuracy"
    assert list(ax.lines[0].get_ydata()) == [0, 0, 1, 1]


def test_a_history_is_drawn_at_its_own_epochs(ax, history_of):
    HistoryPlotter("loss").plot({"a": history_of(CURVES, range(5, 9))}, ax=ax)
    assert list(ax.lines[0].get_xdata()) == [5, 6, 7, 8]
    assert ax.get_xlim() == (0, 8)


def test_what_fit_returns_is_drawn(ax):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(loss="mse")
    x = np.ones((4, 1))
    history = model.fit(x, x, validation_data=(x, x), epochs=2, verbose=0)
    HistoryPlotter("loss").plot({"a": history}, ax=ax)
    assert ax.lines[1].get_ydata() == pytest.approx(history.history["val_loss"])


def test_a_run_without_validation_is_one_line(ax):
    HistoryPlotter("loss").plot({"a": {"loss": [1, 2]}}, ax=ax)
    assert [line.get_label() for line in ax.lines] == ["A Train"]


def test_every_second_epoch_validated_is_drawn_there(ax):
    curves = {"loss": [5, 4, 3, 2, 1], "val_loss": [4.5, 2.5]}
    HistoryPlotter("loss").plot({"a": curves}, ax=ax)
    assert list(ax.lines[1].get_xdata()) == [1, 3]
    assert list(ax.lines[1].get_ydata()) == [4.5, 2.5]


def test_a_single_epoch_has_a_width(ax):
    HistoryPlotter("loss").plot({"a": {"loss": [1.0]}}, ax=ax)
    assert ax.get_xlim() == (0, 1)


def test_values_that_are_no_numbers_do_not_disturb(ax):
    curves = {**CURVES, "phase": ["cold", "warm", "warm", "warm"], "recalls": np.ones((4, 2))}
    HistoryPlotter("loss").plot({"a": curves}, ax=ax)
    assert len(ax.lines) == 2


def test_pyplot_is_left_alone_when_axes_are_given(ax, pyplot):
    HistoryPlotter("loss").plot({"a": CURVES}, ax=ax)
    assert pyplot.get_fignums() == []


def test_without_axes_the_current_ones_are_drawn_on(pyplot):
    current = pyplot.subplot()
    assert HistoryPlotter("loss").plot({"a": CURVES}) is current


@pytest.mark.parametrize("std", [0.5, 1.0, 2, 7.5])
def test_smoothing_is_a_gaussian_of_that_deviation(ax, std):
    impulse = np.zeros(201)
    impulse[100] = 1.0
    HistoryPlotter("loss", smoothing_std=std).plot({"a": {"loss": impulse}}, ax=ax)
    offsets = np.arange(-100, 101)
    expected = np.exp(-(offsets**2) / (2 * std**2))
    expected /= expected.sum()
    assert ax.lines[0].get_ydata() == pytest.approx(expected, abs=1e-6)


def test_the_ends_are_means_of_what_there_is(ax):
    HistoryPlotter("loss", smoothing_std=1).plot({"a": {"loss": [1.0, 0.0, 0.0]}}, ax=ax)
    near, far = np.exp(-0.5), np.exp(-2.0)
    expected = [1 / (1 + near + far), near / (1 + 2 * near), far / (1 + near + far)]
    assert ax.lines[0].get_ydata() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("lost", [None, float("nan"), float("inf")])
def test_smoothing_weighs_by_distance_over_what_is_lost(ax, lost):
    HistoryPlotter("loss", smoothing_std=2).plot({"a": {"loss": [3.0, lost, 1.0]}}, ax=ax)
    weight = np.exp(-0.5)
    expected = [(3 + weight) / (1 + weight), (1 + 3 * weight) / (1 + weight)]
    assert list(ax.lines[0].get_xdata()) == [0, 2]
    assert ax.lines[0].get_ydata() == pytest.approx(expected, rel=1e-12)


def test_sparse_validation_is_smoothed_over_the_same_epochs(ax):
    curves = {"loss": np.zeros(40), "val_loss": [0.0, 1.0, 0.0, 0.0]}
    HistoryPlotter("loss", smoothing_std=10).plot({"a": curves}, ax=ax)
    near, far = np.exp(-0.5), np.exp(-2.0)
    assert ax.lines[1].get_ydata()[1] == pytest.approx(1 / (1 + 2 * near + far), rel=1e-12)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
    st.floats(0.01, 100),
)
def test_smoothed_values_stay_between_the_extremes(values, std):
    smoothed = _lines._smoothed(np.array(values), std)
    slack = 1e-9 * (1 + np.abs(values).max())
    assert len(smoothed) == len(values)
    assert (smoothed >= min(values) - slack).all()
    assert (smoothed <= max(values) + slack).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"metric": 1}, TypeError, "`metric` must be a text, got 1. Use a key"),
        (
            {"smoothing_std": -1},
            ValueError,
            "`smoothing_std` must be a finite number of at least 0, got -1.",
        ),
        ({"smoothing_std": float("inf")}, ValueError, "`smoothing_std` must be a finite number"),
        ({"smoothing_std": "2"}, TypeError, "`smoothing_std` must be a finite number"),
    ],
)
def test_bad_settings_are_refused_at_construction(arguments, error, message):
    with pytest.raises(error, match="HistoryPlotter: " + message):
        HistoryPlotter(**arguments)


@pytest.mark.parametrize(
    ("histories", "arguments", "error", "message"),
    [
        (CURVES["loss"], {}, TypeError, "`histories` must be a dict of name to history, got "),
        (keras.callbacks.History(), {}, TypeError, "`histories` must be a dict of name to history"),
        (
            {},
            {},
            ValueError,
            "`histories` must be a dict of name to history, got {}. Pass for example",
        ),
        (CURVES, {}, TypeError, "`histories` must be a History, a dict of lists, a DataFrame or a"),
        (
            {"a": []},
            {},
            ValueError,
            "`histories` must be a dict of name to history, got {'a': []}.",
        ),
        ({"a": [CURVES, {}]}, {}, ValueError, "The history of 'a' has: nothing."),
        ({"a": CURVES}, {"mark_onset": 1}, TypeError, "`mark_onset` must be True or False, got 1."),
        ({"a": CURVES}, {"markers": "s"}, TypeError, "`markers` must be True or False, got 's'."),
        ({"a": CURVES}, {"scheduled": True}, TypeError, "`scheduled` must be a text or None, got"),
        (
            {"a": CURVES},
            {"scheduled": "strength"},
            ValueError,
            "`scheduled` must be the beginning of a key that a history has, got 'strength'. Train",
        ),
        (
            {"a": CURVES},
            {"metric": "f1"},
            ValueError,
            "`metric` must be a metric that every history has, got 'f1'. The history of 'a' has",
        ),
        ({"a": {}}, {}, ValueError, "The history of 'a' has: nothing."),
        ({"a": CURVES}, {"mark_best": 1}, TypeError, "`mark_best` must be True or False, got 1."),
        (
            {"a": CURVES},
            {"mode": "low"},
            ValueError,
            "`mode` must be one of 'auto', 'min', 'max', got 'low'.",
        ),
        (
            {"a": CURVES},
            {"smoothing_std": -1},
            ValueError,
            "`smoothing_std` must be a finite number",
        ),
    ],
)
def test_bad_arguments_of_plot_are_refused(ax, histories, arguments, error, message):
    with pytest.raises(error) as caught:
        HistoryPlotter("loss").plot(histories, ax=ax, **arguments)
    assert str(caught.value).startswith("HistoryPlotter: ")
    assert message in str(caught.value)


def test_a_missing_metric_of_the_plotter_is_named(ax):
    with pytest.raises(ValueError, match=r"got None\. The history of 'a' has: loss\."):
        HistoryPlotter().plot({"a": CURVES}, ax=ax)


def test_matplotlib_is_imported_on_use_and_missed_by_name():
    script = (
        "import sys\n"
        "sys.modules['matplotlib'] = None\n"
        "from keras_regplus.plots import HistoryPlotter\n"
        "try:\n"
        "    HistoryPlotter('loss').plot({'a': {'loss': [1.0]}})\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "Plots need matplotlib. Install it with `pip install matplotlib`.\n"
