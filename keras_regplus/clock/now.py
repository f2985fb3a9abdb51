"""The clock in a user's own maths."""

from __future__ import annotations

import weakref
from typing import Any

import keras
from keras import ops

from keras_regplus.clock import step_context, traces
from keras_regplus.clock.clock import Clock
from keras_regplus.clock.observations import UsedByNow
from keras_regplus.clock.scheduled import note_use, schedule_in, warn_no_clock
from keras_regplus.clock.step_context import StepContext
from keras_regplus.schedules import ScheduleLike
from keras_regplus.schedules.serialization import checked_schedule

__all__ = ["now", "still_kept"]


def now(schedule: ScheduleLike) -> Any:
    """The value of a schedule at the step that is running, for maths of your own.

    Use it in a model's `call`, in losses, in `compute_loss` or in an activity penalty, for
    what should follow the training beside penalties and rates: the weight of a KL term, of
    one of several losses, label smoothing, a temperature. It is live in a compiled step.

    The model needs the callback `RegularizationScheduler`, as for everything scheduled; in a
    training loop of your own it needs `keras_regplus.at`. `evaluate` and `predict` see what
    the next training step would see. Outside of any step, and without the callback, the
    value is 1, as scheduled parts are at full strength.

    Args:
        schedule: A schedule of `keras_regplus.schedules`, a Keras `LearningRateSchedule`
            used as a factor, a function, a config, or None for the constant 1. Make it once,
            outside of the function that calls `now`.

    Returns:
        The factor, as a float or as a scalar tensor of type `keras.config.floatx()`. The
        gain that an action of the detector may set is not in it.

    Raises:
        TypeError: If `schedule` is not a schedule.
        ValueError: If `schedule` is a name or a config that is unknown.

    Example:
        >>> import keras
        >>> import keras_regplus as kr
        >>> beta = kr.schedules.LinearWarmup(10)
        >>> with kr.at(step=4):
        ...     weight = kr.now(beta)
        >>> round(float(weight), 6)
        0.4

    References:
        - [Bowman et al., "Generating Sentences from a Continuous Space"
          (2016)](https://arxiv.org/abs/1511.06349), for a KL term that is warmed up
    """
    schedule = checked_schedule("now", schedule)
    context = step_context.current_context()
    if context is None:
        model, step = step_context.running_step()
        if model is not None and step == "train_step" and not step_context.in_symbolic_scope():
            warn_no_clock(model, f"the model {model.name!r}", "a factor of 1")
            if traces.trace_of(None) is not None:
                _kept.setdefault(model, set()).add(schedule)
        return 1.0
    part = _as_part(context, schedule)
    if schedule is None:
        return 1.0
    factor = context.cached(schedule, lambda: schedule_in(context, schedule))
    if part is not None:
        note_use(context, part, 1.0, ("now", schedule), factor)
    return factor if isinstance(factor, float) else ops.cast(factor, keras.config.floatx())


def _as_part(context: StepContext, schedule: Any) -> UsedByNow | None:
    outer = context if context.clock is not None else step_context.context_around(context)
    return None if outer is None or outer.clock is None else outer.clock.used_by_now(schedule)


# What a TensorFlow function took for 1 while it was compiled for a step, by model. JAX and
# torch compile it anew.
_kept: weakref.WeakKeyDictionary[keras.Model, set[Any]] = weakref.WeakKeyDictionary()


def still_kept(model: keras.Model, clock: Clock) -> list[Any]:
    """The schedules that were last asked for before the clock came, each told once."""
    kept = _kept.pop(model, set())
    return [schedule for schedule in kept if schedule not in clock.asked_by_now]
