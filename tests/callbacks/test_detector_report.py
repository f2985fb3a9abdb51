"""What the detector tells people: its report, its own lines, and errors before there is any."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import OverfittingDetector, actions

FALLING = [0.9**epoch for epoch in range(40)]
TURNING = [0.5 + abs(epoch - 10) / 50 for epoch in range(40)]
X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = np.random.default_rng(1).normal(size=(32, 1)).astype("float32")

NOT_VALIDATED = (
    "loss: undecided\n"
    "No validation values have come, so nothing could be judged. "
    "Pass `validation_data` or `validation_split` to `fit`."
)


def narrow(encoding):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stdout", narrow("utf-8"))


def fed(detector, train=FALLING, val=TURNING, first=0):
    """The detector after a training that consists of these logs alone."""
    detector.set_model(SimpleNamespace(metrics=[], stop_training=False))
    detector.on_train_begin()
    for epoch, (loss, val_loss) in enumerate(zip(train, val, strict=True), start=first):
        detector.on_epoch_end(epoch, {"loss": loss, "val_loss": val_loss})
    detector.on_train_end()
    return detector


def fitted(detector, **arguments):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    model.fit(X, Y, callbacks=[detector], **{"epochs": 3, "verbose": 0, **arguments})
    return detector


def test_a_report_has_the_pair_the_reason_both_curves_and_the_onset():
    detector = fed(OverfittingDetector("val_loss", verbose=0), first=5)
    lines = detector.report().splitlines()
    onset = detector.diagnosis.onset_epoch
    assert lines[:2] == ["loss and val_loss: overfitting", detector.diagnosis.reason]
    assert lines[2].startswith("training   █")
    assert lines[2].endswith("▁  1 to 0.01642")
    # The line has one character for each epoch from 5 on.
    assert lines[4].index("^") == 11 + 10
    assert lines[4].index("!") == 11 + onset - 5
    landmarks = f"^ best validation 0.5 at epoch 15, ! overfitting since epoch {onset} "
    assert lines[5].startswith(landmarks)


@pytest.mark.parametrize(("batch_size", "is_named"), [(32, True), (16, False)])
def test_report_names_epochs_of_a_single_step(batch_size, is_named):
    detector = OverfittingDetector("loss", verbose=0)
    fitted(detector, validation_data=(X, Y), batch_size=batch_size)
    assert ("An epoch is a single step" in detector.report()) == is_named


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_a_report_can_be_printed_after_a_training(monkeypatch, encoding):
    stream = narrow(encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    detector = fitted(OverfittingDetector(), validation_data=(X, Y))
    print(detector.report(), flush=True)
    assert b"loss and val_loss: undecided" in stream.buffer.getvalue()
    assert detector.report().isascii() == (encoding != "utf-8")


class Arrow(actions.Action):
    """Says what it did with characters that few encodings have."""

    def move(self, model, steps):
        return f"größer → {steps}"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "größer → 1".encode()),
        ("cp1252", b"gr\xf6\xdfer \\u2192 1"),
        ("ascii", b"gr\\xf6\\xdfer \\u2192 1"),
    ],
)
def test_what_an_action_says_arrives_whatever_the_terminal(monkeypatch, encoding, text):
    stream = narrow(encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    fed(OverfittingDetector(action=Arrow()))
    assert text in stream.buffer.getvalue()


def test_without_validation_the_report_repeats_that_it_is_missing():
    with pytest.warns(RegPlusWarning, match="no validation values have come"):
        detector = fitted(OverfittingDetector())
    assert detector.report() == NOT_VALIDATED
    assert detector.diagnosis.reason in NOT_VALIDATED


def test_a_metric_that_cannot_be_judged_says_so_in_the_report():
    with pytest.warns(RegPlusWarning, match="'nonsense'"):
        detector = fitted(OverfittingDetector("nonsense"), validation_data=(X, Y))
    verdict, reason = detector.report().splitlines()
    assert verdict == "nonsense: undecided"
    assert reason == (
        "OverfittingDetector: `monitor` must be one of the metrics of this training ('loss'), "
        "got 'nonsense'. Name one of these."
    )


def test_a_training_that_ended_within_the_warm_up_has_a_report():
    detector = fed(OverfittingDetector(start_from_epoch=100, verbose=0))
    assert detector.report() == "loss: undecided\nNothing seen yet."


@pytest.mark.parametrize(
    ("call", "method", "advice"),
    [
        (OverfittingDetector.report, "report", "Call `fit` first"),
        (OverfittingDetector.plot, "plot", "Call `fit` with validation data first"),
    ],
)
def test_before_a_training_the_errors_say_what_to_call(call, method, advice):
    with pytest.raises(ValueError) as caught:
        call(OverfittingDetector())
    assert str(caught.value) == (
        f"OverfittingDetector: `{method}()` must be called after a training that the detector has "
        f"watched, got no epoch to judge. {advice}, with the detector in its `callbacks`."
    )


def two_outputs():
    inputs = keras.Input((4,))
    outputs = {name: keras.layers.Dense(1, name=name)(inputs) for name in ("out1", "out2")}
    model = keras.Model(inputs, outputs)
    model.compile(optimizer="sgd", loss={"out1": "mse", "out2": "mae"})
    return model


@pytest.mark.parametrize(
    ("monitor", "name"),
    [(None, "loss"), ("out1_loss", "out1_loss"), ("val_out2_loss", "out2_loss")],
)
def test_a_model_with_two_outputs_is_judged_by_the_whole_loss_or_by_one_of_them(monitor, name):
    detector = OverfittingDetector(monitor, verbose=0)
    history = two_outputs().fit(
        X,
        {"out1": Y, "out2": Y},
        validation_data=(X, {"out1": Y, "out2": Y}),
        epochs=6,
        verbose=0,
        callbacks=[detector],
    )
    assert detector.history["train"] == pytest.approx(history.history[name])
    assert detector.history["val"] == pytest.approx(history.history[f"val_{name}"])
    first = detector.report().splitlines()[0]
    assert first == f"{name} and val_{name}: {detector.diagnosis.verdict}"
