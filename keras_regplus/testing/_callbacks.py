"""Checks that a callback which only watches does not fail or meddle, and can be copied."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_regplus.testing import _roundtrips as roundtrips
from keras_regplus.testing._roundtrips import ensure

_HOOKS = (
    "train_begin",
    "epoch_begin",
    "train_batch_begin",
    "train_batch_end",
    "test_begin",
    "test_batch_begin",
    "test_batch_end",
    "test_end",
    "epoch_end",
    "train_end",
    "predict_begin",
    "predict_batch_begin",
    "predict_batch_end",
    "predict_end",
)

Logs: TypeAlias = dict[str, Any] | None

_ODD_LOGS: tuple[Logs, ...] = (
    None,
    {},
    {"loss": float("nan"), "val_loss": float("inf")},
    {"loss": np.ones(3), "val_loss": np.float32(1.0)},
    {"loss": "a word", "val_loss": None},
)


def check_hooks(make: Callable[[], keras.callbacks.Callback]) -> None:
    """Every hook takes any logs, even odd ones."""
    for logs in _ODD_LOGS:
        callback = make()
        callback.set_params({"epochs": 1, "steps": 1, "verbose": 0})
        callback.set_model(roundtrips.model_with(None))
        for hook in _HOOKS:
            _call(callback, hook, logs)


def check_invisible(callback: keras.callbacks.Callback) -> None:
    """After each of two trainings the weights are those of trainings without the callback."""
    plain, watched = roundtrips.model_with(None), roundtrips.model_with(None)
    for attempt in ("first", "second"):
        _fit(plain, [])
        _fit(watched, [callback])
        name = type(callback).__name__
        ensure(
            all(map(np.array_equal, plain.get_weights(), watched.get_weights())),
            f"{name}: the weights must be those of a training without it, to the bit, "
            f"and are not after the {attempt} fit.",
        )


def check_copied(callback: keras.callbacks.Callback) -> None:
    """`copy.deepcopy` and `pickle` give a callback of the same class."""
    name = type(callback).__name__
    for way, copied in (
        ("copy.deepcopy", copy.deepcopy(callback)),
        ("pickle", pickle.loads(pickle.dumps(callback))),
    ):
        ensure(type(copied) is type(callback), f"{name}: {way} must give a {name}, got {copied!r}.")


def _call(callback: keras.callbacks.Callback, hook: str, logs: Logs) -> None:
    number = (0,) if "epoch" in hook or "batch" in hook else ()
    try:
        getattr(callback, f"on_{hook}")(*number, None if logs is None else dict(logs))
    except Exception as error:
        raise AssertionError(
            f"{type(callback).__name__}: `on_{hook}` must take the logs {logs!r}, and raised "
            f"{error!r}. A callback must not end a training because of odd logs."
        ) from error


def _fit(model: keras.Model, callbacks: list[keras.callbacks.Callback]) -> None:
    x = roundtrips.batch(model)
    y = np.ones((4, 3), "float32")
    model.fit(
        x,
        y,
        batch_size=2,
        epochs=2,
        shuffle=False,
        verbose=0,
        validation_data=(x, y),
        callbacks=callbacks,
    )
