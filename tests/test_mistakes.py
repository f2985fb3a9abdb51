"""What a user writes by mistake, and what the package says to it, at once or with one warning."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_regplus as kr
from keras_regplus import RegPlusWarning, callbacks, diagnosis, layers, regularizers, schedules
from keras_regplus.callbacks import EpochDots, OverfittingDetector, RegularizationScheduler

X, Y = np.ones((4, 3), "float32"), np.ones((4, 2), "float32")


def trained(**arguments):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, **arguments)])
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)


def watched(callback):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(X, Y, validation_data=(X, Y), epochs=2, verbose=0, callbacks=[callback])


def draw(metric):
    from matplotlib.figure import Figure

    from keras_regplus.plots import HistoryPlotter

    run = {"loss": [3.0, 2.0], "val_loss": [4.0, 5.0]}
    return HistoryPlotter(metric).plot({"a": run}, ax=Figure().add_subplot())


class Mistake(SimpleNamespace):
    """What is written, the kind of error, and words of the message, in their order."""


warmup = schedules.LinearWarmup(10)

ERRORS = {
    "a schedule for a regularizer": Mistake(
        write=lambda: trained(kernel_regularizer=warmup),
        error=TypeError,
        words=["LinearWarmup", "(3, 2)", "no regularizer", "ScheduledL2(1e-3, LinearWarmup("],
    ),
    "a schedule for an activity regularizer": Mistake(
        write=lambda: trained(activity_regularizer=schedules.Constant(2.0)),
        error=(TypeError, RuntimeError),  # Keras may wrap what a call raises
        words=["Constant", "no regularizer", "ScheduledL2(1e-3, Constant("],
    ),
    "a schedule of one's own for a regularizer": Mistake(
        write=lambda: trained(bias_regularizer=Own()),
        error=TypeError,
        words=["Own", "(2,)", "no regularizer", "ScheduledL2(1e-3, Own()"],
    ),
    "a schedule for a constraint": Mistake(
        write=lambda: trained(kernel_constraint=warmup),
        error=TypeError,
        words=["LinearWarmup", "constraint", "ScheduledL2"],
    ),
    "a warmup without its name": Mistake(
        write=lambda: regularizers.WarmupL1L2(0.0, 1e-3, 1000),
        error=TypeError,
        words=["positional"],
    ),
    "verify without the model": Mistake(
        write=lambda: RegularizationScheduler().verify(X, Y),
        error=TypeError,
        words=["verify: `model`", "verify(model, x, y)"],
    ),
    "at without a name": Mistake(
        write=lambda: kr.at(5),
        error=TypeError,
        words=["at: `step` and `epoch`", "got 5", "at(step=...)"],
    ),
    "the class of a layer": Mistake(
        write=lambda: layers.DropConnect(keras.layers.Dense, 0.5),
        error=TypeError,
        words=["DropConnect: `layer`", "not its class", "DropConnect(Dense(10), 0.5)"],
    ),
    "a schedule for the scheduler": Mistake(
        write=lambda: RegularizationScheduler(schedule=warmup),
        error=TypeError,
        words=[
            "RegularizationScheduler: `schedule`",
            "LinearWarmup",
            "ScheduledL2(1e-3, schedule)",
        ],
    ),
    "a function in place of the scheduler's first argument": Mistake(
        write=lambda: RegularizationScheduler(lambda epoch: 0.1),
        error=TypeError,
        words=["RegularizationScheduler: `log`", "ScheduledL2(1e-3, schedule)"],
    ),
    "a history for a curve": Mistake(
        write=lambda: diagnosis.diagnose({"loss": [1.0], "val_loss": [1.0]}),
        error=TypeError,
        words=["diagnose: `train`", "diagnose_history"],
    ),
    "a plot before a training": Mistake(
        write=lambda: OverfittingDetector().plot(),
        error=ValueError,
        words=["OverfittingDetector: `plot()`", "Call `fit` with validation data first"],
    ),
    "a report before a training": Mistake(
        write=lambda: OverfittingDetector().report(),
        error=ValueError,
        words=["OverfittingDetector: `report()`", "Call `fit` first"],
    ),
    "patience": Mistake(
        write=lambda: OverfittingDetector(patience=10),
        error=TypeError,
        words=["OverfittingDetector: `patience`", "got 10", "noise", "start_from_epoch"],
    ),
    "min_delta": Mistake(
        write=lambda: OverfittingDetector(min_delta=0.1),
        error=TypeError,
        words=["OverfittingDetector: `min_delta`", "got 0.1", "noise"],
    ),
    "a name at the top": Mistake(
        write=lambda: kr.ScheduledL2,
        error=AttributeError,
        words=["'ScheduledL2'", "keras_regplus.regularizers.ScheduledL2"],
    ),
    "another name at the top": Mistake(
        write=lambda: kr.EpochDots,
        error=AttributeError,
        words=["'EpochDots'", "keras_regplus.callbacks.EpochDots"],
    ),
    "a name that is nowhere": Mistake(
        write=lambda: kr.Nothing, error=AttributeError, words=["'keras_regplus'", "'Nothing'"]
    ),
}


class Own(schedules.Schedule):
    def __call__(self, t):
        return 0.0 * t + 1.0


@pytest.mark.parametrize("mistake", ERRORS.values(), ids=ERRORS)
def test_a_mistake_is_an_error_that_says_what_to_do(mistake):
    with pytest.raises(mistake.error) as caught:
        mistake.write()
    assert re.search(".*".join(map(re.escape, mistake.words)), str(caught.value), re.DOTALL)


decays = keras.optimizers.schedules

WARNINGS = {
    "steps for a strength": Mistake(
        write=lambda: regularizers.WarmupL1L2(1e-3, 1000),
        words=["WarmupL1L2: `l2` is 1000", "warmup=1000"],
    ),
    "steps for the strength of a penalty": Mistake(
        write=lambda: regularizers.ScheduledL1(10, warmup), words=["ScheduledL1: `l1` is 10"]
    ),
    "a class for a regularizer": Mistake(
        write=lambda: keras.layers.Dense(2, kernel_regularizer=regularizers.ScheduledL2),
        words=["ScheduledL2: made without arguments", "0.01", "ScheduledL2(1e-4, schedules."],
    ),
    "a class without a strength": Mistake(
        write=lambda: keras.layers.Dense(2, kernel_regularizer=regularizers.WarmupL1L2),
        words=["WarmupL1L2: made without arguments", "is 0", "WarmupL1L2(l2=1e-4, warmup=1000)"],
    ),
    "a learning rate for a factor": Mistake(
        write=lambda: regularizers.ScheduledL2(1e-3, decays.CosineDecay(1e-3, 1000)),
        words=["ScheduledL2: `schedule` is a CosineDecay", "0.001", "CosineDecay(1.0, ...)"],
    ),
    "a misspelt metric of reports": Mistake(
        write=lambda: watched(EpochDots(metrics=["los"], file=io.StringIO())),
        words=["EpochDots: `metrics`", "'loss'", "'los'", "Did you mean `loss`?"],
        times=1,
    ),
    "a misspelt metric of the detector": Mistake(
        write=lambda: watched(OverfittingDetector("los", mode="min", verbose=0)),
        words=["OverfittingDetector: `monitor`", "'loss'", "'los'", "Did you mean `loss`?"],
        times=1,
    ),
    "learning rates for a rate's factor": Mistake(
        write=lambda: layers.ScheduledDropout(
            0.5, decays.PiecewiseConstantDecay([10], [1e-2, 1e-3])
        ),
        words=["ScheduledDropout: `schedule` is a PiecewiseConstantDecay", "0.01"],
    ),
}


@pytest.mark.parametrize("mistake", WARNINGS.values(), ids=WARNINGS)
def test_a_mistake_is_one_warning_that_says_what_to_do(mistake):
    with pytest.warns(RegPlusWarning) as caught:
        for _ in range(getattr(mistake, "times", 2)):
            mistake.write()
    (said,) = [str(each.message) for each in caught if each.category is RegPlusWarning]
    assert re.search(".*".join(map(re.escape, mistake.words)), said, re.DOTALL)


NO_MISTAKES = {
    "strength and schedule": lambda: regularizers.ScheduledL2(0.01, warmup),
    "a strength alone": lambda: regularizers.ScheduledL2(0.01),
    "the default strength with a schedule": lambda: regularizers.ScheduledL2(schedule=warmup),
    "no strength, said": lambda: regularizers.ScheduledL1L2(0.0, 0.0, warmup),
    "a decay from 1": lambda: regularizers.ScheduledL2(1e-3, decays.CosineDecay(1.0, 1000)),
    "a warm-up to 1": lambda: regularizers.ScheduledL2(
        1e-3, decays.CosineDecay(0.0, 1000, warmup_target=1.0, warmup_steps=10)
    ),
    "one that grows": lambda: regularizers.ScheduledL2(1e-3, decays.ExponentialDecay(1e-3, 9, 2.0)),
    "whole times": lambda: warmup(np.arange(3)),
    "a time in a tensor": lambda: warmup(keras.ops.convert_to_tensor(2.0)),
}


@pytest.mark.parametrize("write", NO_MISTAKES.values(), ids=NO_MISTAKES)
def test_what_is_no_mistake_is_not_told(write):
    write()  # a warning is an error here


def test_both_curves_are_drawn_whichever_is_named():
    labels = [[line.get_label() for line in draw(name).lines] for name in ("loss", "val_loss")]
    assert labels == [["A Train", "A Val"]] * 2


def test_the_reason_says_that_values_which_grow_need_another_mode():
    accuracies = [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.92, 0.94]
    assert 'pass mode="max"' in diagnosis.diagnose(accuracies, accuracies).reason
    assert "mode" not in diagnosis.diagnose(accuracies, accuracies, mode="max").reason


# tf_keras, which is Keras 2, is not installed here. What the package sees of it is a module's name.


OldModel = type("Sequential", (), {"__module__": "tf_keras.src.engine.sequential"})


@pytest.mark.parametrize("name", [n for n in callbacks.__all__ if n[0].isupper()])
def test_a_model_of_keras_2_is_refused_by_each_callback(name):
    with pytest.raises(TypeError, match=f"^{name}: the model must be one of Keras 3"):
        getattr(callbacks, name)().set_model(OldModel())


def test_a_layer_of_keras_2_is_told_by_its_penalty():
    calling = "def call(regularizer, x):\n    return regularizer(x)\n"
    module = {"__name__": "tf_keras.src.engine.base_layer"}
    exec(calling, module)
    with pytest.raises(TypeError, match="must be one of Keras 3, got one of `tf_keras`"):
        module["call"](regularizers.ScheduledL2(0.1, warmup), X)
