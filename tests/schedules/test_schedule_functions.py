"""Plain functions as schedules, and what is wrong with the value of a schedule."""

from __future__ import annotations

import copy
import functools
import json
import math
import pickle
import re
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from keras import ops

from keras_regplus import at, callbacks, regularizers, schedules, testing
from keras_regplus.layers import ScheduledDropout
from keras_regplus.schedules import Constant, Linear, LinearWarmup
from keras_regplus.schedules.evaluation import evaluate, values_at

TRACES = keras.backend.backend() in ("jax", "tensorflow")
NOT_REGISTERED = r"^{}: .+ must be registered .+, got <function .+>\. .+register_keras_ser.+\.$"
# JAX adds a note of its own below.
USE_OPS = (
    r"^.+: a schedule must be computed with `keras.ops`, .+, got .+\. Use `keras.ops` .+\.(\n|$)"
)


def halving(step):
    return 0.5 ** (ops.cast(step, "float32") / 4)


@keras.saving.register_keras_serializable(package="function_tests")
def registered(step):
    return ops.minimum(ops.cast(step, "float32") / 4, 1.0)


def half(step):
    return 0.5


class Callable:
    def __call__(self, step):
        return 0.25 * step


# The factors at t = 0, 1, 2.
FUNCTIONS = [
    (halving, [1.0, 0.5**0.25, 0.5**0.5]),
    (registered, [0.0, 0.25, 0.5]),
    (half, [0.5, 0.5, 0.5]),
    (lambda step: 1.0 / (1.0 + ops.cast(step, "float32")), [1.0, 0.5, 1 / 3]),
    (functools.partial(lambda scale, step: scale * step, 2.0), [0.0, 2.0, 4.0]),
    (Callable(), [0.0, 0.25, 0.5]),
    (Callable().__call__, [0.0, 0.25, 0.5]),
    (ops.sqrt, [0.0, 1.0, math.sqrt(2.0)]),
]
NAMED = ["def", "registered", "constant", "lambda", "partial", "object", "method", "of keras.ops"]


def model_with(schedule):
    l2 = regularizers.ScheduledL2(0.5, schedule)
    dense = keras.layers.Dense(1, kernel_initializer="ones", kernel_regularizer=l2, name="dense")
    model = keras.Sequential([keras.Input((2,)), dense])
    model.compile(keras.optimizers.SGD(0.0), loss=keras.losses.MeanSquaredError())
    return model


def scheduler():
    return callbacks.RegularizationScheduler()


def fit(model, epochs=1):
    return testing.frozen_fit(
        model, np.ones((6, 2), "float32"), batch_size=2, epochs=epochs, callbacks=[scheduler()]
    )


def compiled(schedule):
    """`evaluate` inside a compiled function, as a step has it; torch runs eagerly."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(lambda t: evaluate(schedule, t))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(lambda t: evaluate(schedule, t), autograph=False)
    return lambda t: evaluate(schedule, t)


def number(value):
    return float(ops.convert_to_numpy(value))


@pytest.mark.parametrize("function, factors", FUNCTIONS, ids=NAMED)
def test_a_training_follows_a_function(function, factors):
    run = fit(model_with(function))
    # The penalty of two ones at strength 0.5 is the factor.
    np.testing.assert_allclose(run.loss, factors, rtol=1e-5, atol=1e-6)
    (strength,) = (v for k, v in run.history.items() if k.startswith("strength/"))
    assert strength == pytest.approx([0.5 * number(function(3))], rel=1e-6)


@pytest.mark.parametrize("function, factors", FUNCTIONS, ids=NAMED)
def test_a_function_is_a_schedule_as_it_is(function, factors):
    assert schedules.get(function) is function
    assert [number(evaluate(function, t)) for t in range(3)] == pytest.approx(factors)
    np.testing.assert_allclose(values_at(function, np.arange(3)), factors, rtol=1e-6)


def test_a_layer_follows_a_function():
    layer = ScheduledDropout(0.5, lambda step: 2.0 * ops.cast(step >= 3, "float32"))
    ones = ops.ones((2, 4))
    with at(step=2):
        assert ops.convert_to_numpy(layer(ones, training=True)).tolist() == [[1.0] * 4] * 2
    with at(step=3):
        assert ops.convert_to_numpy(layer(ones, training=True)).tolist() == [[0.0] * 4] * 2


def test_weights_that_share_a_function_share_a_strength_in_the_logs():
    l2s = [regularizers.ScheduledL2(0.5, f) for f in (halving, halving, half)]
    dense = [keras.layers.Dense(2, kernel_regularizer=l2) for l2 in l2s]
    model = keras.Sequential([keras.Input((2,)), *dense])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    assert sum(key.startswith("strength/") for key in fit(model).history) == 2


def test_functions_are_parts_of_schedules():
    joined = schedules.Join([Linear(2), half, halving], [2, 3])
    assert joined.preview(5) == pytest.approx([0.0, 0.5, 0.5, 1.0, 0.5**0.25])
    assert joined == schedules.Join([Linear(2), half, halving], [2, 3])
    assert joined != schedules.Join([Linear(2), half, half], [2, 3])
    assert len({joined, schedules.Join([Linear(2), half, halving], [2, 3])}) == 1
    assert copy.deepcopy(joined) == pickle.loads(pickle.dumps(joined)) == joined
    assert eval(repr(joined), {**vars(schedules), **globals()}) == joined
    assert schedules.Clip(half, 0.6).preview(2).tolist() == pytest.approx([0.6, 0.6])


def test_penalties_compare_by_the_function():
    for cls in (regularizers.ScheduledL1, regularizers.ScheduledL2):
        assert cls(0.5, halving) == cls(0.5, halving) != cls(0.5, half)
        assert len({cls(0.5, halving), cls(0.5, halving), cls(0.25, halving)}) == 2
        assert copy.deepcopy(cls(0.5, halving)) == cls(0.5, halving)
        assert pickle.loads(pickle.dumps(cls(0.5, half))) == cls(0.5, half)
        assert repr(cls(0.5, halving)).endswith(
            "(l1=0.5, schedule=halving)".replace("1", cls.__name__[-1])
        )


def test_a_function_counts_steps():
    with pytest.raises(ValueError, match="schedules of one unit, got 'epoch and step'"):
        schedules.Product([halving, LinearWarmup(2, "epoch")])


@pytest.mark.parametrize(
    "function", [halving, lambda step: 1.0, Callable()], ids=["def", "lambda", "object"]
)
def test_what_is_not_registered_says_so_when_it_is_saved(function, tmp_path):
    said = r"must be registered to be saved, got .+\. .*`@keras\.saving\.register_keras_serial.+\."
    model = model_with(function)
    for save in (
        lambda: schedules.serialize(function),
        lambda: schedules.Product([function]).get_config(),
        lambda: regularizers.ScheduledL2(0.5, function).get_config(),
        lambda: model.save(tmp_path / "model.keras"),
        model.to_json,
    ):
        with pytest.raises(ValueError, match=said):
            save()


def test_the_error_names_the_function():
    with pytest.raises(ValueError, match=NOT_REGISTERED.format("halving")):
        schedules.serialize(halving)
    with pytest.raises(ValueError, match=NOT_REGISTERED.format("<lambda>")):
        schedules.serialize(lambda step: 1.0)


def test_a_registered_lambda_is_not_saved_as_code():
    line = keras.saving.register_keras_serializable(package="function_tests")(lambda step: 1.0)
    with pytest.raises(ValueError, match="must be registered to be saved"):
        schedules.serialize(line)


def test_weights_are_saved_whatever_the_schedule(tmp_path):
    model, file = model_with(halving), tmp_path / "model.weights.h5"
    model.save_weights(file)
    model.load_weights(file)


def test_a_registered_function_comes_back():
    for schedule in (registered, schedules.Product([Constant(0.5), registered])):
        config = json.loads(json.dumps(schedules.serialize(schedule), allow_nan=False))
        assert schedules.deserialize(config) == schedule
    l2 = regularizers.ScheduledL2(0.5, registered)
    assert regularizers.ScheduledL2.from_config(l2.get_config()).schedule is registered


LOAD = """
    import keras, numpy, sys
    from keras import ops
    import keras_regplus

    @keras.saving.register_keras_serializable(package="function_tests")
    def registered(step):
        return ops.minimum(ops.cast(step, "float32") / 4, 1.0)

    x = numpy.ones((6, 2), "float32")
    for file in sys.argv[1:]:
        model = keras.saving.load_model(file, safe_mode=True)
        print("loss", model.evaluate(x, numpy.full((6, 1), 2.0, "float32"), verbose=0))
        print(model.get_layer("dense").kernel_regularizer.schedule is registered)
"""


def test_models_with_a_registered_function_load_in_a_new_process(tmp_path):
    model = model_with(registered)
    fit(model)
    files = [str(tmp_path / f"model.{ending}") for ending in ("keras", "h5")]
    for file in files:
        model.save(file)
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LOAD), *files], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    losses = re.findall(r"^loss (.+)\n(True)$", run.stdout, re.MULTILINE)
    assert [float(loss) for loss, _ in losses] == pytest.approx([0.75] * 2, rel=1e-6)


def test_a_config_cannot_name_any_function():
    config = {"module": "keras.ops", "class_name": "function", "config": "sqrt"}
    with pytest.raises((TypeError, ValueError)):
        schedules.deserialize({**config, "registered_name": "function"})
    with pytest.raises(ValueError, match="must be the config of a schedule, got one of sqrt"):
        schedules.deserialize(
            {**config, "registered_name": "sqrt"}, custom_objects={"sqrt": ops.sqrt}
        )


class Numpy(schedules.Schedule):
    def __call__(self, t):
        return np.sin(t)


class KerasLike(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 1.0 if step < 3 else 0.5

    def get_config(self):
        return {}


UNTRACEABLE = {
    "numpy": lambda t: np.minimum(t, 4),
    "if": lambda t: 1.0 if t < 3 else 0.5,
    "float": lambda t: 0.5 * float(t),
    "int": lambda t: int(t) / 4,
    "math": lambda t: math.sqrt(t),
    "min": lambda t: min(t / 10, 1.0),
    "index": lambda t: [0.0, 1.0, 2.0, 3.0][int(t)],
    "range": lambda t: sum(range(int(t))),
    "interp": lambda t: np.interp(t, [0, 4], [0, 1]),
    "to numpy": lambda t: ops.convert_to_numpy(t),
    "inside": schedules.Product([Constant(0.5), lambda t: float(t)]),
    "class": Numpy(),
    "class of Keras": KerasLike(),
}


@pytest.mark.skipif(not TRACES, reason="torch runs a schedule eagerly, where these work")
@pytest.mark.parametrize("name", UNTRACEABLE)
def test_what_cannot_be_traced_is_told_to_use_keras_ops(name):
    with pytest.raises(TypeError, match=USE_OPS):
        compiled(UNTRACEABLE[name])(ops.convert_to_tensor(2, dtype="int32"))


@pytest.mark.skipif(not TRACES, reason="torch runs a schedule eagerly, where this works")
def test_a_training_is_told_before_its_first_step():
    with pytest.raises(TypeError, match=USE_OPS):
        fit(model_with(UNTRACEABLE["if"]))


@pytest.mark.skipif(TRACES, reason="it cannot be traced")
@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
@pytest.mark.parametrize("name", UNTRACEABLE)
def test_what_cannot_be_traced_works_where_nothing_is(name):
    schedule = UNTRACEABLE[name]
    here = number(evaluate(schedule, ops.convert_to_tensor(2, dtype="int32")))
    assert here == pytest.approx(values_at(schedule, np.array([2]))[0])


@pytest.mark.skipif(not TRACES, reason="torch runs a schedule eagerly, where this works")
def test_the_error_of_the_backend_is_the_cause():
    caught = []

    def step(t):
        try:
            return evaluate(UNTRACEABLE["if"], t)
        except TypeError as error:
            caught.append(error)
            return ops.zeros(())

    compiled(step)(ops.convert_to_tensor(2, dtype="int32"))
    cause = type(caught[0].__cause__).__name__
    assert cause in ("TracerBoolConversionError", "OperatorNotAllowedInGraphError")
    assert f"got {cause}." in str(caught[0])


@pytest.mark.parametrize("error", [NameError, AttributeError, TypeError, RuntimeError, ValueError])
def test_other_errors_of_a_function_stay_what_they_are(error):
    def broken(step):
        raise error("mine")

    for step in (lambda t: evaluate(broken, t), compiled(broken)):
        with pytest.raises(error, match="mine"):
            step(ops.convert_to_tensor(2, dtype="int32"))


@pytest.mark.parametrize(
    "factor, error, got",
    [
        (lambda t: ops.ones((2,)), ValueError, r"shape \(2,\)"),
        (lambda t: ops.ones((1,)), ValueError, r"shape \(1,\)"),
        (lambda t: [0.5, 1.0], ValueError, r"shape \(2,\)"),
        (lambda t: None, TypeError, "None"),
    ],
    ids=["vector", "vector of one", "list", "nothing"],
)
def test_a_factor_is_one_number(factor, error, got):
    said = rf"<lambda>: the factor at a time must be one number, got {got}\. Return .+\."
    for step in (lambda t: evaluate(factor, t), compiled(factor)):
        with pytest.raises(error, match=said):
            step(ops.convert_to_tensor(2, dtype="int32"))
    with pytest.raises(error, match=said):
        values_at(factor, np.arange(3))


@pytest.mark.parametrize("value", [1, 0.5, True, np.float64(0.5), np.array(0.5)], ids=repr)
def test_any_number_is_a_factor(value):
    assert number(evaluate(lambda t: value, 3)) == float(value)


def test_values_that_depend_on_each_other_are_computed_one_by_one():
    # With times for `t`, both would give other factors than a step sees.
    staged = lambda t: ops.sum(ops.where(t >= ops.convert_to_tensor([2.0]), 0.5, 0.0))  # noqa: E731
    for schedule in (staged, schedules.Product([staged, Constant(1.0)])):
        assert values_at(schedule, np.arange(4)).tolist() == [0.0, 0.0, 0.5, 0.5]
