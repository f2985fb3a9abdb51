"""The structure of the pictures: lines, colours, styles, labels, marks."""

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

from keras_regplus import plots, schedules
from keras_regplus.plots import HistoryPlotter, plot_history, plot_schedule

matplotlib.use("Agg")

CURVES = {"loss": [0.9, 0.5, 0.2, 0.1], "val_loss": [1.0, 0.6, 0.7, 0.9]}
DIP = {**CURVES, "val_loss": [1.0, 0.9, 0.6, 0.7]}


@pytest.fixture
def ax():
    return Figure().add_subplot()


@pytest.fixture
def pyplot():
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def history_of(curves, epochs):
    history = keras.callbacks.History()
    history.history, history.epoch = curves, list(epochs)
    return history


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


def test_a_history_is_drawn_at_its_own_epochs(ax):
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


@pytest.mark.parametrize(
    ("metric", "mode", "best"),
    [
        ("loss", "auto", 1),
        ("loss", "max", 0),
        ("val_free_accuracy", "auto", 0),
        ("AUC".lower(), "auto", 0),
        ("accuracy", "min", 1),
    ],
)
def test_the_best_validation_epoch_is_marked(ax, metric, mode, best):
    curves = {metric: CURVES["loss"], f"val_{metric}": CURVES["val_loss"]}
    HistoryPlotter(metric).plot({"a": curves}, ax=ax, mark_best=True, mode=mode)
    train, val = ax.lines
    assert (train.get_marker(), val.get_marker()) == ("None", "o")
    assert val.get_markevery() == [best]


def test_nothing_is_marked_unless_asked_for(ax):
    HistoryPlotter("loss").plot({"a": CURVES}, ax=ax)
    assert {line.get_marker() for line in ax.lines} == {"None"}


@pytest.mark.parametrize("lost", [float("nan"), float("inf"), None])
def test_lost_values_are_never_the_best(ax, lost):
    values = {"loss": [1, 2, 3], "val_loss": [lost, 2, 1]}
    HistoryPlotter("loss").plot({"a": values}, ax=ax, mark_best=True, mode="min")
    assert ax.lines[1].get_markevery() == [2]


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


def test_smoothing_leaves_gaps_where_values_are_lost_and_nowhere_else(ax):
    values = [2.0, float("nan"), 2.0, float("inf"), 2.0]
    HistoryPlotter("loss", smoothing_std=2).plot({"a": {"loss": values}}, ax=ax)
    drawn = ax.lines[0].get_ydata()
    assert np.isnan(drawn).tolist() == [False, True, False, True, False]
    assert drawn[::2] == pytest.approx([2.0, 2.0, 2.0])


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
    smoothed = plots.history._smoothed(np.array(values), std)
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
        (CURVES, {}, TypeError, "`histories` must be a History or a dict of lists, got "),
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


def test_plot_history_draws_losses_left_and_metrics_right(pyplot):
    curves = {
        **CURVES,
        "accuracy": [0.5, 0.6, 0.7, 0.8],
        "val_accuracy": [0.5, 0.6, 0.6, 0.6],
        "learning_rate": [0.1] * 4,
        "strength/dense/kernel": [0.1] * 4,
    }
    figure = plot_history(curves)
    left, right = figure.axes
    assert [line.get_label() for line in left.lines] == ["loss Train", "loss Val"]
    assert [line.get_label() for line in right.lines] == ["accuracy Train", "accuracy Val"]
    assert (left.get_ylabel(), right.get_ylabel()) == ("Loss", "Accuracy")
    assert [line.get_linestyle() for line in left.lines] == ["-", "--"]


def test_plot_history_without_other_metrics_is_one_panel(pyplot):
    assert len(plot_history(CURVES).axes) == 1


TITLES = [
    (
        {"loss": [0.80, 0.30, 0.10], "val_loss": [0.70, 1.82, 2.45]},
        "Overfitting since epoch 1, best epoch 0",
    ),
    ({"loss": [1.0, 0.9]}, "No validation data, no verdict"),
    ({"loss": [1.0, 0.9], "val_loss": [1.1, 1.0]}, "Undecided, best epoch 1"),
    (
        {"loss": [0.9**n for n in range(20)], "val_loss": [0.9**n for n in range(20)]},
        "Healthy, best epoch 19",
    ),
    (
        {
            "loss": [3.0, 2.0, 1.0],
            "val_loss": [3.0, 2.0, 1.0],
            "data_loss": [0.80, 0.30, 0.10],
            "val_data_loss": [0.70, 1.82, 2.45],
        },
        "Overfitting since epoch 1, best epoch 0",
    ),
]


@pytest.mark.parametrize(("curves", "title"), TITLES)
def test_plot_history_says_the_verdict(pyplot, curves, title):
    assert plot_history(curves).get_suptitle() == title


def test_plot_history_counts_epochs_as_the_history_does(pyplot):
    history = history_of(TITLES[0][0], range(10, 13))
    assert plot_history(history).get_suptitle() == "Overfitting since epoch 11, best epoch 10"


@pytest.mark.parametrize(
    ("history", "error", "message"),
    [
        (
            [1, 2],
            TypeError,
            "plot_history: `history` must be a History or a dict of lists, got \\[1, 2\\]. Pass",
        ),
        ({}, ValueError, "plot_history: `history` must be a history with a loss, got \\[\\]. Pass"),
        ({"accuracy": [1]}, ValueError, "must be a history with a loss, got \\['accuracy'\\]."),
        ({"loss": []}, ValueError, "after at least one epoch."),
    ],
)
def test_plot_history_refuses_what_it_cannot_draw(history, error, message):
    with pytest.raises(error, match=message):
        plot_history(history)


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
    assert (
        run.stdout
        == 'Plots need matplotlib. Install it with `pip install "keras-regplus[plot]"`.\n'
    )


def test_a_schedule_is_drawn_to_a_little_past_its_end(ax):
    assert plot_schedule(schedules.LinearWarmup(20), ax=ax) is ax
    (line,) = ax.lines
    assert list(line.get_xdata()) == list(range(23))
    assert line.get_ydata()[:22] == pytest.approx([min(t / 20, 1) for t in range(22)])
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_legend()) == ("Steps", "Factor", None)
    assert ax.get_xlim() == (0, 22)


def test_each_factor_is_drawn_for_as_long_as_it_holds(ax):
    plot_schedule(schedules.Piecewise([2, 3], [0.25, 1.0, 0.5]), length=4, ax=ax)
    (line,) = ax.lines
    assert line.get_drawstyle() == "steps-post"
    assert list(line.get_xdata()) == [0, 1, 2, 3, 4]
    assert list(line.get_ydata()) == [0.25, 0.25, 1.0, 0.5, 0.5]


def test_several_schedules_share_the_axes_with_a_colour_and_a_name_each(ax):
    named = {
        "warm": schedules.LinearWarmup(5, "epoch"),
        "cycle": schedules.Cyclic(2, unit="epoch"),
        "half": schedules.Constant(0.5),
        "late": schedules.late(8, unit="epoch"),
    }
    plot_schedule(named, ax=ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(named)
    assert len({to_hex(line.get_color()) for line in ax.lines}) == 4
    assert ax.get_xlabel() == "Epochs"
    assert {len(line.get_xdata()) for line in ax.lines} == {10}  # 1.1 times 8, and its end


@pytest.mark.parametrize(
    "schedule",
    [
        lambda step: 0.5**step,
        keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5),
        schedules.serialize(schedules.Exponential(3, 1.0, 0.125)),
    ],
    ids=["function", "of Keras", "config"],
)
def test_whatever_is_a_schedule_can_be_drawn(schedule, ax):
    plot_schedule(schedule, length=3, ax=ax)
    assert ax.lines[0].get_ydata() == pytest.approx([1.0, 0.5, 0.25, 0.25])
    assert ax.get_xlabel() == "Steps"


def test_a_long_schedule_is_drawn_with_as_many_points_as_can_be_seen(ax):
    plot_schedule(schedules.LinearWarmup(10**9), ax=ax)
    (line,) = ax.lines
    assert len(line.get_xdata()) <= 10_001
    assert line.get_xdata()[-1] == ax.get_xlim()[1] == 1_100_000_000
    assert line.get_ydata() == pytest.approx(np.minimum(line.get_xdata() / 10**9, 1), abs=1e-6)


def test_schedules_go_to_the_current_axes_of_pyplot(pyplot):
    assert plot_schedule(schedules.LinearWarmup(2)) is pyplot.gca()


def test_pyplot_is_not_touched_where_axes_are_given(pyplot, ax):
    plot_schedule(schedules.LinearWarmup(2), ax=ax)
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize(
    "drawn, length, error, said",
    [
        (0.5, None, TypeError, "`schedules` must be a dict of name to schedule, a schedule .+"),
        ({"a": 0.5}, None, TypeError, "`schedules` must be a schedule .+, got 0.5. Use"),
        ({}, None, ValueError, "`schedules` must be at least one schedule, got {}. Pass"),
        ("linear", None, ValueError, "`schedules` must be .+ Use `Linear"),
        (None, 5, TypeError, "`schedules` must be .+, got None"),
        (schedules.Cyclic(3), None, ValueError, "`length` must be .+ has an end, got None. Use"),
        (schedules.Constant(), None, ValueError, "`length` must be .+ has an end, got None. Use"),
        (schedules.Cyclic(3), 0, ValueError, "`length` must be .+, got 0. Use"),
        (schedules.Cyclic(3), "ten", TypeError, "`length` must be .+, got 'ten'. Use"),
        (
            {"a": schedules.Cyclic(3), "b": schedules.LinearWarmup(3, "epoch")},
            9,
            ValueError,
            "`schedules` must be schedules of one unit, got 'epoch and step'. Draw",
        ),
    ],
    ids=[str(number) for number in range(10)],
)
def test_what_cannot_be_drawn_is_refused_in_three_parts(drawn, length, error, said, ax):
    with pytest.raises(error, match=f"^plot_schedule: {said}"):
        plot_schedule(drawn, length, ax=ax)
    assert not ax.lines
