"""Checks that a part survives saving: as a config, as a copy, and inside a whole model."""

from __future__ import annotations

import copy
import inspect
import json
import os
import pickle
import tempfile
from collections.abc import Callable
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.regularizers import ScheduledL2
from keras_regplus.schedules import Schedule

Part: TypeAlias = Schedule | keras.regularizers.Regularizer | keras.layers.Layer
"""What a config describes and a saved model holds."""


# Keras's base layer adds these by itself.
_KEYS_OF_EVERY_LAYER = {"name", "trainable", "dtype", "activity_regularizer"}


def ensure(condition: bool | np.bool_, message: str) -> None:
    """An assertion that `python -O` keeps."""
    if not condition:
        raise AssertionError(message)


def constructor_arguments(cls: type) -> list[str]:
    """The names that the constructor takes, without `*args` and `**kwargs`."""
    open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    # For the class itself, Python 3.11.2 returns the signature of Keras's `__new__`.
    _, *parameters = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    return [parameter.name for parameter in parameters if parameter.kind not in open_ended]


def check_config(part: Part) -> None:
    """`get_config` is complete, plain JSON, and enough to build an equal part from."""
    name, config = type(part).__name__, part.get_config()
    _check_keys(name, part, config)
    text = _as_json(name, config)
    restored = type(part).from_config(config)
    ensure(_as_json(name, config) == text, f"{name}: `from_config` must not change its argument.")
    _check_same(part, restored, "from_config(get_config())")
    _check_same(part, _through_serialization(part), "Keras's serialize and deserialize")


def check_registered(part: Part) -> None:
    """Keras finds the class in a process that has only imported its package."""
    cls = type(part)
    ensure(
        ">" in keras.saving.get_registered_name(cls) or cls.__module__.startswith("keras."),
        f"{cls.__name__}: the class must be registered, or a saved model cannot be loaded in a new "
        "process. Decorate it with `@keras.saving.register_keras_serializable(package=...)`.",
    )


def check_copies(part: Part) -> None:
    """`copy.deepcopy` and `pickle` give an equal part and leave the original alone."""
    before = part.get_config()
    _check_same(part, copy.deepcopy(part), "copy.deepcopy")
    _check_same(part, pickle.loads(pickle.dumps(part)), "pickle")
    ensure(part.get_config() == before, f"{type(part).__name__}: copying must not change it.")


def check_saved_models(part: Part, input_shape: tuple[int, ...] = (6,)) -> None:
    """A trained model that holds `part` survives every way of saving and copying.

    The restored model must give the same output and the same penalty, and so be at the
    same step of its schedule.
    """
    model = model_with(type(part).from_config(part.get_config()), input_shape)
    train(model)
    expected = readings(model)
    with tempfile.TemporaryDirectory() as folder:
        for way, restore in _WAYS_TO_SAVE.items():
            restored = restore(model, os.path.join(folder, "model"))
            for what, value in readings(restored).items():
                ensure(
                    np.allclose(value, expected[what], rtol=1e-6, atol=1e-7),
                    f"{type(part).__name__}: the {what} of a model must survive {way}, "
                    f"got {value} in place of {expected[what]}.",
                )


def model_with(part: Part | None, input_shape: tuple[int, ...] = (6,)) -> keras.Model:
    """A compiled model that holds a schedule, a regularizer, or a layer."""
    if isinstance(part, Schedule):
        part = ScheduledL2(0.1, part)
    parts = [part, dense(None)] if isinstance(part, keras.layers.Layer) else [dense(part)]
    model = keras.Sequential([keras.Input(input_shape), *parts])
    model.compile(keras.optimizers.SGD(0.1), loss=keras.losses.MeanSquaredError())
    return model


def dense(
    regularizer: keras.regularizers.Regularizer | None,
    initializer: str | keras.initializers.Initializer | None = None,
) -> keras.layers.Layer:
    """A layer with the same weights at each call, whatever the global seed."""
    initializer = initializer or keras.initializers.GlorotUniform(seed=1)
    return keras.layers.Dense(3, kernel_initializer=initializer, kernel_regularizer=regularizer)


def train(model: keras.Model) -> None:
    """Two steps of `fit`, compiled as a user would have them."""
    x = batch(model)
    y = np.zeros(model.output_shape[1:], "float32")[None].repeat(len(x), axis=0)
    scheduler = RegularizationScheduler(log=False)
    model.fit(x, y, batch_size=len(x) // 2, shuffle=False, verbose=0, callbacks=[scheduler])


def readings(model: keras.Model) -> dict[str, Any]:
    """The output and the penalty of a model outside of training."""
    output = keras.ops.convert_to_numpy(model(batch(model), training=False))
    return {"output": output, "penalty": sum(float(loss) for loss in model.losses)}


def batch(model: keras.Model) -> np.ndarray:
    """Four inputs for a model, the same each time."""
    shape = (4, *model.input_shape[1:])
    return np.linspace(-1, 1, int(np.prod(shape)), dtype="float32").reshape(shape)


def _check_keys(name: str, part: Part, config: dict[str, Any]) -> None:
    arguments = set(constructor_arguments(type(part)))
    missing = sorted(arguments - set(config))
    ensure(
        not missing,
        f"{name}: `get_config` must hold every constructor argument, and lacks {missing}. "
        "A loaded model would have the default in its place.",
    )
    base = _KEYS_OF_EVERY_LAYER if isinstance(part, keras.layers.Layer) else set()
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


def _through_serialization(part: Part) -> Any:
    text = json.dumps(keras.saving.serialize_keras_object(part))
    return keras.saving.deserialize_keras_object(json.loads(text), safe_mode=True)


def _check_same(part: Part, restored: Any, way: str) -> None:
    name = type(part).__name__
    ensure(
        type(restored) is type(part),
        f"{name}: {way} must give a {name}, got a {type(restored).__name__}.",
    )
    expected, config = _as_json(name, part.get_config()), _as_json(name, restored.get_config())
    ensure(config == expected, f"{name}: {way} must keep the config, got {config} for {expected}.")
    compares_by_value = any("__eq__" in vars(cls) for cls in type(part).__mro__[:-1])
    if compares_by_value:
        ensure(restored == part, f"{name}: {way} must give an equal object.")


def _through_keras_file(model: keras.Model, path: str) -> keras.Model:
    model.save(f"{path}.keras")
    return keras.saving.load_model(f"{path}.keras", safe_mode=True)


def _through_h5_file(model: keras.Model, path: str) -> keras.Model:
    model.save(f"{path}.h5")
    # Keras itself cannot train a Sequential further that it loads compiled from an .h5.
    return keras.saving.load_model(f"{path}.h5", compile=False)


def _through_weights_file(model: keras.Model, path: str) -> keras.Model:
    model.save_weights(f"{path}.weights.h5")
    # The architecture holds the position in the schedule; the weights do not.
    restored = copy.deepcopy(model)
    restored.set_weights([np.zeros_like(weight) for weight in restored.get_weights()])
    restored.load_weights(f"{path}.weights.h5")
    return restored


def _with_weights(restored: keras.Model, model: keras.Model) -> keras.Model:
    restored.set_weights(model.get_weights())
    return restored


_WAYS_TO_SAVE: dict[str, Callable[..., keras.Model]] = {
    "`.keras`": _through_keras_file,
    "`.weights.h5`": _through_weights_file,
    "`to_json`": lambda model, path: _with_weights(
        keras.models.model_from_json(model.to_json()), model
    ),
    "`clone_model`": lambda model, path: _with_weights(keras.models.clone_model(model), model),
    "`copy.deepcopy`": lambda model, path: copy.deepcopy(model),
    "`pickle`": lambda model, path: pickle.loads(pickle.dumps(model)),
    # Last: Keras forgets the compile arguments of a model that it saves as .h5.
    "`.h5`": _through_h5_file,
}
