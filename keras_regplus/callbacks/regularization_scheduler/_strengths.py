"""Strengths and rates for the logs, checked against what the steps of the epoch used."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_regplus.clock.clock import Clock
from keras_regplus.clock.model_parts import scheduled_sites
from keras_regplus.clock.now import still_kept
from keras_regplus.clock.observations import Use
from keras_regplus.clock.scheduled import ScheduledMixin, schedule_in
from keras_regplus.clock.variables import number_of
from keras_regplus.schedules.evaluation import values_at
from keras_regplus.schedules.serialization import describe, equality_key
from keras_regplus.schedules.units import unit_of

__all__ = ["StrengthCheck", "check_strengths"]

_NAMED_AT_MOST = 3  # of the parts in a warning


@dataclass
class StrengthCheck:
    """What an epoch's steps used, against what the schedules say.

    `keys` are for the logs; the other fields name parts of the model that went wrong.
    """

    keys: dict[str, float] = field(default_factory=dict)
    never_computed: list[str] = field(default_factory=list)
    not_in_loss: list[str] = field(default_factory=list)
    frozen: list[str] = field(default_factory=list)

    def warnings(self) -> Iterator[str]:
        """A message for each kind of fault that was found."""
        if self.never_computed:
            yield (
                f"{_listed(self.never_computed)} had no effect: never computed in a training step "
                "of this epoch. A `train_step` or `compute_loss` of your own must add "
                "`self.losses` to its loss, and a layer must be called with `training=True`. A "
                "function that was compiled before this callback saw the model may still use the "
                "full strength: `verify` tells."
            )
        if self.not_in_loss:
            yield (
                f"{_listed(self.not_in_loss)} had no effect: not in the loss, because the model's "
                "own `compute_loss` leaves `self.losses` out. Add `sum(self.losses)` in it, or "
                "call `super().compute_loss`."
            )
        if self.frozen:
            yield (
                f"{_listed(self.frozen)} did not follow its schedule. A function that was "
                "compiled inside the step, or a schedule that reads more than its argument, keeps "
                "what it saw first. Keras compiles a `train_step` by itself: take your own "
                "`tf.function` or `jax.jit` out. The logs show what the steps used."
            )


def check_strengths(
    model: keras.Model, clock: Clock, updates: int, penalties_are_unused: bool
) -> StrengthCheck:
    """Compare the steps of an epoch that made so many `updates` with the schedules."""
    check = StrengthCheck()
    logged: list[Any] = []
    uses = clock.observations.uses()
    steps = clock.observations.steps()
    factors = _Factors(clock, updates, steps)
    for path, part in _parts_in_training(model):
        for suffix, base in part._strengths().items():
            name = f"{part._kind}/{path}{suffix}"
            values = uses.get((id(part), base, False))
            told = uses.get((id(part), base, True))
            if penalties_are_unused and isinstance(part, keras.regularizers.Regularizer):
                check.not_in_loss.append(name)
                continue
            if values is None and told is None and base and steps:
                if not clock.observations.may_have_computed(part):
                    check.never_computed.append(name)
                continue
            key = equality_key(part.schedule)
            scale = base * clock.gain
            now, due = (scale * factor for factor in factors.of(part.schedule, key))
            wrong = _wrong(values, due)
            if wrong:
                check.frozen.append(_told_wrong(name, wrong, due))
                now = wrong[0]
            elif told:  # by an `at` in the step, which knows better than the optimizer
                now = told[-1]
            if part._kind == "rate":
                now = min(now + clock.rate_offset, 1.0)
            identity = (type(part), suffix, base, key, tuple(wrong))
            if identity not in logged:
                logged.append(identity)
                check.keys[name] = now
    check.frozen += _frozen_in_own_maths(model, clock, uses, factors)
    return check


def _frozen_in_own_maths(
    model: keras.Model, clock: Clock, uses: dict[Use, list[float]], factors: _Factors
) -> Iterator[str]:
    """What `now` gave that did not follow its schedule."""
    for schedule, part in clock.asked_by_now.items():
        name = f"now({describe(schedule)})"
        use = id(part), 1.0, False
        _, due = factors.of(schedule, equality_key(schedule))
        wrong = _wrong(uses.get(use), due)
        if wrong:
            yield _told_wrong(name, wrong, due)
        elif clock.observations.is_kept(use):
            yield f"{name} (kept from an earlier step)"
    for schedule in still_kept(model, clock):
        yield f"now({describe(schedule)}) (1 from before this callback came, if it is used at all)"


def _wrong(values: list[float] | None, due: np.ndarray) -> list[float]:
    return [value for value in values or () if not _is_one_of(value, due)]


def _told_wrong(name: str, wrong: list[float], due: np.ndarray) -> str:
    return f"{name} ({wrong[0]:g} for {due[-1]:g})"


def _parts_in_training(model: keras.Model) -> Iterator[tuple[str, Any]]:
    """What is scheduled and takes part: Keras leaves the penalties of frozen weights out."""
    trainable = set(map(id, model.trainable_variables))
    for site in scheduled_sites(model):
        frozen = isinstance(site.owner, keras.Variable) and id(site.owner) not in trainable
        if isinstance(site.part, ScheduledMixin) and not frozen:
            yield site.path, site.part


class _Factors:
    """What a schedule says now, and may have said at the last step, asked once for all parts.

    The gain is not in it.
    """

    def __init__(self, clock: Clock, updates: int, steps: int):
        self._asked = clock, updates, steps
        self._known: dict[Hashable, tuple[float, np.ndarray]] = {}

    def of(self, schedule: Any, key: Hashable) -> tuple[float, np.ndarray]:
        if key not in self._known:
            context = self._asked[0].eager_context()
            now = 1.0 if schedule is None else number_of(schedule_in(context, schedule))
            self._known[key] = now, _due(schedule, *self._asked)
        return self._known[key]


def _due(schedule: Any, clock: Clock, updates: int, steps: int) -> np.ndarray:
    """The factors that the last training step may have used, the latest last."""
    position = clock.position()
    if schedule is None or unit_of(schedule) is None:
        times = np.zeros(1, "int64")
    else:
        last = getattr(position, str(unit_of(schedule)))
        # A step may make several updates, and compute a penalty before, between or after.
        back = 1 if unit_of(schedule) == "epoch" else 1 + -(-updates // max(steps, 1))
        times = np.arange(max(last - back, 0), last + 1)
    factors = np.ones(1) if schedule is None else values_at(schedule, times)
    return np.asarray(factors, "float64")


def _is_one_of(value: float, due: Collection[float]) -> bool:
    slack = 1e-4 * max(abs(float(each)) for each in due) + 1e-7
    return any(abs(value - float(each)) <= slack for each in due)


def _listed(names: list[str]) -> str:
    names = list(dict.fromkeys(names))
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
