"""Checks that schedules, regularizers, layers and callbacks keep the promises of this package."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_regplus import callbacks, regularizers, schedules
from keras_regplus._checks import error_text
from keras_regplus._warnings import RegPlusWarning
from keras_regplus.testing import _callbacks as callback_checks
from keras_regplus.testing import _roundtrips as roundtrips
from keras_regplus.testing._roundtrips import ensure
from keras_regplus.testing.frozen import frozen_fit

__all__ = ["check_callback", "check_layer", "check_regularizer", "check_schedule"]


def check_schedule(schedule: schedules.Schedule) -> None:
    """Check that a schedule keeps the promises of this package.

    Use it in the tests of a `Schedule` of your own. The schedule must

    - give a finite factor, the same for every kind of number and inside a compiled step;
    - be a value: equal to and hashed like its copies, with a `repr` that evaluates to it;
    - survive every way of saving.

    Args:
        schedule: The schedule to check.

    Raises:
        AssertionError: If `schedule` breaks a promise; the message says which.
        TypeError: If `schedule` is not a `keras_regplus.schedules.Schedule`.

    Example:
        >>> from keras_regplus import schedules, testing
        >>> testing.check_schedule(schedules.LinearWarmup(10))
    """
    _require("check_schedule", "schedule", schedule, schedules.Schedule)
    _check_saved(schedule)
    _check_is_value(schedule)
    _check_times(schedule)
    with _our_warnings_ignored():
        _check_compiled(schedule)
        roundtrips.check_saved_models(schedule)


def check_regularizer(regularizer: keras.regularizers.Regularizer) -> None:
    """Check that a regularizer keeps the promises of this package.

    Use it in the tests of a regularizer of your own. The penalty on a matrix must be a
    finite scalar of at least 0. The regularizer must add no weights to a model, and
    survive every way of saving.

    Args:
        regularizer: The regularizer to check.

    Raises:
        AssertionError: If `regularizer` breaks a promise; the message says which.
        TypeError: If `regularizer` is not a `keras.regularizers.Regularizer`.

    Example:
        >>> from keras_regplus import regularizers, testing
        >>> testing.check_regularizer(regularizers.ScheduledL2(0.1))
    """
    _require("check_regularizer", "regularizer", regularizer, keras.regularizers.Regularizer)
    _check_saved(regularizer)
    with _our_warnings_ignored():
        _check_penalty(regularizer)
        ensure(
            len(roundtrips.model_with(_twin(regularizer)).weights) == 2,
            f"{_name(regularizer)}: a regularizer must add no weights to a model.",
        )
        roundtrips.check_saved_models(regularizer)


def check_layer(layer: keras.layers.Layer, input_shape: tuple[int, ...] = (6,)) -> None:
    """Check that a layer keeps the promises of this package.

    Use it in the tests of a layer of your own. The output must have the shape that the
    layer announces and the dtype of the input, and be the same at every call outside of
    training. The layer must survive every way of saving.

    Args:
        layer: The layer to check. The check builds and calls copies, never `layer` itself.
        input_shape: Shape of one input, without the batch. Defaults to `(6,)`.

    Raises:
        AssertionError: If `layer` breaks a promise; the message says which.
        TypeError: If `layer` is not a `keras.layers.Layer`.

    Example:
        >>> from keras_regplus import layers, testing
        >>> testing.check_layer(layers.ScheduledDropout(0.5))
    """
    _require("check_layer", "layer", layer, keras.layers.Layer)
    _check_saved(layer)
    with _our_warnings_ignored():
        _check_output(layer, input_shape)
        roundtrips.check_saved_models(layer, input_shape)


def check_callback(make: Callable[[], keras.callbacks.Callback]) -> None:
    """Check that a callback which only watches keeps the promises of this package.

    Use it in the tests of a callback of your own. The callback must accept whatever logs
    a training may have, leave the weights as they would be without it, to the bit, in a
    first and in a second `fit`, and allow copying and pickling before and after.

    Args:
        make: A function without arguments that returns a new callback at each call.

    Raises:
        AssertionError: If a callback breaks a promise; the message says which.
        TypeError: If `make` does not return a `keras.callbacks.Callback`.

    Example:
        >>> from keras_regplus import callbacks, testing
        >>> testing.check_callback(callbacks.RegularizationScheduler)
    """
    callback = make() if callable(make) else None
    _require("check_callback", "make()", callback, keras.callbacks.Callback)
    with _our_warnings_ignored():
        callback_checks.check_copied(callback)
        callback_checks.check_hooks(make)
        callback_checks.check_invisible(callback)
        callback_checks.check_copied(callback)


def _check_saved(part: roundtrips.Part) -> None:
    roundtrips.check_registered(part)
    roundtrips.check_config(part)
    roundtrips.check_copies(part)


def _check_is_value(schedule: schedules.Schedule) -> None:
    twin = _twin(schedule)
    ensure(hash(twin) == hash(schedule), f"{_name(schedule)}: equal schedules must hash alike.")
    home = vars(sys.modules[type(schedule).__module__])
    again = eval(repr(schedule), {**vars(schedules), **home, _name(schedule): type(schedule)})
    ensure(again == schedule, f"{_name(schedule)}: its repr must evaluate back, got {schedule!r}.")


def _check_times(schedule: schedules.Schedule) -> None:
    for t in (0, 1, 2, 1000, 10**9):
        value = _number(schedule(t))
        ensure(np.isfinite(value), f"{_name(schedule)}: must be finite, got {value} at t = {t}.")
        for kind in (float(t), np.int64(t), ops.convert_to_tensor(t, "int32")):
            other = _number(schedule(kind))
            ensure(
                np.isclose(other, value, rtol=1e-6),
                f"{_name(schedule)}: must not depend on the type of t, got {other} for "
                f"{type(kind).__name__} and {value} for int at t = {t}.",
            )


def _check_compiled(schedule: schedules.Schedule) -> None:
    """A frozen model whose only loss is the penalty shows the factor of each step."""
    scheduled = regularizers.ScheduledL2(1.0, schedule)
    model = keras.Sequential([keras.Input((4,)), roundtrips.dense(scheduled, "ones")])
    model.compile(keras.optimizers.SGD(0.0), loss=keras.losses.MeanSquaredError())
    scheduler = callbacks.RegularizationScheduler(log=False)
    x = np.zeros((4, 4), "float32")
    run = frozen_fit(model, x, batch_size=2, epochs=2, callbacks=[scheduler])
    for step, loss in enumerate(run.loss):
        factor = loss / 12
        expected = _number(schedule(step // 2 if schedule.unit == "epoch" else step))
        ensure(
            np.isclose(factor, expected, rtol=1e-5, atol=1e-7),
            f"{_name(schedule)}: a compiled step must see {expected} at step {step}, got {factor}. "
            "Compute with `keras.ops` alone: Python's `if` and `math` are frozen into the step.",
        )


def _check_penalty(regularizer: keras.regularizers.Regularizer) -> None:
    for x in (np.zeros((4, 3)), np.linspace(-2, 2, 12).reshape(4, 3)):
        penalty = regularizer(ops.convert_to_tensor(x, "float32"))
        ensure(
            tuple(ops.shape(penalty)) == (),
            f"{_name(regularizer)}: the penalty must be a scalar, got shape {ops.shape(penalty)}.",
        )
        ensure(
            np.isfinite(_number(penalty)) and _number(penalty) >= 0,
            f"{_name(regularizer)}: must be finite and at least 0, got {_number(penalty)}.",
        )


def _check_output(layer: keras.layers.Layer, input_shape: tuple[int, ...]) -> None:
    model = keras.Sequential([keras.Input(input_shape), _twin(layer)])
    x = roundtrips.batch(model)
    for training in (True, False):
        y = model(x, training=training)
        ensure(
            tuple(y.shape[1:]) == tuple(model.output_shape[1:]),
            f"{_name(layer)}: the output must have the announced shape {model.output_shape}, "
            f"got {tuple(y.shape)} with training={training}.",
        )
        ensure(
            keras.backend.standardize_dtype(y.dtype) == "float32",
            f"{_name(layer)}: float32 must stay float32, got {y.dtype}.",
        )
    again = ops.convert_to_numpy(model(x, training=False))
    ensure(
        np.array_equal(ops.convert_to_numpy(y), again),
        f"{_name(layer)}: outside of training every call must give the same.",
    )


def _twin(part: roundtrips.Part) -> Any:
    return type(part).from_config(part.get_config())


def _number(value: Any) -> float:
    return float(ops.convert_to_numpy(value))


def _name(part: Any) -> str:
    return type(part).__name__


def _require(owner: str, name: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        rule = f"a `{kind.__name__}`"
        raise TypeError(error_text(owner, name, rule, value, "Pass an object, not its class."))


@contextlib.contextmanager
def _our_warnings_ignored() -> Iterator[None]:
    """The checks run parts without a clock and with odd logs on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RegPlusWarning)
        yield
