"""One metric beside its validation twin: which they are, what was seen, what it means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, Literal

from keras_regplus._checks import MODE_ADVICE, error_text
from keras_regplus._hints import did_you_mean
from keras_regplus._warnings import OneTimeWarnings, warn
from keras_regplus.callbacks._log_values import as_float, is_no_number
from keras_regplus.callbacks.overfitting_detector._direction import direction_in, fit_validates
from keras_regplus.callbacks.overfitting_detector._fallback import (
    measured_name,
    start_anew_text,
)
from keras_regplus.diagnosis import VERDICTS, Diagnosis
from keras_regplus.diagnosis.criteria import Criterion, CriterionName, new_tracker
from keras_regplus.diagnosis.report import report
from keras_regplus.histories.metric_choice import preferred_loss
from keras_regplus.histories.metric_names import Direction, direction_of_name

__all__ = ["MetricWatch", "combined"]

_OWNER = "OverfittingDetector"
_EPOCHS = ("best_epoch", "onset_epoch")
_NOT_VALIDATED = (
    "No validation values have come, so nothing could be judged. "
    "Pass `validation_data` or `validation_split` to `fit`."
)
# A loop of one's own may validate only now and then.
_EPOCHS_TO_WAIT = 10


class MetricWatch:
    """Reads one metric from the logs of a training, and asks a criterion about it."""

    def __init__(
        self,
        monitor: str | None,
        mode: Literal["auto", "min", "max"],
        criterion: CriterionName | Criterion | None,
    ) -> None:
        self.monitor, self.mode, self.criterion = monitor, mode, criterion
        self.direction: Direction | Literal["auto"] = mode
        """`"auto"` until something tells it."""
        self.name: str | None = None
        """Known from the first validated epoch on."""
        self.is_idle = False
        self._warnings = OneTimeWarnings(_OWNER)
        self._judged_name: str | None = None
        self._forget_values()

    def _forget_values(self) -> None:
        self.diagnosis = Diagnosis("undecided", reason="Nothing seen yet.")
        self.history: dict[str, list[Any]] = {"epoch": [], "train": [], "val": []}
        self._tracker: Any = None
        self._first_epoch = 0

    @property
    def label(self) -> str:
        """The metric's name for people, also before it is known."""
        return self.name or self.monitor or "loss"

    def begin(self, model: Any) -> None:
        """Ask a compiled metric for its direction; raise if only the user can know it."""
        if self.mode == "auto":
            self.direction = "min" if self.monitor is None else direction_in(model, self.monitor)
        if self.direction == "unknown":
            raise ValueError(_unknown_direction(self.monitor))

    def prepare(self, logs: dict[str, Any]) -> bool:
        """Settle how the metric is read; False if these logs cannot be judged.

        A metric that can never be compared makes the watch idle, with a warning.
        """
        if self.is_idle or self.name is not None:
            return not self.is_idle
        name = self._name_in(logs)
        if self.direction == "auto":
            self.direction = direction_of_name(name)
        problem = _problem_of(name, self.direction, logs)
        if problem is not None:
            self._idle_because(problem)
            return False
        return self._may_be_validated(name, logs)

    def observe(self, epoch: int, logs: dict[str, Any]) -> bool:
        """Judge the values that an epoch has logged; False if the criterion failed."""
        name = self._name_in(logs)
        self._begin_anew_if_changed(name, epoch, logs)
        train, val = as_float(logs.get(name)), as_float(logs.get(f"val_{name}"))
        if not self._judge(epoch, train, val):
            return False
        if val is not None:
            self.name = name
        return True

    def state(self) -> dict[str, Any]:
        """All that `replay` needs."""
        return {"name": self.name, "history": self.history}

    def replay(self, state: dict[str, Any], epoch: int) -> None:
        """Judge again what an earlier training had seen before `epoch`."""
        columns = (state["history"][key] for key in ("epoch", "train", "val"))
        for at, *values in zip(*columns, strict=True):
            if at < epoch:
                self._judge(at, *(None if value is None else float(value) for value in values))
        self.name = self._judged_name = state["name"]

    def cost(self, smooth: bool) -> float:
        """The last validation value, or the level of the last tenth, of which less is better."""
        values = [value for value in self.history["val"] if value is not None]
        if not values or self.history["val"][-1] is None:
            return math.inf
        recent = values[-max(math.ceil(len(values) / 10), 3) :] if smooth else values[-1:]
        value = sum(recent) / len(recent)
        return -value if self.direction == "max" else value

    def report(self, steps: int | None) -> str:
        """The verdict and both curves as text; `steps` are those of an epoch."""
        train, val = self.history["train"], self.history["val"]
        if not self.history["epoch"]:
            return f"{self.label}: {self.diagnosis.verdict}\n{self.diagnosis.reason}"
        return report(self.label, self.diagnosis, train, val, steps, self.history["epoch"])

    def plot(self, stopped_epoch: int | None, ax: Any) -> Any:
        """Draw both curves on `ax`, and return it."""
        # matplotlib is loaded only by those who draw.
        from keras_regplus.plots import plot_diagnosis

        return plot_diagnosis(
            self.history["train"],
            self.history["val"],
            self.diagnosis,
            epochs=self.history["epoch"],
            stopped_epoch=stopped_epoch,
            metric=self.label,
            ax=ax,
        )

    def _may_be_validated(self, name: str, logs: dict[str, Any]) -> bool:
        validates = f"val_{name}" in logs or fit_validates()
        # In a loop of one's own, nothing announces whether validation will come.
        waits = validates is None and len(self.history["epoch"]) < _EPOCHS_TO_WAIT
        if not validates and not waits:
            self._warnings.warn(
                "no validation values have come, so it cannot tell whether the model "
                "overfits. Pass `validation_data` or `validation_split` to `fit`."
            )
        if validates is False:
            self.diagnosis = Diagnosis("undecided", reason=_NOT_VALIDATED)
        return validates is not False

    def _name_in(self, logs: dict[str, Any]) -> str:
        return measured_name(self._wanted_in(logs), logs)

    def _wanted_in(self, logs: dict[str, Any]) -> str:
        return self.name or self.monitor or preferred_loss(logs)

    def _begin_anew_if_changed(self, name: str, epoch: int, logs: dict[str, Any]) -> None:
        """Values of two metrics cannot be compared, so nothing of the first one counts."""
        if name != self._wanted_in(logs):
            self._warnings.warn(start_anew_text(epoch), cause="data_loss")
            self.name = name
        if self._judged_name not in (None, name):
            self._forget_values()
        self._judged_name = name

    def _judge(self, epoch: int, train: float | None, val: float | None) -> bool:
        """Ask the criterion. One that fails is a reason to idle, never to end a training."""
        try:
            if self._tracker is None:
                self._first_epoch = epoch
                self._tracker = new_tracker(self.criterion, self.direction)
            self.diagnosis = _as_diagnosis(self._tracker.update(train, val), self._first_epoch)
        except Exception as error:
            self.is_idle = True
            warn(
                f"{_OWNER}: `criterion` failed with {error!r}. Its `update` must return an object "
                "with the attributes of a Diagnosis. In this training it is not asked again."
            )
            return False
        for key, value in (("epoch", epoch), ("train", train), ("val", val)):
            self.history[key].append(value)
        return True

    def _idle_because(self, problem: str) -> None:
        self.is_idle = True
        which = f"the metric {self.monitor!r}" if self.monitor else "the loss"
        self.diagnosis = Diagnosis("undecided", reason=problem)
        warn(f"{problem} The detector does nothing in this training about {which}.")


def combined(watches: Sequence[MetricWatch], combine: str) -> Diagnosis:
    """One diagnosis for several metrics: that of the worst by `"any"`, of the best by `"all"`."""
    known = [watch.diagnosis for watch in watches if watch.history["epoch"] and not watch.is_idle]
    if not known:
        return watches[0].diagnosis
    choose, decide = (max, any) if combine == "any" else (min, all)
    chosen = choose(
        known, key=lambda diagnosis: (diagnosis.verdict == "overfitting", diagnosis.score)
    )
    return replace(chosen, should_stop=decide(diagnosis.should_stop for diagnosis in known))


def _problem_of(name: str, direction: str, logs: dict[str, Any]) -> str | None:
    """Why a metric can never be compared with its twin, as the text of an error."""
    twin = f"val_{name}"
    if name not in logs and twin not in logs:
        known = [str(key) for key in logs if not _is_validated(key)]
        rule = f"one of the metrics of this training ({', '.join(map(repr, known))})"
        advice = did_you_mean([name], known) or "Name one of these."
        return error_text(_OWNER, "monitor", rule, name, advice)
    if any(is_no_number(logs.get(key)) for key in (name, twin)):
        rule = "a metric with one number for each epoch"
        return error_text(_OWNER, "monitor", rule, name, "Name another metric.")
    if direction == "unknown":
        return _unknown_direction(name)
    if twin not in logs and any(_is_validated(key) for key in logs):
        rule = "a metric that is measured in validation, too"
        return error_text(_OWNER, "monitor", rule, name, "Name one that has a `val_` twin.")
    return None


def _is_validated(key: Any) -> bool:
    return str(key).startswith("val_")


def _unknown_direction(name: str | None) -> str:
    rule = f"'min' or 'max' where the direction of the metric {name!r} is not known"
    return error_text(_OWNER, "mode", rule, "auto", MODE_ADVICE)


def _as_diagnosis(result: Any, first_epoch: int) -> Diagnosis:
    """What a criterion returned, with epochs as Keras numbers them."""
    known: dict[str, Any] = {}
    for field in fields(Diagnosis):
        value = getattr(result, field.name, None)
        if value is not None:
            known[field.name] = value + first_epoch if field.name in _EPOCHS else value
    known.setdefault("score", float(known["verdict"] == "overfitting"))
    diagnosis = Diagnosis(**known)
    if diagnosis.verdict not in VERDICTS:
        raise ValueError(f"unknown verdict {diagnosis.verdict!r}")
    return diagnosis
