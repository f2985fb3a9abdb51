"""Actions that change a number of the model's clock, which scheduled parts go by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from keras_regplus._checks import finite_number
from keras_regplus.callbacks.actions._action import Action
from keras_regplus.clock import wiring
from keras_regplus.clock.clock import Clock
from keras_regplus.clock.model_parts import scheduled_parts
from keras_regplus.clock.scheduled import ScheduledMixin
from keras_regplus.clock.updates import has_trained

__all__ = ["RaiseDropout", "RaiseRegularization"]

# A layer that drops everything ends all learning, so no action lifts a rate beyond this.
_HIGHEST_RATE = 0.9


class _ClockAction(Action):
    """Changes a number of the model's clock, which a compiled step reads anew each time.

    A subclass says where the number stands (`_read`, `_write`), what it is after so many
    steps (`_value`), and what a model needs for it (`_problem`).
    """

    def begin(self) -> None:
        super().begin()
        self._base: float | None = None
        self._reached: float | None = None

    def set_model(self, model: keras.Model) -> None:
        wiring.attach(model)

    def move(self, model: keras.Model, steps: int) -> str | None:
        clock = wiring.attach(model)
        problem = self._problem(model, clock)
        if problem is not None:
            self._warnings.warn(problem)
            return None
        before = self._read(clock)
        if self._base is None:
            self._base = before
        value = self._value(self._base, steps, clock, _highest_rate(model))
        if value == before:
            return None
        self._reached = value
        return self._write(clock, value)

    def state(self) -> dict[str, Any]:
        return {**super().state(), "base": self._base, "reached": self._reached}

    def restore(self, model: keras.Model, state: dict[str, Any]) -> None:
        super().restore(model, state)
        self._base, self._reached = state["base"], state["reached"]
        if self._reached is not None:
            self._write(wiring.attach(model), self._reached)

    def _problem(self, model: keras.Model, clock: Clock) -> str | None:
        """Why the number would change nothing, as the text of a warning; each subclass knows."""
        raise NotImplementedError

    def _read(self, clock: Clock) -> float:
        """The number that stands in the clock; a subclass says which."""
        raise NotImplementedError

    def _value(self, base: float, steps: int, clock: Clock, rate: float) -> float:
        """The number after so many steps; `rate` is the highest base value of a rate.

        A subclass knows how a step changes it.
        """
        raise NotImplementedError

    def _write(self, clock: Clock, value: float) -> str:
        """Set the number, and say so; a subclass says which."""
        raise NotImplementedError


class RaiseRegularization(_ClockAction):
    """Multiplies every scheduled strength and rate of the model while it trains.

    Use it as you would use `ReduceLROnPlateau`, but for regularization. It changes the
    gain, by which strengths of `keras_regplus.regularizers` and rates of
    `keras_regplus.layers` are multiplied besides their schedules. Keras's own penalties
    cannot be changed in a compiled step: for a model without anything scheduled you are
    warned and nothing is done.

    Args:
        factor: What the gain is multiplied by at each step, above 1. Defaults to 2.
        limit: The largest gain, at least 1. In a model with dropout the gain never lifts
            the highest rate above 0.9. Defaults to 16.
        cooldown: Epochs between two steps, at least 0. Defaults to 5.
        undo_when_healthy: Whether a step is undone when the verdict is `"healthy"` again.
            Defaults to True.

    Raises:
        TypeError: If `factor`, `limit` or `cooldown` is not a number, or `undo_when_healthy` is not
            True or False.
        ValueError: If `factor` is not above 1, `limit` is below 1, or `cooldown` is not a
            whole number of at least 0.

    Example:
        >>> from keras_regplus.callbacks import OverfittingDetector, actions
        >>> detector = OverfittingDetector(action=actions.RaiseRegularization(limit=8))
    """

    def __init__(
        self,
        factor: float = 2.0,
        limit: float = 16.0,
        cooldown: int = 5,
        undo_when_healthy: bool = True,
    ) -> None:
        super().__init__(cooldown, undo_when_healthy)
        owner, advice = "RaiseRegularization", "Use 2 to double the strengths."
        self.factor = finite_number(owner, "factor", factor, above=1, advice=advice)
        advice = "Use 16 for sixteen times the strengths."
        self.limit = finite_number(owner, "limit", limit, minimum=1, advice=advice)

    def _problem(self, model: keras.Model, clock: Clock) -> str | None:
        if clock.used:
            return None
        if not any(_gained_parts(model)):
            return (
                "the model must have something scheduled, got none: only that can be changed in "
                "a compiled step. Use `regularizers.ScheduledL2(1e-3)` in place of `L2(1e-3)`."
            )
        if model.optimizer is not None and has_trained(model.optimizer):
            return (
                "the training step must compute what is scheduled, got one that never does. Add "
                "`sum(self.losses)` to the loss in your `train_step`; in this training nothing is "
                "done."
            )
        return None

    def _read(self, clock: Clock) -> float:
        return clock.gain

    def _value(self, base: float, steps: int, clock: Clock, rate: float) -> float:
        highest = (_HIGHEST_RATE - clock.rate_offset) / rate if rate else self.limit
        return min(base * self.factor**steps, max(min(self.limit, highest), base))

    def _write(self, clock: Clock, value: float) -> str:
        clock.set_gain(value)
        return f"everything scheduled counts {value:.3g} times now"


class RaiseDropout(_ClockAction):
    """Adds to every scheduled dropout rate of the model while it trains.

    Use it where a stronger penalty does not help. It changes the rates of the dropout
    layers of `keras_regplus.layers` that have a schedule (`Constant()` is enough), besides
    their schedules. Rates of Keras's own layers cannot be changed in a compiled step: for
    a model without scheduled dropout you are warned and nothing is done. What was added
    lasts as long as the model object; a `state_file` brings it back after a crash.

    Args:
        by: What is added to the rates at each step, above 0. Defaults to 0.1.
        limit: The most that is added in all, above 0 and at most 1. The highest rate is
            never lifted above 0.9. Defaults to 0.3.
        cooldown: Epochs between two steps, at least 0. Defaults to 5.
        undo_when_healthy: Whether a step is undone when the verdict is `"healthy"` again.
            Defaults to True.

    Raises:
        TypeError: If `by`, `limit` or `cooldown` is not a number, or `undo_when_healthy` is not
            True or False.
        ValueError: If `by` or `limit` is not above 0 and at most 1, or `cooldown` is not a
            whole number of at least 0.

    Example:
        >>> from keras_regplus.callbacks import OverfittingDetector, actions
        >>> detector = OverfittingDetector(action=actions.RaiseDropout(by=0.05))
    """

    def __init__(
        self, by: float = 0.1, limit: float = 0.3, cooldown: int = 5, undo_when_healthy: bool = True
    ) -> None:
        super().__init__(cooldown, undo_when_healthy)
        owner, advice = "RaiseDropout", "Use 0.1 to drop a tenth more."
        self.by = finite_number(owner, "by", by, above=0, maximum=1, advice=advice)
        self.limit = finite_number(owner, "limit", limit, above=0, maximum=1, advice=advice)

    def _problem(self, model: keras.Model, clock: Clock) -> str | None:
        if any(_scheduled_rates(model)):
            return None
        return (
            "the model must have a dropout layer with a schedule, got none: only that can be "
            "changed in a compiled step. Use `layers.ScheduledDropout(0.2, schedules.Constant())` "
            "in place of `Dropout(0.2)`."
        )

    def _read(self, clock: Clock) -> float:
        return clock.rate_offset

    def _value(self, base: float, steps: int, clock: Clock, rate: float) -> float:
        limit = min(self.limit, _HIGHEST_RATE - rate * clock.gain)
        return min(base + steps * self.by, max(limit, base))

    def _write(self, clock: Clock, value: float) -> str:
        clock.set_rate_offset(value)
        return f"dropout rates are raised by {value:.3g} now"


def _gained_parts(model: keras.Model) -> Iterator[ScheduledMixin]:
    """What the gain multiplies: a layer without a schedule stays as it is."""
    for _, part in scheduled_parts(model):
        if part.schedule is not None or not isinstance(part, keras.layers.Layer):
            yield part


def _scheduled_rates(model: keras.Model) -> Iterator[ScheduledMixin]:
    for _, part in scheduled_parts(model):
        if isinstance(part, ScheduledMixin) and part._kind == "rate" and part.schedule is not None:
            yield part


def _highest_rate(model: keras.Model) -> float:
    """The highest base value of the rates that can be raised; 0 without any."""
    return max(
        (base for part in _scheduled_rates(model) for base in part._strengths().values()), default=0
    )
