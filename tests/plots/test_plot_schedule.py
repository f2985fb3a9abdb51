"""Schedules as pictures: lines, labels, units, and how far they go."""

from __future__ import annotations

import keras
import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex

from keras_regplus import schedules
from keras_regplus.plots import plot_schedule

matplotlib.use("Agg")


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
    "drawn, length, error, message",
    [
        (0.5, None, TypeError, "`schedules` must be a dict of name to schedule, a schedule .+"),
        ({"a": 0.5}, None, TypeError, "`schedules` must be a schedule .+, got 0.5. Use"),
        ({}, None, ValueError, "`schedules` must be at least one schedule, got {}. Pass"),
        ("linear", None, ValueError, "`schedules` must be .+ Use .+LinearWarmup"),
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
def test_what_cannot_be_drawn_is_refused_in_three_parts(drawn, length, error, message, ax):
    with pytest.raises(error, match=f"^plot_schedule: {message}"):
        plot_schedule(drawn, length, ax=ax)
    assert not ax.lines
