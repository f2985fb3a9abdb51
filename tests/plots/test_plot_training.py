"""One training as a picture: panels, verdict, what a diagnosis says."""

from __future__ import annotations

import matplotlib
import pytest

from keras_regplus.diagnosis import Diagnosis, diagnose
from keras_regplus.plots import plot_diagnosis, plot_history

matplotlib.use("Agg")

LOST = [float("nan")] * 4
CURVES = {"loss": [0.9, 0.5, 0.2, 0.1], "val_loss": [1.0, 0.6, 0.7, 0.9]}
RISING = Diagnosis("overfitting", best_epoch=1, best_value=0.6, onset_epoch=2)


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
        # No validation for the last epochs is not the same as lost values.
        {
            "loss": [0.9**n for n in range(119)],
            "val_loss": [0.9**n if n % 20 == 19 else None for n in range(119)],
        },
        "Healthy, best epoch 99",
    ),
    (
        {"data_loss": [1.0, 0.9], "loss": [1.0, 0.9], "val_loss": [1.1, 1.0]},
        "Undecided, best epoch 1",
    ),
    ({"loss": [1.0, 0.5, *LOST], "val_loss": [1.0, 0.5, *LOST]}, "Diverging, best epoch 1"),
    (
        {
            "loss": [3.0, 2.0, 1.0],
            "val_loss": [3.0, 2.0, 1.0],
            "data_loss": [0.80, 0.30, 0.10],
            "val_data_loss": [0.70, 1.82, 2.45],
        },
        "Overfitting since epoch 1, best epoch 0",
    ),
    (
        # Once `data_loss` can no longer be measured, it says nothing about the rest.
        {
            "loss": [0.9**n for n in range(20)],
            "val_loss": [0.9**n for n in range(20)],
            "data_loss": [0.8, 0.3, 0.1, *[float("nan")] * 17],
            "val_data_loss": [0.7, 1.8, 2.4, *[float("nan")] * 17],
        },
        "Healthy, best epoch 19",
    ),
]


@pytest.mark.parametrize(("curves", "title"), TITLES)
def test_plot_history_says_the_verdict(pyplot, curves, title):
    assert plot_history(curves).get_suptitle() == title


def test_plot_history_counts_epochs_as_the_history_does(pyplot, history_of):
    history = history_of(TITLES[0][0], range(10, 13))
    assert plot_history(history).get_suptitle() == "Overfitting since epoch 11, best epoch 10"


@pytest.mark.parametrize(
    ("history", "error", "message"),
    [
        (
            [1, 2],
            TypeError,
            "plot_history: `history` must be a History, a dict of lists, .+, got \\[1, 2\\]. Pass",
        ),
        ({}, ValueError, "plot_history: `history` must be a history with a loss, got \\[\\]. Pass"),
        ({"accuracy": [1]}, ValueError, "must be a history with a loss, got \\['accuracy'\\]."),
        ({"loss": []}, ValueError, "after at least one epoch."),
    ],
)
def test_plot_history_refuses_what_it_cannot_draw(history, error, message):
    with pytest.raises(error, match=message):
        plot_history(history)


def test_plot_history_reads_what_csv_logger_has_written(pyplot, tmp_path):
    path = tmp_path / "log.csv"
    rows = ["epoch,loss,val_loss", "0,0.8,0.7", "1,0.3,1.82", "2,0.1,2.45"]
    path.write_text("\n".join(rows))
    figure = plot_history(path)
    assert list(figure.axes[0].lines[1].get_ydata()) == [0.7, 1.82, 2.45]
    assert figure.get_suptitle() == "Overfitting since epoch 1, best epoch 0"


def test_a_diagnosis_is_two_curves_with_best_epoch_stretch_and_stop(ax):
    train, val = CURVES.values()
    assert plot_diagnosis(train, val, RISING, stopped_epoch=3, ax=ax) is ax
    drawn_train, drawn_val, best, onset, stop = ax.lines
    assert (list(drawn_train.get_ydata()), list(drawn_val.get_ydata())) == (train, val)
    assert (drawn_train.get_linestyle(), drawn_val.get_linestyle()) == ("-", "--")
    assert (best.get_marker(), best.get_xydata().tolist()) == ("o", [[1, 0.6]])
    assert (list(onset.get_xdata()), list(stop.get_xdata())) == ([2, 2], [3, 3])
    (shade,) = ax.patches
    assert shade.get_extents().transformed(ax.transData.inverted()).intervalx == pytest.approx(
        [2, 3]
    )
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["Training", "Validation", "Best epoch", "Overfitting", "Stopped"]
    assert ax.get_title() == "Overfitting since epoch 2, best epoch 1"


def test_a_best_value_within_overfitting_is_called_a_single_one(ax):
    diagnosis = Diagnosis("overfitting", best_epoch=2, best_value=0.7, onset_epoch=1)
    plot_diagnosis(*CURVES.values(), diagnosis, ax=ax)
    assert ax.get_title() == "Overfitting since epoch 1, best single value at epoch 2"
    assert [text.get_text() for text in ax.get_legend().get_texts()][2] == "Best single value"


def test_overfitting_is_shaded_behind_the_best_epoch_though_a_level_rose_before(ax, pyplot):
    """A lucky value in the midst of a rise."""
    train = [0.97**epoch for epoch in range(100)]
    val = [0.3 if epoch == 70 else 0.5 + abs(epoch - 40) / 100 for epoch in range(100)]
    plot_diagnosis(train, val, diagnose(train, val), ax=ax)
    _, _, best, onset = ax.lines
    assert (best.get_xydata().tolist(), list(onset.get_xdata())) == ([[70, 0.3]], [71, 71])
    figure = plot_history({"loss": train, "val_loss": val})
    assert figure.get_suptitle() == ax.get_title() == "Overfitting since epoch 71, best epoch 70"


def test_a_diagnosis_that_found_nothing_is_two_curves(ax):
    plot_diagnosis([1.0, None], [None, float("nan")], Diagnosis("undecided"), ax=ax)
    assert [len(line.get_xdata()) for line in ax.lines] == [1, 0]
    assert (ax.get_title(), len(ax.patches)) == ("Undecided", 0)


def test_a_diagnosis_is_drawn_at_the_epochs_that_are_given(ax):
    diagnosis = Diagnosis("overfitting", best_epoch=11, best_value=0.6, onset_epoch=12)
    epochs = [10, 11, 12, 13]
    plot_diagnosis(*CURVES.values(), diagnosis, epochs=epochs, metric="my_loss", ax=ax)
    assert list(ax.lines[0].get_xdata()) == epochs
    assert (ax.get_xlim(), ax.get_ylabel()) == ((0, 13), "My Loss")


def test_a_diagnosis_goes_to_the_given_axes_or_to_the_current_ones(ax, pyplot):
    plot_diagnosis(*CURVES.values(), RISING, ax=ax)
    assert pyplot.get_fignums() == []
    current = pyplot.subplot()
    assert plot_diagnosis(*CURVES.values(), diagnose(*CURVES.values())) is current


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([], [], RISING), ValueError, "`train` must be at least one value, got \\[\\]. Put"),
        (([1.0], [], RISING), ValueError, "`val` must be as long as `train` .+, got '0 epochs'"),
        (([1.0], [1.0], "overfitting"), TypeError, "`diagnosis` must be a Diagnosis, got 'over"),
    ],
    ids=["empty", "shorter", "text"],
)
def test_what_is_no_diagnosed_pair_is_refused(arguments, error, message, ax):
    with pytest.raises(error, match=f"^plot_diagnosis: {message}"):
        plot_diagnosis(*arguments, ax=ax)
    with pytest.raises(ValueError, match="`epochs` must be as long as `train`"):
        plot_diagnosis([1.0], [1.0], RISING, epochs=[1, 2], ax=ax)
