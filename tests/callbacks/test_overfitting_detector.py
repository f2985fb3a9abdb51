"""OverfittingDetector: what it diagnoses, what it does, and what it must never do."""

from __future__ import annotations

import contextlib
import copy
import io
import pickle
import warnings
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_regplus import RegPlusWarning
from keras_regplus.callbacks import actions
from keras_regplus.callbacks._log_values import as_float
from keras_regplus.callbacks.overfitting_detector import OverfittingDetector
from keras_regplus.diagnosis import diagnose
from keras_regplus.histories.metric_names import direction_of_name

EPOCHS = range(40)
FALLING = [0.9**epoch for epoch in EPOCHS]
TURNING = [0.5 + abs(epoch - 10) / 50 for epoch in EPOCHS]


@pytest.fixture(autouse=True)
def _our_warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RegPlusWarning)
        yield


@pytest.fixture(scope="module")
def data():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    return rng.normal(size=(64, 20)).astype("float32"), rng.integers(0, 2, size=(64, 1))


def small_model(metrics=None):
    model = keras.Sequential(
        [
            keras.layers.Dense(32, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    optimizer = keras.optimizers.Adam(0.02)
    model.compile(optimizer=optimizer, loss="binary_crossentropy", metrics=metrics)
    return model


def tiny_model(metrics=None):
    model = keras.Sequential([keras.layers.Dense(1, activation="sigmoid")])
    model.compile(optimizer="sgd", loss="binary_crossentropy", metrics=metrics)
    return model


def fitted(model, data, callbacks, epochs=40, **kwargs):
    kwargs = {"validation_split": 0.5, "verbose": 0} | kwargs
    return model.fit(*data, epochs=epochs, callbacks=callbacks, **kwargs)


def fed(detector, train=FALLING, val=TURNING, name="loss", first=0):
    """The detector after a training that consists of these logs alone; the logs of each epoch."""
    detector.set_model(SimpleNamespace(metrics=[], stop_training=False))
    detector.on_train_begin()
    seen = [{name: t, f"val_{name}": v} for t, v in zip(train, val, strict=True)]
    for epoch, logs in enumerate(seen, start=first):
        detector.on_epoch_end(epoch, logs)
        if detector.model.stop_training:
            break
    detector.on_train_end()
    return seen


class Recorder(keras.callbacks.Callback):
    """Copies of the weights after each epoch."""

    def on_train_begin(self, logs=None):
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append([np.array(weight) for weight in self.model.get_weights()])


def ours(caught):
    return sum(issubclass(warning.category, RegPlusWarning) for warning in caught)


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def stopped(data):
    """A training that overfits, watched by a detector and by callbacks before and after it."""
    later, printed = [], io.StringIO()
    detector = OverfittingDetector(action="stop", restore_best_weights=True)
    spy = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda _, logs: later.append(logs["overfitting_score"])
    )
    model, recorder = small_model(), Recorder()
    with contextlib.redirect_stdout(printed):
        history = fitted(model, data, [recorder, detector, spy], epochs=200)
    return SimpleNamespace(
        detector=detector,
        model=model,
        weights=recorder.weights,
        later=later,
        printed=printed.getvalue(),
        epochs=history.epoch,
        curves=history.history,
    )


def test_a_training_that_overfits_is_stopped(stopped):
    assert stopped.detector.diagnosis.verdict == "overfitting"
    assert stopped.detector.stopped_epoch == stopped.epochs[-1] < 199
    assert f"training is stopped after epoch {stopped.epochs[-1]}. Validation" in stopped.printed


def test_the_best_weights_are_restored(stopped):
    best = int(np.argmin(stopped.curves["val_loss"]))
    assert best < stopped.epochs[-1]
    assert same(stopped.model.get_weights(), stopped.weights[best])
    assert f"the weights of epoch {best} are restored" in stopped.printed


def test_its_diagnosis_is_that_of_the_history(stopped):
    train, val = stopped.curves["loss"], stopped.curves["val_loss"]
    assert stopped.detector.diagnosis == diagnose(train, val)
    assert stopped.detector.history == {"epoch": stopped.epochs, "train": train, "val": val}


def test_the_score_reaches_the_history_and_later_callbacks(stopped):
    assert stopped.curves["overfitting_score"] == stopped.later
    assert len(stopped.later) == len(stopped.epochs)
    assert stopped.later[0] == 0
    assert 0.5 < stopped.later[-1] <= 1


def test_best_weights_come_back_when_nothing_stopped_the_training(data):
    detector = OverfittingDetector("accuracy", restore_best_weights=True, verbose=0)
    model, recorder = tiny_model(["accuracy"]), Recorder()
    history = fitted(model, data, [recorder, detector], epochs=8)
    assert detector.stopped_epoch is None
    assert len(history.epoch) == 8
    best = int(np.argmax(history.history["val_accuracy"]))
    assert same(model.get_weights(), recorder.weights[best])


def test_weights_are_those_of_the_same_training_without_it(data):
    results = []
    for callbacks in ([], [OverfittingDetector(verbose=0)]):
        keras.utils.set_random_seed(1)
        model = small_model()
        fitted(model, data, callbacks, epochs=3)
        results.append(model.get_weights())
    assert same(*results)


def test_a_score_of_somebody_else_is_kept_with_one_warning():
    detector = OverfittingDetector(verbose=0)
    detector.set_model(tiny_model())
    detector.on_train_begin()
    logs = [{"loss": 1.0, "val_loss": 1.0, "overfitting_score": 7.0} for _ in range(3)]
    with pytest.warns(RegPlusWarning, match="'overfitting_score' already") as caught:
        for epoch, entry in enumerate(logs):
            detector.on_epoch_end(epoch, entry)
    assert ours(caught) == 1
    assert logs[2]["overfitting_score"] == 7.0


def test_no_validation_data_is_one_warning_and_training_goes_on(data):
    detector = OverfittingDetector(action="stop", restore_best_weights=True)
    with pytest.warns(RegPlusWarning, match="Pass `validation_data`") as caught:
        history = fitted(tiny_model(), data, [detector], epochs=4, validation_split=0.0)
    assert ours(caught) == 1
    assert len(history.epoch) == 4
    assert "overfitting_score" not in history.history
    assert detector.diagnosis.verdict == "undecided"


@pytest.mark.parametrize("first", [0, 5])
def test_epochs_without_validation_are_counted(data, first):
    detector = OverfittingDetector(verbose=0)
    history = fitted(
        tiny_model(),
        data,
        [detector],
        epochs=first + 8,
        initial_epoch=first,
        validation_freq=2,
    )
    validated = [epoch for epoch in history.epoch if (epoch + 1) % 2 == 0]
    best = validated[int(np.argmin(history.history["val_loss"]))]
    assert detector.diagnosis.best_epoch == best
    assert detector.diagnosis.epochs_past_best == history.epoch[-1] - best
    assert [v is not None for v in detector.history["val"]] == [e % 2 == 1 for e in history.epoch]
    assert len(history.history["overfitting_score"]) == 8


def test_epochs_are_those_of_keras_after_a_later_start():
    detector = OverfittingDetector(start_from_epoch=103, verbose=0)
    logs = fed(detector, first=100)
    direct = diagnose(FALLING[3:], TURNING[3:])
    assert detector.diagnosis.verdict == direct.verdict == "overfitting"
    assert detector.diagnosis.best_epoch == 110
    assert detector.diagnosis.onset_epoch == direct.onset_epoch + 103
    assert detector.history["epoch"][0] == 103
    assert logs[0]["overfitting_score"] == 0.0


def test_data_loss_is_preferred_where_it_has_a_twin():
    detector = OverfittingDetector(verbose=0)
    detector.set_model(tiny_model())
    detector.on_train_begin()
    parts = {"loss": 9.0, "val_loss": 9.0, "data_loss": 1.0, "val_data_loss": 2.0}
    detector.on_epoch_end(0, dict(parts))
    assert (detector.history["train"], detector.history["val"]) == ([1.0], [2.0])
    detector.on_train_begin()
    detector.on_epoch_end(0, {"loss": 9.0, "val_loss": 8.0, "data_loss": 1.0})
    assert (detector.history["train"], detector.history["val"]) == ([9.0], [8.0])


@pytest.mark.parametrize("monitor", ["accuracy", "val_accuracy"])
def test_a_growing_metric_is_judged_as_such(monitor):
    detector = OverfittingDetector(monitor, verbose=0)
    fed(detector, [1 - x / 2 for x in FALLING], [1 - x / 2 for x in TURNING], name="accuracy")
    assert detector.monitor == "accuracy"
    assert detector.diagnosis.verdict == "overfitting"
    assert detector.diagnosis.best_epoch == 10


def test_the_compiled_metric_knows_its_direction_better_than_its_name():
    detector = OverfittingDetector("some_loss", verbose=0)
    detector.set_model(tiny_model([keras.metrics.BinaryAccuracy(name="some_loss")]))
    detector.on_train_begin()
    for epoch, value in enumerate([0.5, 0.8, 0.6]):
        detector.on_epoch_end(epoch, {"some_loss": value, "val_some_loss": value})
    assert detector.diagnosis.best_epoch == 1


def lift(y_true, y_pred):
    return keras.ops.mean(y_pred)


def test_a_compiled_metric_of_unknown_direction_is_refused_when_training_begins(data):
    model = tiny_model([lift])
    with pytest.raises(
        ValueError, match=r"`mode` must be 'min' or 'max'.*'lift'.*got 'auto'\. Use"
    ):
        fitted(model, data, [OverfittingDetector("lift")])
    history = fitted(model, data, [OverfittingDetector("lift", mode="max", verbose=0)], epochs=2)
    assert len(history.epoch) == 2


def test_an_unknown_name_is_one_warning_and_the_detector_idles(data):
    detector = OverfittingDetector("val_nonsense", action="stop")
    match = r"\('accuracy', 'loss'\), got 'nonsense'\..*does nothing in this training"
    with pytest.warns(RegPlusWarning, match=match) as caught:
        history = fitted(tiny_model(["accuracy"]), data, [detector], epochs=3)
    assert ours(caught) == 1
    assert len(history.epoch) == 3


@pytest.mark.parametrize(
    ("monitor", "advice"),
    [
        ("los", r"Did you mean `loss`\?"),
        ("val_los", r"Did you mean `loss`\?"),
        ("Accuracyy", r"Did you mean `accuracy`\?"),
        ("accuracy_loss", r"Did you mean `accuracy`\?"),
        ("zzz", r"Name one of these\."),
    ],
)
def test_a_misspelt_name_is_met_with_those_that_look_like_it(monitor, advice):
    detector = OverfittingDetector(monitor, mode="min", verbose=0)
    logs = {"accuracy": 0.5, "loss": 1.0, "val_accuracy": 0.5, "val_loss": 1.0}
    with pytest.warns(RegPlusWarning, match=rf"\('accuracy', 'loss'\), got .*\. {advice}"):
        detector.on_epoch_end(0, logs)


@pytest.mark.parametrize(
    ("logs", "match"),
    [
        ({"loss": 1.0, "aim": 1.0, "val_loss": 1.0}, "`mode` must be"),
        ({"loss": 1.0, "aim_loss": 1.0, "val_loss": 1.0}, None),
        ({"loss": 1.0, "aim": "high", "val_aim": "low"}, "one number for each epoch"),
        ({"loss": 1.0, "aim": np.ones(3), "val_aim": np.ones(3)}, "one number for each epoch"),
    ],
)
def test_a_metric_that_cannot_be_compared_is_one_warning(logs, match):
    detector = OverfittingDetector("aim" if "aim" in logs else "aim_loss", verbose=0)
    detector.set_model(tiny_model())
    detector.on_train_begin()
    with pytest.warns(RegPlusWarning, match=match or "measured in validation, too") as caught:
        for epoch in range(3):
            detector.on_epoch_end(epoch, dict(logs))
    assert ours(caught) == 1


@pytest.mark.parametrize("logs", [None, {}, [], {"loss": None, "val_loss": None}])
def test_logs_without_values_give_no_warning(logs):
    detector = OverfittingDetector(action="stop")
    detector.set_model(tiny_model())
    detector.on_train_begin(None)
    for epoch in range(3):
        detector.on_epoch_end(epoch, logs)
    detector.on_train_end(None)
    assert detector.diagnosis.verdict == "undecided"


@pytest.mark.parametrize(
    "box", [float, np.float32, np.array, lambda x: np.array([x]), keras.ops.convert_to_tensor]
)
def test_numbers_are_read_from_whatever_holds_them(box):
    detector = OverfittingDetector(verbose=0)
    fed(detector, map(box, FALLING), map(box, TURNING))
    assert detector.diagnosis.verdict == "overfitting"
    assert detector.history["val"] == pytest.approx(TURNING)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1.0), (True, 1.0), ("1", None), (None, None), (np.ones(2), None), ({}, None)],
)
def test_only_single_numbers_are_numbers(value, expected):
    assert as_float(value) == expected


def test_nan_in_the_logs_ends_as_diverging_and_stops():
    detector = OverfittingDetector(action="stop", verbose=0)
    fed(detector, [1.0, 0.9] + [float("nan")] * 20, [1.0, 0.9] + [float("nan")] * 20)
    assert detector.diagnosis.verdict == "diverging"
    assert detector.stopped_epoch == 4


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("loss", "min"),
        ("data_loss", "min"),
        ("head_1_loss", "min"),
        ("mean_squared_error", "min"),
        ("sparse_categorical_crossentropy", "min"),
        ("kl_divergence", "min"),
        ("mae_1", "min"),
        ("accuracy", "max"),
        ("top_5_accuracy", "max"),
        ("acc", "max"),
        ("auc_2", "max"),
        ("f1_score", "max"),
        ("mean_io_u", "unknown"),
        ("recall_loss", "unknown"),
        ("lift", "unknown"),
        ("glossy", "unknown"),
    ],
)
def test_the_direction_of_a_name(name, direction):
    assert direction_of_name(name) == direction


def test_a_second_fit_starts_anew(data):
    detector = OverfittingDetector(action="stop", verbose=0)
    fed(detector)
    assert detector.stopped_epoch is not None
    fitted(tiny_model(), data, [detector], epochs=2)
    assert detector.stopped_epoch is None
    assert detector.history["epoch"] == [0, 1]
    assert detector.diagnosis.verdict == "undecided"


def test_a_model_gets_no_infinite_loss_back():
    detector = OverfittingDetector(restore_best_weights=True, verbose=0)
    detector.set_model(tiny_model())
    detector.on_train_begin()
    for epoch, val in enumerate([-float("inf"), float("nan"), 2.0, 3.0]):
        detector.on_epoch_end(epoch, {"loss": 1.0, "val_loss": val})
    assert detector.diagnosis.best_epoch == 2
    assert detector._best.epoch == 2


def test_one_dict_handed_over_again_and_again_is_no_conflict():
    detector = OverfittingDetector(verbose=0)
    detector.set_model(tiny_model())
    detector.on_train_begin()
    logs = {"loss": 1.0, "val_loss": 1.0}
    for epoch in range(6):
        detector.on_epoch_end(epoch, logs)
    assert detector.diagnosis.verdict == "plateau"


def test_a_fit_that_raises_restores_nothing_and_can_be_repeated(data):
    def fail(epoch, logs):
        if epoch == 3 and not failed:
            failed.append(epoch)
            raise RuntimeError("power cut")

    failed, detector = [], OverfittingDetector(restore_best_weights=True, verbose=0)
    model, recorder = tiny_model(), Recorder()
    callbacks = [recorder, detector, keras.callbacks.LambdaCallback(on_epoch_end=fail)]
    with pytest.raises(RuntimeError, match="power cut"):
        fitted(model, data, callbacks)
    assert same(model.get_weights(), recorder.weights[-1])
    history = fitted(model, data, callbacks, epochs=5)
    assert detector.history["epoch"] == list(range(5))
    assert same(model.get_weights(), recorder.weights[int(np.argmin(history.history["val_loss"]))])


def test_an_action_is_called_each_time_that_overfitting_begins():
    calls = []
    detector = OverfittingDetector(
        action=lambda *given: calls.append((given[0], given[1].verdict, given[1].onset_epoch)),
        verbose=0,
    )
    fed(detector, FALLING * 2, TURNING + [0.1] * 40)
    assert [verdict for _, verdict, _ in calls] == ["overfitting"]
    assert calls[0][0] is detector


def test_an_action_that_raises_is_one_warning():
    def fail(detector, diagnosis):
        raise KeyError("oops")

    verdicts = ["healthy", "overfitting"] * 5
    detector = OverfittingDetector(action=fail, criterion=Script(verdicts), verbose=0)
    with pytest.warns(
        RegPlusWarning, match=r"`action` must not raise, got KeyError\('oops'\)"
    ) as seen:
        fed(detector)
    assert ours(seen) == 1
    assert len(detector.history["epoch"]) == len(EPOCHS)


class Script:
    """A criterion that says what is in its script, then repeats its last verdict."""

    def __init__(self, verdicts, **fields):
        self.verdicts, self.fields, self.seen = list(verdicts), fields, []

    def update(self, train, val):
        self.seen.append((train, val))
        verdict = self.verdicts[min(len(self.seen), len(self.verdicts)) - 1]
        return SimpleNamespace(verdict=verdict, **self.fields)


def test_a_criterion_of_ones_own_decides():
    script = Script(["healthy", "overfitting"], best_epoch=1, should_stop=False)
    detector = OverfittingDetector(criterion=script, verbose=0)
    logs = fed(detector, first=10)
    assert detector.diagnosis.best_epoch == 11
    assert [entry["overfitting_score"] for entry in logs[:3]] == [0.0, 1.0, 1.0]
    assert script.seen == []
    assert detector.criterion is script


@pytest.mark.parametrize(
    "criterion", [Script(["perhaps"]), Script([None]), SimpleNamespace(update=lambda t: 1)]
)
def test_a_criterion_that_fails_is_one_warning(criterion):
    detector = OverfittingDetector(criterion=criterion, verbose=0)
    with pytest.warns(RegPlusWarning, match="`criterion` failed with") as caught:
        fed(detector)
    assert ours(caught) == 1


@pytest.mark.parametrize(
    ("verbose", "lines"),
    [
        (0, []),
        (1, ["after epoch 1: overfitting. ", "after epoch 3: overfitting. "]),
        (
            2,
            [
                "after epoch 0: healthy. ",
                "after epoch 1: overfitting. ",
                "after epoch 2: plateau. ",
                "after epoch 3: overfitting. ",
            ],
        ),
    ],
)
def test_what_is_printed(verbose, lines, capsys):
    script = Script(["healthy", "overfitting", "plateau", "overfitting"])
    fed(OverfittingDetector(criterion=script, verbose=verbose))
    expected = "".join(f"\nOverfittingDetector: {line}\n" for line in lines)
    assert capsys.readouterr().out == expected


def test_stop_waits_for_should_stop_and_says_why(capsys):
    detector = OverfittingDetector(action="stop", criterion=Script(["overfitting"]))
    fed(detector)
    assert detector.stopped_epoch is None
    script = Script(["plateau"], should_stop=True, reason="Enough.")
    detector = OverfittingDetector(action="stop", criterion=script)
    fed(detector)
    assert detector.stopped_epoch == 0
    assert capsys.readouterr().out.endswith("training is stopped after epoch 0. Enough.\n")


def test_arguments_are_attributes():
    given = {
        "monitor": "auc",
        "mode": "max",
        "action": print,
        "restore_best_weights": True,
        "start_from_epoch": 3,
        "criterion": Script(["healthy"]),
        "combine": "all",
        "train_probe": (1, 2),
        "best_by": "smooth",
        "best_weights": "disk",
        "state_file": Path("state.json"),
        "verbose": 2,
    }
    detector = OverfittingDetector(**given)
    assert {name: getattr(detector, name) for name in given} == given


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_it_can_be_copied(duplicate):
    detector = OverfittingDetector("loss", action="stop", verbose=0)
    for epoch, (train, val) in enumerate(zip(FALLING, TURNING, strict=True)):
        detector.on_epoch_end(epoch, {"loss": train, "val_loss": val})
        if epoch == 5:
            detector = duplicate(detector)
            detector.set_model(SimpleNamespace(metrics=[], stop_training=False))
    assert detector.diagnosis == diagnose(FALLING, TURNING)


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("monitor", 3, TypeError),
        ("monitor", ["loss", 3], TypeError),
        ("monitor", [], TypeError),
        ("monitor", "", ValueError),
        ("monitor", "val_", ValueError),
        ("mode", "down", ValueError),
        ("mode", None, ValueError),
        ("action", "halt", ValueError),
        ("action", None, TypeError),
        ("restore_best_weights", "yes", TypeError),
        ("restore_best_weights", 1, TypeError),
        ("start_from_epoch", -1, ValueError),
        ("start_from_epoch", 1.5, ValueError),
        ("start_from_epoch", "1", TypeError),
        ("criterion", "glory", ValueError),
        ("criterion", Script, TypeError),
        ("action", ["warn", "halt"], ValueError),
        ("action", actions.ReduceLearningRate, TypeError),
        ("combine", "most", ValueError),
        ("train_probe", 3, TypeError),
        ("train_probe", (1,), TypeError),
        ("best_by", "mean", ValueError),
        ("best_weights", "cloud", ValueError),
        ("state_file", 3, TypeError),
        ("state_file", "run/detector", ValueError),
        ("state_file", "gs://bucket/state.json", ValueError),
        ("verbose", 3, ValueError),
    ],
)
def test_bad_arguments_raise_three_part_errors(argument, value, error):
    with pytest.raises(
        error, match=rf"^OverfittingDetector: `{argument}` must be .*, got .*\. .*\.$"
    ):
        OverfittingDetector(**{argument: value})
