"""`EpochDots` against bytes written down by hand."""

from __future__ import annotations

import copy
import io
import pickle
import re
import subprocess
import sys
import warnings
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import EpochDots, OverfittingDetector
from keras_regplus.callbacks.epoch_dots import _callback, _progress, _report
from keras_regplus.diagnosis import Diagnosis


@pytest.fixture(autouse=True)
def close_lines_of_other_tests():
    _callback._with_open_line.clear()
    yield
    _callback._with_open_line.clear()


def printed(capsys, epochs, logs, **arguments):
    dots = EpochDots(**arguments)
    for epoch in epochs:
        dots.on_epoch_end(epoch, logs)
    return capsys.readouterr().out


def test_defaults_print_what_the_published_class_prints(capsys):
    modeling = pytest.importorskip("tensorflow_docs.modeling")
    outputs = []
    for published in (True, False):
        dots = (modeling.EpochDots if published else EpochDots)(report_every=7, dot_every=2)
        for epoch in range(30):
            dots.on_epoch_end(epoch, {"loss": 1 / (epoch + 1), "b": epoch, "a": float("nan")})
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


class Frozen(keras.callbacks.Callback):
    """Replaces the logs of each epoch, so that a real fit prints known numbers."""

    def on_epoch_end(self, epoch, logs=None):
        logs.update(accuracy=0.5, loss=1)


class Raises(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise RuntimeError("stopped by the test")


def fit(*callbacks, epochs=3, verbose=0):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    x = np.zeros((2, 1))
    return model.fit(x, x, epochs=epochs, verbose=verbose, callbacks=list(callbacks))


def test_defaults_print_the_published_bytes(capsys):
    logs = {"loss": 1.0, "val_loss": 2, "accuracy": 0.5}
    values = "accuracy:0.5000,  loss:1.0000,  val_loss:2.0000,  \n"
    expected = (
        ("\nEpoch: 0, " + values + "." * 100)
        + ("\nEpoch: 100, " + values + "." * 100)
        + ("\nEpoch: 200, " + values + "......")
    )
    assert len(expected) == 396
    assert printed(capsys, range(206), logs) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "\nEpoch: 0, a:1.0000,  \n....."),
        (
            {"report_every": 2},
            "\nEpoch: 0, a:1.0000,  \n..\nEpoch: 2, a:1.0000,  \n..\nEpoch: 4, a:1.0000,  \n.",
        ),
        (
            {"report_every": 3, "dot_every": 2},
            "\nEpoch: 0, a:1.0000,  \n..\nEpoch: 3, a:1.0000,  \n.",
        ),
        (
            {"report_every": 2.0, "dot_every": np.int64(5)},
            "\nEpoch: 0, a:1.0000,  \n.\nEpoch: 2, a:1.0000,  \n\nEpoch: 4, a:1.0000,  \n",
        ),
    ],
)
def test_reports_and_dots_come_at_their_intervals(capsys, arguments, expected):
    assert printed(capsys, range(5), {"a": 1.0}, **arguments) == expected


@pytest.mark.parametrize(
    ("logs", "expected"),
    [
        (None, "\nEpoch: 0, \n."),
        ({}, "\nEpoch: 0, \n."),
        ({"b": 2, "a": True}, "\nEpoch: 0, a:1.0000,  b:2.0000,  \n."),
        ({"loss": float("nan")}, "\nEpoch: 0, loss:nan,  \n."),
        ({"loss": np.float32(0.25)}, "\nEpoch: 0, loss:0.2500,  \n."),
        ({"loss": np.array(0.25)}, "\nEpoch: 0, loss:0.2500,  \n."),
        ({"phase": "warm\nup"}, "\nEpoch: 0, phase:warm up,  \n."),
        ({"none": None}, "\nEpoch: 0, none:None,  \n."),
        ({"recall": np.array([0.5, 1.0])}, "\nEpoch: 0, recall:[0.5000 1.0000],  \n."),
        ({"recall": [0.5, 1.0]}, "\nEpoch: 0, recall:[0.5, 1.0],  \n."),
        ({"matrix": np.eye(2)}, "\nEpoch: 0, matrix:[[1.0000 0.0000] [0.0000 1.0000]],  \n."),
        ({"many": np.zeros(999)}, "\nEpoch: 0, many:[0.0000 0.0000 ... 0.0000 0.0000],  \n."),
        ({"text": "x" * 99}, "\nEpoch: 0, text:" + "x" * 57 + "...,  \n."),
        ({1: 0.5, "a": 0.5}, "\nEpoch: 0, 1:0.5000,  a:0.5000,  \n."),
    ],
)
def test_whatever_the_logs_hold_is_printed(capsys, logs, expected):
    assert printed(capsys, [0], logs) == expected


def test_device_tensors_are_printed_as_numbers(capsys):
    logs = {"scalar": keras.ops.convert_to_tensor(0.25), "vector": keras.ops.ones(2)}
    expected = "\nEpoch: 0, scalar:0.2500,  vector:[1.0000 1.0000],  \n."
    assert printed(capsys, [0], logs) == expected


def test_a_value_that_cannot_be_rendered_is_a_question_mark(capsys):
    class Unprintable:
        def __str__(self):
            raise RuntimeError("no text")

    assert printed(capsys, [0], {"odd": Unprintable()}) == "\nEpoch: 0, odd:?,  \n."


def test_a_fit_ends_with_a_newline(capsys):
    fit(Frozen(), EpochDots(report_every=2))
    report = "accuracy:0.5000,  loss:1.0000,  \n"
    expected = f"\nEpoch: 0, {report}..\nEpoch: 2, {report}.\n"
    assert capsys.readouterr().out == expected


def test_a_fit_that_ends_on_a_finished_line_gets_no_second_newline(capsys):
    fit(Frozen(), EpochDots(report_every=1, dot_every=2), epochs=2)
    report = "accuracy:0.5000,  loss:1.0000,  \n"
    assert capsys.readouterr().out == f"\nEpoch: 0, {report}.\nEpoch: 1, {report}"


def test_a_fit_without_epochs_prints_nothing(capsys):
    dots = EpochDots()
    dots.on_train_begin()
    dots.on_train_end()
    assert capsys.readouterr().out == ""


def test_the_next_fit_finishes_the_line_of_one_that_raised(capsys):
    dots = EpochDots()
    with pytest.raises(RuntimeError, match="stopped by the test"):
        fit(Frozen(), dots, Raises())
    report = "\nEpoch: 0, accuracy:0.5000,  loss:1.0000,  \n"
    assert capsys.readouterr().out == report + ".."
    fit(Frozen(), dots, epochs=1)
    assert capsys.readouterr().out == "\n" + report + ".\n"


def test_the_interpreters_exit_finishes_an_open_line():
    script = (
        "from keras_regplus.callbacks.epoch_dots import EpochDots\n"
        "dots = EpochDots()\n"
        "dots.on_epoch_end(0, None)\n"
        "raise SystemExit(3)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert run.returncode == 3
    assert run.stdout.replace(b"\r\n", b"\n") == b"\nEpoch: 0, \n.\n"


@pytest.mark.parametrize("character", [".", "~", "-", "!", "x"])
def test_a_detectors_verdict_is_the_dot(capsys, character):
    detector = SimpleNamespace(diagnosis=None)
    dots = EpochDots(detector=detector)
    dots.on_epoch_end(0, {})
    detector.diagnosis = SimpleNamespace(dot=character)
    dots.on_epoch_end(1, {})
    assert capsys.readouterr().out == "\nEpoch: 0, \n." + character


def test_it_writes_to_the_stdout_of_the_moment(monkeypatch):
    dots = EpochDots()
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    dots.on_epoch_end(1, {})
    assert stream.getvalue() == "."


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError])
def test_a_stream_that_fails_does_not_end_the_training(monkeypatch, error):
    class Closed(io.StringIO):
        def write(self, text):
            raise error

    monkeypatch.setattr(sys, "stdout", Closed())
    history = fit(EpochDots(), epochs=2)
    assert len(history.epoch) == 2


def test_only_the_chief_process_prints(capsys, monkeypatch):
    monkeypatch.setattr(_callback, "is_chief", lambda model: False)
    detector = OverfittingDetector(verbose=0)
    train_twice(EpochDots(summary=True, detector=detector), detector)
    assert capsys.readouterr().out == ""


def test_the_logs_are_left_as_they_are():
    logs = {"b": 1.0, "a": 2.0}
    EpochDots().on_epoch_end(0, logs)
    assert list(logs.items()) == [("b", 1.0), ("a", 2.0)]


def test_it_has_no_batch_hooks():
    hooks = [name for name in vars(EpochDots) if "batch" in name]
    assert hooks == []


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda dots: pickle.loads(pickle.dumps(dots))])
def test_copies_print_the_same_and_do_not_share_the_line(capsys, clone):
    dots = EpochDots(report_every=2, dot_every=3)
    dots.on_epoch_end(0, {})
    twin = clone(dots)
    capsys.readouterr()
    twin.on_train_end()
    assert capsys.readouterr().out == ""
    for epoch in (2, 3):
        twin.on_epoch_end(epoch, {})
    assert capsys.readouterr().out == "\nEpoch: 2, \n."


@pytest.mark.parametrize("argument", ["report_every", "dot_every"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (1.5, ValueError),
        (float("nan"), ValueError),
        ("10", TypeError),
        (None, TypeError),
        (True, TypeError),
    ],
)
def test_counts_below_one_are_refused(argument, value, error):
    with pytest.raises(
        error, match=f"EpochDots: `{argument}` must be a whole number of at least 1, got "
    ):
        EpochDots(**{argument: value})


@pytest.mark.parametrize("detector", ["val_loss", 1, keras.callbacks.EarlyStopping()])
def test_a_detector_without_a_diagnosis_is_refused(detector):
    with pytest.raises(
        TypeError, match="EpochDots: `detector` must be an OverfittingDetector or None, got "
    ):
        EpochDots(detector=detector)


LOGS = {"loss": 1.0, "val_loss": 0.5, "acc": 0.25, "f1(a)": 0.125}


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ("loss", "loss:1.0000,  "),
        (["val_loss", "loss"], "val_loss:0.5000,  loss:1.0000,  "),
        (["val_.*", ".*"], "val_loss:0.5000,  acc:0.2500,  f1(a):0.1250,  loss:1.0000,  "),
        ([".*loss", "loss"], "loss:1.0000,  val_loss:0.5000,  "),
        (re.compile("ACC", re.IGNORECASE), "acc:0.2500,  "),
        ("f1(a)", "f1(a):0.1250,  "),
        (("missing", "acc"), "acc:0.2500,  "),
    ],
    ids=["name", "order", "patterns", "once", "compiled", "odd-name", "missing"],
)
def test_metrics_are_chosen_by_name_or_pattern_in_the_order_of_the_list(capsys, metrics, expected):
    assert printed(capsys, [0], LOGS, metrics=metrics) == f"\nEpoch: 0, {expected}\n."


@pytest.mark.parametrize(
    ("digits", "value", "expected"),
    [
        (3, 1e-6, "1e-06"),
        (3, 0.123456, "0.123"),
        (3, 1234.5, "1.23e+03"),
        (6, 1234.5, "1234.5"),
        (3, 2, "2"),
        (3, float("inf"), "inf"),
        (2, np.array([0.123, 4e-9]), "[0.12 4e-09]"),
        (None, 1e-6, "0.0000"),
    ],
)
def test_digits_are_significant_ones(capsys, digits, value, expected):
    assert printed(capsys, [0], {"a": value}, digits=digits) == f"\nEpoch: 0, a:{expected},  \n."


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("strength/net/dense/kernel", 1.5e-05, "1.5e-05"),
        ("strength/net/dense/kernel", 1e-4, "0.0001"),
        ("strength/net/dense/kernel", 0.00025, "0.00025"),
        ("strength/net/dense/kernel", 0.0012345, "0.0012"),
        ("strength/net/dense/kernel", 0.0, "0.0000"),
        ("rate/drop", 0.5, "0.5000"),
        ("rate/drop", np.float32(2e-5), "2e-05"),
        ("penalty", 0.00012345, "0.000123"),
        ("val_penalty", 1.23456e-7, "1.23e-07"),
        ("penalty/net/dense/kernel", 4e-5, "4e-05"),
        ("data_loss", 3e-9, "3e-09"),
        ("val_data_loss", float("nan"), "nan"),
        ("overfitting_score", 3.21e-5, "3.21e-05"),
        ("gain", 1.5e-05, "0.0000"),
        ("loss", 1.5e-05, "0.0000"),
        ("val_loss", 0.00012, "0.0001"),
        ("rate", 1.5e-05, "0.0000"),
    ],
)
def test_small_numbers_of_this_package_are_told_apart_and_those_of_keras_as_published(
    capsys, name, value, expected
):
    assert printed(capsys, [0], {name: value}) == f"\nEpoch: 0, {name}:{expected},  \n."


def test_a_small_gap_is_not_a_gap_of_nothing(capsys):
    detector = SimpleNamespace(diagnosis=SimpleNamespace(dot="!", gap=4.5e-5))
    assert printed(capsys, [0], {}, detector=detector) == "\nEpoch: 0, gap:4.5e-05,  \n!"


BASELINE = {
    "loss": 0.5,
    "data_loss": 0.5,
    "penalty": 0.0,
    "val_loss": 0.75,
    "val_data_loss": 0.75,
    "val_penalty": 0.0,
}
BOTH = "loss:0.5000,  val_loss:0.7500,  "


@pytest.mark.parametrize(
    ("changes", "arguments", "expected"),
    [
        ({}, {}, BOTH),
        ({"val_penalty": np.float32(0), "penalty": 0}, {}, BOTH),
        # Without a penalty the two losses differ by rounding at the most.
        ({"data_loss": 0.5000001}, {"digits": 8}, "loss:0.5,  val_loss:0.75,  "),
        # A penalty too small to be seen in the loss.
        (
            {"penalty": 2e-6, "data_loss": 0.499998},
            {},
            "loss:0.5000,  penalty:2e-06,  val_loss:0.7500,  ",
        ),
        (
            {"penalty": 0.25, "data_loss": 0.25},
            {},
            "data_loss:0.2500,  loss:0.5000,  penalty:0.2500,  val_loss:0.7500,  ",
        ),
        # The losses look alike with four decimals only.
        (
            {"loss": 9e-6, "penalty": 4e-6, "data_loss": 5e-6},
            {},
            "data_loss:5e-06,  loss:0.0000,  penalty:4e-06,  val_loss:0.7500,  ",
        ),
        (
            {"val_penalty": float("nan"), "val_data_loss": float("nan")},
            {},
            "loss:0.5000,  val_data_loss:nan,  val_loss:0.7500,  val_penalty:nan,  ",
        ),
        # What is named is shown, and so is a loss that no other one stands for.
        ({}, {"metrics": ["penalty", "loss"]}, "penalty:0.0000,  loss:0.5000,  "),
        ({}, {"metrics": ["data_loss", "loss"]}, "data_loss:0.5000,  loss:0.5000,  "),
        ({}, {"metrics": "(data|pen).*"}, "data_loss:0.5000,  "),
        ({}, {"metrics": ".*"}, BOTH),
    ],
)
def test_reports_leave_out_what_a_model_without_penalties_repeats(
    capsys, changes, arguments, expected
):
    logs = {**BASELINE, **changes}
    assert printed(capsys, [0], dict(logs), **arguments) == f"\nEpoch: 0, {expected}\n."


def test_a_summary_without_penalties_tells_the_best_epoch_by_a_loss_that_it_shows(capsys):
    assert summarised(capsys, [BASELINE]) == (
        f"First epoch: 1, {BOTH}\nBest epoch: 1 (val_loss), {BOTH}\nLast epoch: 1, {BOTH}\n"
    )


def warned_of_metrics(metrics, *trainings):
    """What is said about `metrics` in trainings, each with the logs of its epochs."""
    dots = EpochDots(metrics=metrics, report_every=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for epochs in trainings:
            dots.on_train_begin()
            for epoch, logs in enumerate(epochs):
                dots.on_epoch_end(epoch, logs)
            dots.on_train_end(epochs[-1] if epochs else None)
    return [str(each.message) for each in caught if each.category is RegPlusWarning]


TRAINED = {"accuracy": 0.5, "loss": 0.25}
VALIDATED = {**TRAINED, "val_accuracy": 0.5, "val_loss": 0.25}
WARNING = "EpochDots: `metrics` must name metrics of this training "


@pytest.mark.parametrize(
    ("metrics", "logs", "message"),
    [
        (["los"], TRAINED, "('accuracy', 'loss'), got 'los'. Did you mean `loss`?"),
        ("Loss", {"loss": 1}, "('loss'), got 'Loss'. Did you mean `loss`?"),
        ("f1", TRAINED, "('accuracy', 'loss'), got 'f1'. Name some of these."),
        (
            ["los", "accuracyy"],
            TRAINED,
            "('accuracy', 'loss'), got 'los', 'accuracyy'. Did you mean `loss` or `accuracy`?",
        ),
        (["loss", "accuracyy"], TRAINED, "('accuracy', 'loss'), got 'accuracyy'. Did you mean"),
        (
            "val_los",
            {"loss": 1, "val_loss": 2},
            "('loss', 'val_loss'), got 'val_los'. Did you mean `val_loss`?",
        ),
        ("val_loss", TRAINED, "('accuracy', 'loss'), got 'val_loss'. Did you mean `loss`?"),
        ("b.+", {f"a{n:02d}": 1 for n in range(23)}, "'a19' and 3 more), got 'b.+'. Name"),
    ],
)
def test_metrics_that_a_training_does_not_have_give_one_warning(capsys, metrics, logs, message):
    (warning,) = warned_of_metrics(metrics, [logs] * 3, [logs] * 3)
    assert warning.startswith(WARNING)
    assert message in warning


@pytest.mark.parametrize(
    ("metrics", "epochs"),
    [
        (None, [TRAINED]),
        (["loss", "val_loss"], [TRAINED]),
        (["accuracy", "val_accuracy", "val_.*"], [TRAINED]),
        # With `validation_freq` it comes later.
        ("val_loss", [TRAINED, VALIDATED, TRAINED]),
        # One list for all trainings, also those without a scheduler or a detector.
        (["loss", "data_loss", "strength/.*", "overfitting_score", "mae"], [TRAINED]),
        (["loss", "strength/one/kernel"], [{"loss": 1, "strength/ones/kernel": 1}]),
        ("loss", [{}, None]),
        ("loss", []),
    ],
)
def test_metrics_that_may_be_meant_for_another_training_are_no_reason_to_warn(
    capsys, metrics, epochs
):
    assert warned_of_metrics(metrics, epochs) == []


class Clock:
    """Takes the place of `time` where it is read; each epoch lasts as long as a test says."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        for module in (_callback, _progress):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))

    def train(self, dots, durations, epochs=None, first=0):
        dots.set_params({"epochs": epochs or first + len(durations), "verbose": 0})
        dots.on_train_begin()
        for epoch, seconds in enumerate(durations, first):
            self.now += seconds
            dots.on_epoch_end(epoch, {})


@pytest.mark.parametrize(
    ("durations", "reported"),
    [([20] * 8, [0, 3, 6]), ([1] * 8, [0]), ([600] * 3, [0, 1, 2]), ([1, 1, 59, 1], [0, 2])],
    ids=["a-few-epochs", "fast", "slow", "just-in-time"],
)
def test_reports_come_by_the_clock(capsys, monkeypatch, durations, reported):
    Clock(monkeypatch).train(EpochDots(report_every=1, report_seconds=60), durations)
    epochs = re.findall(r"Epoch: (\d+)", capsys.readouterr().out)
    assert [int(epoch) for epoch in epochs] == reported


def test_times_are_those_of_the_whole_run(capsys, monkeypatch):
    clock = Clock(monkeypatch)
    clock.train(EpochDots(report_every=2, times=True), [50, 10, 10, 10], epochs=500)
    # The first epoch compiles: it stands for the others only while it is alone.
    assert capsys.readouterr().out == (
        "\nEpoch: 0, elapsed:50s,  left:6h55m,  \n..\nEpoch: 2, elapsed:1m10s,  left:1h22m,  \n.."
    )


def test_times_of_a_training_that_goes_on_count_from_its_first_epoch(capsys, monkeypatch):
    clock = Clock(monkeypatch)
    clock.train(EpochDots(report_every=1, times=True), [5, 3, 3], epochs=103, first=100)
    left = re.findall(r"elapsed:(\w+),  left:(\w+)", capsys.readouterr().out)
    assert left == [("5s", "10s"), ("8s", "3s"), ("11s", "0s")]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (3599, "59m59s"),
        (3600, "1h00m"),
        (86399, "23h59m"),
        (86400, "1d00h"),
        (1e6, "11d13h"),
    ],
)
def test_durations_have_two_units(seconds, text):
    assert _report.duration(seconds) == text


def summarised(capsys, logs, **arguments):
    dots = EpochDots(dot_every=10**6, report_every=10**6, summary=True, **arguments)
    dots.on_train_begin()
    for epoch, values in enumerate(logs, 1):
        dots.on_epoch_end(epoch, values)
    dots.on_train_end()
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "values", "best"),
    [("loss", [3, 1, 2], 2), ("val_loss", [3, 2, 2], 2), ("data_loss", [1, float("nan"), 2], 1)],
)
def test_a_summary_has_the_first_the_best_and_the_last_epoch(capsys, name, values, best):
    rows = [{name: value} for value in values]
    assert summarised(capsys, rows) == (
        f"First epoch: 1, {name}:{values[0]:.4f},  \n"
        f"Best epoch: {best} ({name}), {name}:{values[best - 1]:.4f},  \n"
        f"Last epoch: 3, {name}:{values[2]:.4f},  \n"
    )


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([{"loss": 1}, {"loss": 3, "val_loss": 5}, {"loss": 2}, {"val_loss": 6}], "2 (val_loss)"),
        ([{"loss": 2}, {"loss": 1, "val_loss": float("nan")}, {"loss": 3}], "1 (loss)"),
        (
            [
                {"data_loss": 0, "val_loss": 1, "val_data_loss": 2},
                {"data_loss": 0, "val_loss": 2, "val_data_loss": 1},
            ],
            "2 (val_data_loss)",
        ),
        (
            [
                {"loss": 9, "val_loss": 4, "data_loss": 2, "val_data_loss": 1},
                {"loss": 9, "val_loss": 3, "data_loss": 2, "val_data_loss": float("nan")},
                {"loss": 9, "val_loss": 5, "data_loss": 2, "val_data_loss": float("nan")},
            ],
            "2 (val_loss)",
        ),
        (
            [{"loss": 5, "data_loss": 1}, {"loss": 4, "data_loss": float("nan")}],
            "2 (loss)",
        ),
    ],
    ids=["later", "nan", "without-penalties", "lost", "lost without validation"],
)
def test_the_best_epoch_is_one_with_validation_where_there_is_any(capsys, rows, best):
    assert f"\nBest epoch: {best}, " in summarised(capsys, rows)


@pytest.mark.parametrize("logs", [{}, None, {"loss": "odd"}, {"loss": float("nan")}, {"acc": 1}])
def test_a_summary_without_a_best_epoch_leaves_it_out(capsys, logs):
    text = summarised(capsys, [logs])
    assert [line.split()[0] for line in text.splitlines()] == ["First", "Last"]


@pytest.mark.parametrize("ended", [float("nan"), np.float32("nan")])
def test_a_score_that_has_ended_is_left_out(capsys, ended):
    rows = [{"loss": 1.0, "overfitting_score": 0.5}, {"loss": 1.0, "overfitting_score": ended}]
    dots = EpochDots(report_every=1, summary=True, metrics=["loss", "overfitting_score"])
    for epoch, row in enumerate(rows):
        dots.on_epoch_end(epoch, row)
    dots.on_train_end()
    lines = [line for line in capsys.readouterr().out.splitlines() if "poch" in line]
    assert [("overfitting_score:0.5000" in line) for line in lines] == [
        True,
        False,
        True,
        True,
        False,
    ]
    assert not any("nan" in line for line in lines)


def test_a_summary_is_that_of_its_own_training_and_keeps_the_values_of_the_epoch(capsys):
    dots = EpochDots(summary=True)
    fit(dots, Frozen(), epochs=3)
    capsys.readouterr()
    fit(Frozen(), dots, epochs=1)
    report = "accuracy:0.5000,  loss:1.0000,  \n"
    assert capsys.readouterr().out == (
        f"\nEpoch: 0, {report}.\n"
        f"First epoch: 0, {report}Best epoch: 0 (loss), {report}Last epoch: 0, {report}"
    )


LEGEND = ". undecided or healthy, ~ stagnating, - plateau, ! overfitting, x diverging\n"


def test_a_report_shows_the_verdict_below_a_legend_that_comes_once(capsys):
    diagnosis = Diagnosis("overfitting", best_epoch=12, gap=0.25)
    dots = EpochDots(report_every=1, detector=SimpleNamespace(diagnosis=diagnosis))
    dots.on_epoch_end(0, {"loss": 1.0})
    dots.on_epoch_end(1, {"loss": 1.0})
    values = "loss:1.0000,  verdict:overfitting,  best_epoch:12,  gap:0.2500,  \n!"
    assert capsys.readouterr().out == f"{LEGEND}\nEpoch: 0, {values}\nEpoch: 1, {values}"


def test_trainings_on_one_screen_share_a_legend(capsys):
    detector = SimpleNamespace(diagnosis=Diagnosis("plateau"))
    for _ in range(3):
        printed_again = EpochDots(report_every=5, detector=detector)
        printed_again.on_train_begin()
        printed_again.on_epoch_end(0, {"loss": 1.0})
        printed_again.on_train_end()
    report = "\nEpoch: 0, loss:1.0000,  verdict:plateau,  \n-\n"
    assert capsys.readouterr().out == LEGEND + report * 3


def ours(caught):
    """How many of the warnings are of this package: the backends have their own."""
    return sum(issubclass(warning.category, RegPlusWarning) for warning in caught)


def train_twice(*callbacks):
    """Two trainings with validation in which the callbacks stand in the order given."""
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    x = np.zeros((2, 1))
    for _ in range(2):
        model.fit(x, x, epochs=4, verbose=0, validation_data=(x, x), callbacks=list(callbacks))


@pytest.mark.parametrize("arguments", [{}, {"start_from_epoch": 3}, {"monitor": "typo"}], ids=str)
def test_a_detector_in_its_place_is_no_reason_to_warn(capsys, arguments):
    detector = OverfittingDetector(verbose=0, **arguments)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train_twice(detector, EpochDots(detector=detector))
    assert [str(each.message) for each in caught if "EpochDots" in str(each.message)] == []


@pytest.mark.parametrize("where", ["comes later", "is not in it"])
def test_a_detector_that_does_not_come_before_it_gives_one_warning(capsys, where):
    detector = OverfittingDetector(verbose=0)
    dots = EpochDots(detector=detector)
    callbacks = [dots, detector] if where == "comes later" else [dots]
    with pytest.warns(RegPlusWarning, match=f"`detector` must come before .*{where}") as caught:
        train_twice(*callbacks)
    assert ours(caught) == 1


@pytest.mark.parametrize("verbose", [1, 2, "auto"])
def test_lines_of_keras_between_the_dots_give_one_warning(capsys, verbose):
    dots = EpochDots()
    with pytest.warns(RegPlusWarning, match="`verbose` of `fit` must be 0, got ") as caught:
        fit(dots, verbose=verbose, epochs=1)
        dots.on_train_begin()
    assert ours(caught) == 1


def test_lines_of_keras_elsewhere_are_no_reason_to_warn():
    dots = EpochDots(file="run.log")
    dots.set_params({"verbose": 2})
    dots.on_train_begin()
