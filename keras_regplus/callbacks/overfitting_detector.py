"""Says while it trains whether a model overfits, and acts on it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import keras
import numpy as np

from keras_regplus._checks import boolean, complain, count, one_of
from keras_regplus._warnings import warn
from keras_regplus.callbacks._chief import is_chief
from keras_regplus.callbacks._monitoring import (
    as_float,
    direction_in,
    direction_of_name,
    fit_validates,
    is_no_number,
)
from keras_regplus.diagnosis import Diagnosis
from keras_regplus.diagnosis._criteria import checked_criterion, new_tracker
from keras_regplus.diagnosis._report import report

__all__ = ["OverfittingDetector"]

_OWNER = "OverfittingDetector"
_SCORE = "overfitting_score"
_EPOCHS = ("best_epoch", "onset_epoch")
_MODE_ADVICE = "Use 'min' for losses and 'max' for accuracies."


class OverfittingDetector(keras.callbacks.Callback):
    """Compares a training metric with its `val_` twin and says whether the model overfits.

    Use it wherever `EarlyStopping` would do: it looks at both curves and at their
    noise, so it takes neither a noisy epoch nor a plateau for overfitting. The
    criterion is that of `keras_regplus.diagnosis.TrendTracker`, whose docstring
    says what it does badly; it is a first one and will be sharpened.

    After each epoch `detector.diagnosis` holds a `Diagnosis`, and `logs` gets
    `overfitting_score`, from 0 to 1: half the rise of validation above its best
    over the rise that is called overfitting, so above 0.5 it overfits. Callbacks
    that come later in the list see the key, and so does the history that `fit`
    returns. Epochs count from 0, as `fit` hands them to callbacks. In epochs
    without validation (`validation_freq`) the last verdict stands.

    Args:
        monitor: Name of the training metric; a leading `val_` is dropped. None
            takes `data_loss`, the loss without penalties, where
            `RegularizationScheduler` provides it, and `loss` otherwise. Defaults
            to None.
        mode: `"min"`, `"max"` or `"auto"`: as the metric says where Keras knows
            it, else by its name. Defaults to `"auto"`.
        action: What to do about overfitting. `"warn"` says it. `"stop"` also ends
            the training, later than the first verdict, once `should_stop` is
            true. A callable `(detector, diagnosis)` is called each time that the
            verdict becomes `"overfitting"`; if it raises, a warning says so and
            training goes on. Defaults to `"warn"`.
        restore_best_weights: Whether the model gets the weights of its best epoch
            back when the training ends, stopped or not. Best is the best single
            validation value. They are kept in host memory. Defaults to False.
        start_from_epoch: Epochs before this one are ignored, for trainings that
            begin with a warm-up; at least 0. Defaults to 0.
        criterion: `"trend"`, one of the classic ones `"gl"`, `"pq"` and `"up"` (see
            `keras_regplus.diagnosis`), or an object with `update(train, val)`, called with
            two floats after each epoch (None for a value that is missing), that returns
            an object with the attributes of a `Diagnosis`, `verdict` at least. Each
            training uses a fresh copy of it. Defaults to None, `"trend"`.
        verbose: 0 is silent, 1 says when the model begins to overfit, when
            training is stopped and what is restored, 2 says each change of the
            verdict. Defaults to 1.

    Attributes:
        diagnosis: The last `Diagnosis`.
        history: What was seen: lists `"epoch"`, `"train"` and `"val"`.
        stopped_epoch: The epoch that was stopped after, or None.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is out of range, or, when training begins, if
            the direction of a compiled metric cannot be known and `mode` is `"auto"`.

    Example:
        >>> import keras, numpy as np
        >>> from keras_regplus.callbacks import OverfittingDetector
        >>> keras.utils.set_random_seed(0)
        >>> x, y = np.random.normal(size=(64, 20)), np.random.normal(size=(64, 1))
        >>> model = keras.Sequential([keras.layers.Dense(64, "relu"), keras.layers.Dense(1)])
        >>> model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse")
        >>> detector = OverfittingDetector(action="stop", restore_best_weights=True, verbose=0)
        >>> history = model.fit(x, y, validation_split=0.5, epochs=100, verbose=0,
        ...                     callbacks=[detector])
        >>> detector.diagnosis.verdict, len(history.epoch) < 100
        ('overfitting', True)
    """

    def __init__(
        self,
        monitor: str | None = None,
        mode: str = "auto",
        action: str | Callable[[OverfittingDetector, Diagnosis], Any] = "warn",
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
        *,
        criterion: Any = None,
        verbose: int = 1,
    ) -> None:
        super().__init__()
        self.monitor = _checked_monitor(monitor)
        self.mode = one_of(_OWNER, "mode", mode, ("auto", "min", "max"), advice=_MODE_ADVICE)
        self.action = _checked_action(action)
        self.restore_best_weights = boolean(
            _OWNER,
            "restore_best_weights",
            restore_best_weights,
            advice="Use True to restore them.",
        )
        self.start_from_epoch = count(
            _OWNER,
            "start_from_epoch",
            start_from_epoch,
            minimum=0,
            advice="Use 0 for no warm-up.",
        )
        self.criterion = checked_criterion(_OWNER, criterion)
        self.verbose = one_of(_OWNER, "verbose", verbose, (0, 1, 2), advice="Use 0 for silence.")
        self._warned: set[str] = set()
        self._begin(mode)

    def _begin(self, mode: str) -> None:
        """Forget everything about an earlier training."""
        self.diagnosis = Diagnosis("undecided", reason="Nothing seen yet.")
        self.history: dict[str, list[Any]] = {"epoch": [], "train": [], "val": []}
        self.stopped_epoch: int | None = None
        self._warned.clear()
        self._written: float | None = None
        self._idle = False
        self._mode = mode
        self._name: str | None = None
        self._tracker: Any = None
        self._first_epoch = 0
        self._best_value = math.inf
        self._best_epoch: int | None = None
        self._best_weights: list[np.ndarray] | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        mode = self.mode
        if mode == "auto":
            mode = "min" if self.monitor is None else direction_in(self.model, self.monitor)
        if mode == "unknown":
            rule = f"'min' or 'max' where the direction of the metric {self.monitor!r} is not known"
            raise ValueError(complain(_OWNER, "mode", rule, self.mode, _MODE_ADVICE))
        self._begin(mode)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._idle or not isinstance(logs, dict) or not logs:
            return
        name = self._name or self._choose_name(logs)
        if not (self._knows(name, logs) and self._has_validation(name, logs)):
            return
        if epoch >= self.start_from_epoch:
            self._watch(epoch, name, logs)
        self._write_score(logs)

    def on_train_end(self, logs: Any = None) -> None:
        if self._best_weights is not None:
            self.model.set_weights(self._best_weights)
            self._best_weights = None
            self._say(1, f"the weights of epoch {self._best_epoch} are restored.")

    def report(self) -> str:
        """The verdict, its reason, both curves in small, and what to try next, as text."""
        name = self._name or self.monitor or "loss"
        return report(name, self.diagnosis, self.history["train"], self.history["val"])

    def _choose_name(self, logs: dict[str, Any]) -> str:
        if self.monitor is not None:
            return self.monitor
        has_parts = "data_loss" in logs and ("val_data_loss" in logs or not _validated(logs))
        return "data_loss" if has_parts else "loss"

    def _knows(self, name: str, logs: dict[str, Any]) -> bool:
        """Whether the metric is there and can be compared; idles with a warning if not."""
        if self._name is not None:
            return True
        if name not in logs and f"val_{name}" not in logs:
            known = ", ".join(repr(key) for key in logs if not str(key).startswith("val_"))
            rule = f"one of the metrics of this training ({known})"
            return self._idles("monitor", rule, name, "Name one of these.")
        if any(is_no_number(logs.get(key)) for key in (name, f"val_{name}")):
            rule = "a metric with one number for each epoch"
            return self._idles("monitor", rule, name, "Name another metric.")
        self._mode = self._mode if self._mode != "auto" else direction_of_name(name)
        if self._mode == "unknown":
            rule = f"'min' or 'max' where the direction of the metric {name!r} is not known"
            return self._idles("mode", rule, self.mode, _MODE_ADVICE)
        return True

    def _has_validation(self, name: str, logs: dict[str, Any]) -> bool:
        """Whether the metric has a twin, now or in epochs to come; says once what is missing."""
        if self._name is not None or f"val_{name}" in logs:
            return True
        if _validated(logs):
            rule = "a metric that is measured in validation, too"
            return self._idles("monitor", rule, name, "Name one that has a `val_` twin.")
        if fit_validates():
            return True
        self._warn_once(
            "validation",
            f"{_OWNER}: no validation values have come, so it cannot tell whether the model "
            "overfits. Pass `validation_data` or `validation_split` to `fit`.",
        )
        return False

    def _idles(self, *error: Any) -> bool:
        self._idle = True
        warn(f"{complain(_OWNER, *error)} It does nothing in this training.")
        return False

    def _warn_once(self, cause: str, message: str) -> None:
        if cause not in self._warned:
            self._warned.add(cause)
            warn(message)

    def _watch(self, epoch: int, name: str, logs: dict[str, Any]) -> None:
        train, val = as_float(logs.get(name)), as_float(logs.get(f"val_{name}"))
        before = self.diagnosis.verdict
        if not self._judge(epoch, train, val):
            return
        for key, value in (("epoch", epoch), ("train", train), ("val", val)):
            self.history[key].append(value)
        if val is not None:
            self._name = name
            self._keep_best(epoch, val)
        self._act(epoch, before)

    def _judge(self, epoch: int, train: float | None, val: float | None) -> bool:
        """Ask the criterion. One that fails is a reason to idle, never to end a training."""
        try:
            if self._tracker is None:
                self._first_epoch = epoch
                self._tracker = self._new_tracker()
            self.diagnosis = _shifted(self._tracker.update(train, val), self._first_epoch)
        except Exception as error:
            self._idle = True
            warn(
                f"{_OWNER}: `criterion` failed with {error!r}. Its `update` must return the "
                "attributes of a Diagnosis. The detector does nothing in this training."
            )
            return False
        return True

    def _new_tracker(self) -> Any:
        return new_tracker(self.criterion, self._mode)

    def _keep_best(self, epoch: int, val: float) -> None:
        value = -val if self._mode == "max" else val
        if not (math.isfinite(value) and value < self._best_value):
            return
        self._best_epoch, self._best_value = epoch, value
        if self.restore_best_weights:
            # The old copy goes first, so that two are never held.
            self._best_weights = None
            self._best_weights = self.model.get_weights()

    def _act(self, epoch: int, before: str) -> None:
        verdict = self.diagnosis.verdict
        entered = verdict == "overfitting" != before
        if verdict != before:
            said = f"after epoch {epoch}: {verdict}. {self.diagnosis.reason}"
            self._say(1 if entered else 2, said)
        if entered and callable(self.action):
            self._call_action()
        if self.action == "stop" and self.diagnosis.should_stop:
            self.model.stop_training = True
            self.stopped_epoch = epoch
            self._say(1, f"training is stopped after epoch {epoch}. {self.diagnosis.reason}")

    def _call_action(self) -> None:
        try:
            self.action(self, self.diagnosis)
        except Exception as error:
            self._warn_once(
                "action",
                f"{_OWNER}: `action` must not raise, got {error!r}. Training goes on without it.",
            )

    def _write_score(self, logs: dict[str, Any]) -> None:
        # Our own value may be there still where somebody hands over one dict again and again.
        if logs.get(_SCORE, self._written) is self._written:
            self._written = logs[_SCORE] = self.diagnosis.score
            return
        self._warn_once(
            "score",
            f"{_OWNER}: `logs` holds {_SCORE!r} already, and that value is kept. "
            "Rename the metric of that name, or use one detector for each training.",
        )

    def _say(self, level: int, text: str) -> None:
        if self.verbose >= level and is_chief(self.model):
            # The newline comes first: a progress bar or a row of dots may be open.
            with contextlib.suppress(OSError, ValueError):
                print(f"\n{_OWNER}: {text}", flush=True)


def _checked_monitor(monitor: Any) -> str | None:
    rule, advice = (
        "the name of a metric or None",
        "Use a name such as 'loss' or 'accuracy'.",
    )
    if monitor is not None and not isinstance(monitor, str):
        raise TypeError(complain(_OWNER, "monitor", rule, monitor, advice))
    name = None if monitor is None else monitor.removeprefix("val_")
    if name == "":
        raise ValueError(complain(_OWNER, "monitor", rule, monitor, advice))
    return name


def _checked_action(action: Any) -> Any:
    if callable(action):
        return action
    if isinstance(action, str) and action in ("warn", "stop"):
        return action
    rule = "'warn', 'stop' or a callable (detector, diagnosis)"
    error = ValueError if isinstance(action, str) else TypeError
    raise error(complain(_OWNER, "action", rule, action, "Use 'stop' to end the training."))


def _validated(logs: dict[str, Any]) -> bool:
    return any(str(key).startswith("val_") for key in logs)


def _shifted(result: Any, first_epoch: int) -> Diagnosis:
    """What a criterion returned, with epochs as Keras numbers them."""
    known: dict[str, Any] = {}
    for field in fields(Diagnosis):
        value = getattr(result, field.name, None)
        if value is not None:
            known[field.name] = value + first_epoch if field.name in _EPOCHS else value
    known.setdefault("score", float(known["verdict"] == "overfitting"))
    diagnosis = Diagnosis(**known)
    if diagnosis.verdict not in Diagnosis.DOTS:
        raise ValueError(f"unknown verdict {diagnosis.verdict!r}")
    return diagnosis
