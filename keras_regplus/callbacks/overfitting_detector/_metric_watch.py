"""One metric beside its validation twin: which they are, what was seen, what it means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from keras_regplus._checks import error_text
from keras_regplus._warnings import warn
from keras_regplus.callbacks._log_values import as_float, is_no_number
from keras_regplus.callbacks.overfitting_detector._direction import direction_in, fit_validates
from keras_regplus.diagnosis import Diagnosis
from keras_regplus.diagnosis.criteria import new_tracker
from keras_regplus.histories.metric_names import direction_of_name

__all__ = ["Watch", "combined", "has_validation"]

_OWNER = "OverfittingDetector"
_EPOCHS = ("best_epoch", "onset_epoch")
_MODE_ADVICE = "Use 'min' for losses and 'max' for accuracies."


class Watch:
    """Reads one metric from the logs of a training, and asks a criterion about it."""

    def __init__(self, monitor: str | None, mode: str, criterion: Any) -> None:
        self.monitor, self.mode, self.criterion = monitor, mode, criterion
        self.name: str | None = None
        """Known from the first validated epoch on."""
        self.idle = False
        self.diagnosis = Diagnosis("undecided", reason="Nothing seen yet.")
        self.history: dict[str, list[Any]] = {"epoch": [], "train": [], "val": []}
        self._tracker: Any = None
        self._first_epoch = 0
        self._has_warned = False

    def begin(self, model: Any) -> None:
        """Find out the direction where a compiled metric knows it; raise where it must be told."""
        if self.mode == "auto":
            self.mode = "min" if self.monitor is None else direction_in(model, self.monitor)
        if self.mode == "unknown":
            raise ValueError(error_text(_OWNER, *_unknown_direction(self.monitor, "auto")))

    def reads(self, logs: dict[str, Any]) -> bool:
        """Whether the logs can be compared; idles with a warning if they never can."""
        if self.idle:
            return False
        name = self.name or self._choose_name(logs)
        return self._knows(name, logs) and self._validates(name, logs)

    def take(self, epoch: int, logs: dict[str, Any]) -> bool:
        """Judge the values of an epoch; False where the criterion failed."""
        name = self.name or self._choose_name(logs)
        train, val = as_float(logs.get(name)), as_float(logs.get(f"val_{name}"))
        if not self.judge(epoch, train, val):
            return False
        if val is not None:
            self.name = name
        return True

    def judge(self, epoch: int, train: float | None, val: float | None) -> bool:
        """Ask the criterion. One that fails is a reason to idle, never to end a training."""
        try:
            if self._tracker is None:
                self._first_epoch = epoch
                self._tracker = new_tracker(self.criterion, self.mode)
            self.diagnosis = _shifted(self._tracker.update(train, val), self._first_epoch)
        except Exception as error:
            self.idle = True
            warn(
                f"{_OWNER}: `criterion` failed with {error!r}. Its `update` must return the "
                "attributes of a Diagnosis. It is not asked again in this training."
            )
            return False
        for key, value in (("epoch", epoch), ("train", train), ("val", val)):
            self.history[key].append(value)
        return True

    def state(self) -> dict[str, Any]:
        """All that `replay` needs."""
        return {"name": self.name, "history": self.history}

    def replay(self, state: dict[str, Any], epoch: int) -> None:
        """See again what was seen before an epoch."""
        columns = (state["history"][key] for key in ("epoch", "train", "val"))
        for at, *values in zip(*columns, strict=True):
            if at < epoch:
                self.judge(at, *(None if value is None else float(value) for value in values))
        self.name = state["name"]

    def cost(self, smooth: bool) -> float:
        """The last validation value, or the level of the last tenth, of which less is better."""
        values = [value for value in self.history["val"] if value is not None]
        if not values or self.history["val"][-1] is None:
            return math.inf
        recent = values[-max(math.ceil(len(values) / 10), 3) :] if smooth else values[-1:]
        value = sum(recent) / len(recent)
        return -value if self.mode == "max" else value

    def _choose_name(self, logs: dict[str, Any]) -> str:
        if self.monitor is not None:
            return self.monitor
        has_parts = "data_loss" in logs and ("val_data_loss" in logs or not has_validation(logs))
        return "data_loss" if has_parts else "loss"

    def _knows(self, name: str, logs: dict[str, Any]) -> bool:
        if self.name is not None:
            return True
        if name not in logs and f"val_{name}" not in logs:
            known = ", ".join(repr(key) for key in logs if not str(key).startswith("val_"))
            rule = f"one of the metrics of this training ({known})"
            return self._idles("monitor", rule, name, "Name one of these.")
        if any(is_no_number(logs.get(key)) for key in (name, f"val_{name}")):
            rule = "a metric with one number for each epoch"
            return self._idles("monitor", rule, name, "Name another metric.")
        if self.mode == "auto":
            self.mode = direction_of_name(name)
        if self.mode == "unknown":
            return self._idles(*_unknown_direction(name, "auto"))
        return True

    def _validates(self, name: str, logs: dict[str, Any]) -> bool:
        """Whether the metric has a twin, now or in epochs to come; says once what is missing."""
        if self.name is not None or f"val_{name}" in logs:
            return True
        if has_validation(logs):
            rule = "a metric that is measured in validation, too"
            return self._idles("monitor", rule, name, "Name one that has a `val_` twin.")
        if fit_validates():
            return True
        if not self._has_warned:
            self._has_warned = True
            warn(
                f"{_OWNER}: no validation values have come, so it cannot tell whether the model "
                "overfits. Pass `validation_data` or `validation_split` to `fit`."
            )
        return False

    def _idles(self, *error: Any) -> bool:
        self.idle = True
        which = f"the metric {self.monitor!r}" if self.monitor else "the loss"
        warn(f"{error_text(_OWNER, *error)} It does nothing in this training about {which}.")
        return False


def combined(watches: Sequence[Watch], combine: str) -> Diagnosis:
    """One diagnosis for several metrics: that of the worst by `"any"`, of the best by `"all"`."""
    known = [watch.diagnosis for watch in watches if watch.history["epoch"] and not watch.idle]
    if not known:
        return watches[0].diagnosis
    choose, decide = (max, any) if combine == "any" else (min, all)
    chosen = choose(known, key=lambda said: (said.verdict == "overfitting", said.score))
    return replace(chosen, should_stop=decide(said.should_stop for said in known))


def has_validation(logs: dict[str, Any]) -> bool:
    """Whether anything in the logs was measured in validation."""
    return any(str(key).startswith("val_") for key in logs)


def _unknown_direction(name: str | None, mode: str) -> tuple[str, str, str, str]:
    rule = f"'min' or 'max' where the direction of the metric {name!r} is not known"
    return "mode", rule, mode, _MODE_ADVICE


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
