"""What "scheduled" means, written once: base value x schedule(t) x gain, at the clock.

Regularizers and layers inherit from `ScheduledMixin` and use `self._now(base)` for their
base value.
"""

from __future__ import annotations

import weakref
from typing import Any

from keras_regplus._hints import TF_KERAS
from keras_regplus._warnings import is_called_from, warn
from keras_regplus.clock import step_context
from keras_regplus.clock.clock import Clock, Position
from keras_regplus.clock.step_context import StepContext
from keras_regplus.schedules import serialization
from keras_regplus.schedules.evaluation import evaluate
from keras_regplus.schedules.units import unit_of

__all__ = ["ScheduledMixin", "factor_in", "note_use", "schedule_in", "warn_no_clock"]


class ScheduledMixin:
    """A part of a model whose strength or rate follows a schedule.

    It remembers the clock that it last ran under, weakly, so that a read outside
    any step (`model.losses`) and a save know where the training is.
    """

    # Class attributes, because Keras builds layers in ways that skip `__init__`.
    _clock_ref: weakref.ref[Clock] | None = None
    _position: Position | None = None

    _kind = "strength"
    """What its value is called in logs; the other word is `rate`."""

    schedule: Any = None

    def _now(self, base: float) -> Any:
        """`base * schedule(t) * gain` where the training is: a float or a float32 scalar.

        Computed once a step, however many weights ask for it.
        """
        context = step_context.current_context()
        if context is None:
            context = self._context_outside_steps()
        elif context.clock is not None:
            self._bind_clock(context.clock)
        if context is None:
            return base
        key = self.schedule, base
        value = context.cached(key, lambda: base * factor_in(context, self.schedule))
        note_use(context, self, base, key, value)
        return value

    def _rate_offset(self) -> Any:
        """What is added to a rate where the training is; 0 where no clock runs."""
        context = step_context.current_context()
        if context is not None:
            return context.value("rate_offset") if context.clock is not None else 0.0
        clock = self._live_clock()
        return 0.0 if clock is None or step_context.is_tracing() else clock.rate_offset

    def _strengths(self) -> dict[str, float]:
        """Base values by the suffix that a log gives them; each class that inherits defines it."""
        raise NotImplementedError

    def _context_outside_steps(self) -> StepContext | None:
        """What to go by where no step under a clock runs; None means full strength."""
        if step_context.in_symbolic_scope():
            return None
        model, step = step_context.running_step()
        clock = self._live_clock()
        if model is None and clock is not None and not step_context.is_tracing():
            return clock.eager_context()
        # A prediction has no use for penalties, though activities are asked for theirs.
        warns = step == "train_step" or (step != "predict_step" and self._position is None)
        if warns and self.schedule is not None:
            cause, where = self, f"a {type(self).__name__}"
            if model is not None:
                cause, where = model, f"the model {model.name!r}"
            saved = self._position is not None
            strength = "the strength it was saved at" if saved else "full strength"
            warn_no_clock(cause, where, strength)
        if self._position is None:
            return None
        return StepContext(self._position._asdict().__getitem__)

    def _bind_clock(self, clock: Clock) -> None:
        if self._clock_ref is None or self._clock_ref() is not clock:
            object.__setattr__(self, "_clock_ref", weakref.ref(clock))

    def _live_clock(self) -> Clock | None:
        clock = self._clock_ref() if self._clock_ref is not None else None
        return clock if clock is not None and clock.model is not None else None

    def _position_config(self) -> dict[str, Any]:
        """The `position` entry of `get_config`, empty before any training."""
        clock = self._live_clock()
        position = self._position if clock is None else clock.position()
        return {} if position is None else {"position": position._asdict()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        config = dict(config)
        position = config.pop("position", None)
        if isinstance(config.get("schedule"), dict):
            config["schedule"] = serialization.deserialize(config["schedule"])
        part = super().from_config(config)  # type: ignore[misc]
        if position is not None:
            object.__setattr__(part, "_position", _checked_position(position))
        return part


def note_use(context: StepContext, part: Any, base: float, key: Any, value: Any) -> None:
    """Tell the training step in which `context` lies that `part` uses `value` for its `base`."""
    if context.note is not None:
        context.note(context, part, base, key, value)
    elif context.given is not None:
        outer = step_context.context_around(context)
        if outer is not None and outer.note is not None:
            outer.note(outer, part, base, ("at", key), value, by_at=True)


def factor_in(context: StepContext, schedule: Any) -> Any:
    """`schedule(t) * gain` in a context."""
    gain = context.value("gain")
    if schedule is None:
        return gain
    factor = schedule_in(context, schedule)
    return factor if isinstance(gain, float) and gain == 1.0 else factor * gain


def schedule_in(context: StepContext, schedule: Any) -> Any:
    """`schedule(t)` in a context."""
    unit = unit_of(schedule)
    if unit == "epoch" and context.clock is not None:
        context.clock.epoch_was_asked = True
    return evaluate(schedule, context.value(unit) if unit is not None else 0)


_warned: weakref.WeakSet = weakref.WeakSet()


def warn_no_clock(cause: Any, where: str, strength: str) -> None:
    """Warn, once for a `cause`, that what is scheduled there does not move."""
    if cause in _warned:
        return
    if is_called_from("tf_keras"):
        raise TypeError(f"keras_regplus: {TF_KERAS}")
    _warned.add(cause)
    warn(
        f"Nothing tells {where} where the training is, so what is scheduled stays at {strength}. "
        "Schedules need `keras_regplus.callbacks.RegularizationScheduler()` in the callbacks of "
        "`fit`, or `keras_regplus.at(step=...)` in a training loop of your own."
    )


def _checked_position(position: Any) -> Position:
    try:
        step, epoch, gain = (position[name] for name in Position._fields)
        return Position(int(step), int(epoch), float(gain))
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            "from_config: `position` must be a dictionary with the numbers `step`, `epoch` and "
            f"`gain`, got {position!r}. Remove the entry to begin anew."
        ) from None
