"""What every saved part must survive: configs, copies, and whole models that hold it."""

from __future__ import annotations

import copy
import inspect
import json
import os
import pickle
import tempfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.regularizers import ScheduledL2
from keras_regplus.schedules import Schedule

# Keras's base layer adds these by itself.
_LAYER_KEYS = {"name", "trainable", "dtype", "activity_regularizer"}


def ensure(truth: Any, message: str) -> None:
    """An assertion that `python -O` keeps."""
    if not truth:
        raise AssertionError(message)


def arguments_of(cls: type) -> list[str]:
    """The constructor's arguments, `*args` and `**kwargs` left out."""
    open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    # Asked about the class, Python 3.11.2 tells the arguments of Keras's `__new__`.
    _, *parameters = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    return [parameter.name for parameter in parameters if parameter.kind not in open_ended]


def check_config(part: Any) -> None:
    """`get_config` is complete, plain JSON, and enough to build an equal part from."""
    name, config = type(part).__name__, part.get_config()
    _check_keys(name, part, config)
    text = _as_json(name, config)
    again = type(part).from_config(config)
    ensure(_as_json(name, config) == text, f"{name}: `from_config` must not change its argument.")
    _check_same(part, again, "from_config(get_config())")
    _check_same(part, _through_keras(part), "Keras's serialize and deserialize")


def check_registered(part: Any) -> None:
    """The class can be found by a process that has only imported its package."""
    cls = type(part)
    ensure(
        ">" in keras.saving.get_registered_name(cls) or cls.__module__.startswith("keras."),
        f"{cls.__name__}: the class must be registered, or a saved model cannot be loaded in a new "
        "process. Decorate it with `@keras.saving.register_keras_serializable(package=...)`.",
    )


def check_copies(part: Any) -> None:
    """`copy.deepcopy` and `pickle` give an equal part and leave the original alone."""
    before = part.get_config()
    _check_same(part, copy.deepcopy(part), "copy.deepcopy")
    _check_same(part, pickle.loads(pickle.dumps(part)), "pickle")
    ensure(part.get_config() == before, f"{type(part).__name__}: copying must not change it.")


def check_saved_models(part: Any, input_shape: tuple[int, ...] = (6,)) -> None:
    """A trained model that holds `part` survives every way of saving and copying.

    Output and penalty are compared, so a strength must be saved where its training stood.
    """
    model = model_with(type(part).from_config(part.get_config()), input_shape)
    train(model)
    expected = readings(model)
    with tempfile.TemporaryDirectory() as folder:
        for way, bring_back in _WAYS.items():
            twin = bring_back(model, os.path.join(folder, "model"))
            for what, value in readings(twin).items():
                ensure(
                    np.allclose(value, expected[what], rtol=1e-6, atol=1e-7),
                    f"{type(part).__name__}: the {what} of a model must survive {way}, "
                    f"got {value} in place of {expected[what]}.",
                )


def model_with(part: Any, input_shape: tuple[int, ...] = (6,)) -> keras.Model:
    """A compiled model that holds a schedule, a regularizer, or a layer."""
    if isinstance(part, Schedule):
        part = ScheduledL2(0.1, part)
    parts = [part, dense(None)] if isinstance(part, keras.layers.Layer) else [dense(part)]
    model = keras.Sequential([keras.Input(input_shape), *parts])
    model.compile(keras.optimizers.SGD(0.1), loss=keras.losses.MeanSquaredError())
    return model


def dense(regularizer: Any, initializer: Any = None) -> keras.layers.Layer:
    """A layer that is the same at each call, whatever the global seed."""
    initializer = initializer or keras.initializers.GlorotUniform(seed=1)
    return keras.layers.Dense(3, kernel_initializer=initializer, kernel_regularizer=regularizer)


def train(model: keras.Model) -> None:
    """Two steps of `fit`, compiled as a user would have them."""
    x = batch(model)
    y = np.zeros(model.output_shape[1:], "float32")[None].repeat(len(x), axis=0)
    scheduler = RegularizationScheduler(log=False)
    model.fit(x, y, batch_size=len(x) // 2, shuffle=False, verbose=0, callbacks=[scheduler])


def readings(model: keras.Model) -> dict[str, Any]:
    """What a model gives outside of training."""
    output = keras.ops.convert_to_numpy(model(batch(model), training=False))
    return {"output": output, "penalty": sum(float(loss) for loss in model.losses)}


def batch(model: keras.Model) -> np.ndarray:
    """Four inputs for a model, the same each time."""
    shape = (4, *model.input_shape[1:])
    return np.linspace(-1, 1, int(np.prod(shape)), dtype="float32").reshape(shape)


def _check_keys(name: str, part: Any, config: dict[str, Any]) -> None:
    arguments = set(arguments_of(type(part)))
    missing = sorted(arguments - set(config))
    ensure(
        not missing,
        f"{name}: `get_config` must hold every constructor argument, and lacks {missing}. "
        "A loaded model would have the default in its place.",
    )
    base = _LAYER_KEYS if isinstance(part, keras.layers.Layer) else set()
    extra = sorted(set(config) - arguments - base - {"position"})
    ensure(
        not extra,
        f"{name}: `get_config` must hold nothing but constructor arguments, and has {extra}. "
        "`from_config` could not take it.",
    )


def _as_json(name: str, config: dict[str, Any]) -> str:
    try:
        return json.dumps(config, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(
            f"{name}: `get_config` must hold plain JSON values ({error}). "
            "Serialize what is nested, and turn arrays and tensors into numbers."
        ) from error


def _through_keras(part: Any) -> Any:
    text = json.dumps(keras.saving.serialize_keras_object(part))
    return keras.saving.deserialize_keras_object(json.loads(text), safe_mode=True)


def _check_same(part: Any, again: Any, way: str) -> None:
    name = type(part).__name__
    ensure(
        type(again) is type(part),
        f"{name}: {way} must give a {name}, got a {type(again).__name__}.",
    )
    wanted, found = _as_json(name, part.get_config()), _as_json(name, again.get_config())
    ensure(found == wanted, f"{name}: {way} must keep the config, got {found} for {wanted}.")
    compares_by_value = any("__eq__" in vars(cls) for cls in type(part).__mro__[:-1])
    if compares_by_value:
        ensure(again == part, f"{name}: {way} must give an equal object.")


def _saved_keras(model: keras.Model, path: str) -> keras.Model:
    model.save(f"{path}.keras")
    return keras.saving.load_model(f"{path}.keras", safe_mode=True)


def _saved_h5(model: keras.Model, path: str) -> keras.Model:
    model.save(f"{path}.h5")
    # Keras itself cannot go on training a Sequential from a compiled .h5.
    return keras.saving.load_model(f"{path}.h5", compile=False)


def _saved_weights(model: keras.Model, path: str) -> keras.Model:
    model.save_weights(f"{path}.weights.h5")
    # The position travels with the architecture, not with the weights.
    twin = copy.deepcopy(model)
    twin.set_weights([np.zeros_like(weight) for weight in twin.get_weights()])
    twin.load_weights(f"{path}.weights.h5")
    return twin


def _with_weights(twin: keras.Model, model: keras.Model) -> keras.Model:
    twin.set_weights(model.get_weights())
    return twin


_WAYS: dict[str, Callable[..., keras.Model]] = {
    "`.keras`": _saved_keras,
    "`.weights.h5`": _saved_weights,
    "`to_json`": lambda model, path: _with_weights(
        keras.models.model_from_json(model.to_json()), model
    ),
    "`clone_model`": lambda model, path: _with_weights(keras.models.clone_model(model), model),
    "`copy.deepcopy`": lambda model, path: copy.deepcopy(model),
    "`pickle`": lambda model, path: pickle.loads(pickle.dumps(model)),
    # Last: Keras forgets the compile arguments of a model that it saves as .h5.
    "`.h5`": _saved_h5,
}
