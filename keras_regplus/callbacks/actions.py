"""What a detector can do about overfitting while a model goes on training.

Each takes one step when the verdict becomes `"overfitting"`, another after every
`cooldown` epochs while it stays so, and undoes one when the model is healthy again.
Nothing is compiled again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_regplus._checks import boolean, count, finite_number
from keras_regplus._warnings import OneTimeWarnings
from keras_regplus.clock import wiring
from keras_regplus.clock.clock import Clock
from keras_regplus.clock.model_parts import scheduled_parts
from keras_regplus.clock.scheduled import ScheduledMixin
from keras_regplus.diagnosis import Diagnosis

__all__ = ["Action", "RaiseDropout", "RaiseRegularization", "ReduceLearningRate"]

# A layer that drops everything ends all learning, so no action lifts a rate beyond this.
_HIGHEST_RATE = 0.9


class Action:
    """Base class: when to take a step, and when to undo it.

    Subclass it for an action of your own, and define `move`. Where you need no cooldown
    and nothing to undo, a plain function `(detector, diagnosis)` is enough.

    Args:
        cooldown: Epochs between two steps, at least 0. Defaults to 5.
        undo_when_healthy: Whether a step is undone when the verdict is `"healthy"` again.
            Defaults to True.

    Raises:
        TypeError: If `cooldown` is not a number or `undo_when_healthy` not True or False.
        ValueError: If `cooldown` is not a whole number of at least 0.

    Example:
        >>> from keras_regplus.callbacks.actions import Action
        >>> from keras_regplus.diagnosis import Diagnosis
        >>> class Count(Action):
        ...     def move(self, model, steps):
        ...         return f"now at {steps}"
        >>> count = Count(cooldown=2)
        >>> verdicts = ["overfitting"] * 5 + ["plateau", "healthy"]
        >>> [count.update(None, epoch, Diagnosis(v)) for epoch, v in enumerate(verdicts)]
        ['now at 1', None, None, 'now at 2', None, None, 'now at 1']
    """

    def __init__(self, cooldown: int = 5, undo_when_healthy: bool = True) -> None:
        owner = type(self).__name__
        advice = "Use 5 to see what a step did."
        self.cooldown = count(owner, "cooldown", cooldown, minimum=0, advice=advice)
        advice = "Use True to undo steps."
        self.undo_when_healthy = boolean(
            owner, "undo_when_healthy", undo_when_healthy, advice=advice
        )
        self.begin()

    def set_model(self, model: keras.Model) -> None:
        """Prepare a model, before Keras makes the functions that train it.

        Override it if `move` needs something that a compiled step reads.

        Args:
            model: The model that will be trained.
        """

    def move(self, model: keras.Model, steps: int) -> str | None:
        """Bring the model to a number of steps. A subclass must define it.

        Args:
            model: The model in training.
            steps: How many steps the model should be at, one more or one less than
                `self.steps`.

        Returns:
            What was done, as a clause that the detector prints. None if nothing could be
            done; then the step does not count.

        Raises:
            NotImplementedError: If the subclass does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `move(self, model, steps)`.")

    def begin(self) -> None:
        """Forget an earlier training."""
        self.steps = 0
        self._last: int | None = None
        self._warnings = OneTimeWarnings(type(self).__name__)

    def update(self, model: keras.Model, epoch: int, diagnosis: Diagnosis) -> str | None:
        """Take or undo a step if it is time for one. The detector calls it after each epoch.

        Args:
            model: The model in training.
            epoch: The epoch that has ended, counted from 0.
            diagnosis: What the detector says after that epoch.

        Returns:
            What `move` says was done, or None if nothing was.
        """
        if self._last is not None and epoch - self._last <= self.cooldown:
            return None
        if diagnosis.verdict == "overfitting":
            steps = self.steps + 1
        elif diagnosis.verdict == "healthy" and self.undo_when_healthy and self.steps:
            steps = self.steps - 1
        else:
            return None
        message = self.move(model, steps)
        if message is not None:
            self.steps, self._last = steps, epoch
        return message

    def state(self) -> dict[str, Any]:
        """Describe where the action is, for a training that is resumed.

        Override it together with `restore` if your action knows more than its steps.

        Returns:
            A dictionary of values that JSON can hold.
        """
        return {"steps": self.steps, "last": self._last}

    def restore(self, model: keras.Model, state: dict[str, Any]) -> None:
        """Bring the action, and what it changed in the model, to an earlier state.

        Args:
            model: The model that is trained from here on.
            state: What `state` returned in the earlier training.
        """
        self.steps, self._last = state["steps"], state["last"]


class ReduceLearningRate(Action):
    """Multiplies the learning rate, as `ReduceLROnPlateau` does, but upon overfitting.

    Use it where smaller steps may keep the weights near their best. The optimizer's
    learning rate must be a number: with a schedule you are warned and nothing is done.

    Args:
        factor: What the rate is multiplied by at each step, above 0 and below 1.
            Defaults to 0.5.
        cooldown: Epochs between two steps, at least 0. Defaults to 5.
        undo_when_healthy: Whether a step is undone when the verdict is `"healthy"` again.
            Defaults to True.

    Raises:
        TypeError: If `factor` or `cooldown` is not a number, or `undo_when_healthy` is not
            True or False.
        ValueError: If `factor` is not above 0 and below 1, or `cooldown` is not a whole
            number of at least 0.

    Example:
        >>> from keras_regplus.callbacks import OverfittingDetector, actions
        >>> detector = OverfittingDetector(action=actions.ReduceLearningRate(0.3))
    """

    def __init__(
        self, factor: float = 0.5, cooldown: int = 5, undo_when_healthy: bool = True
    ) -> None:
        super().__init__(cooldown, undo_when_healthy)
        advice = "Use 0.5 to halve the rate."
        self.factor = finite_number(
            "ReduceLearningRate", "factor", factor, above=0, below=1, advice=advice
        )

    def begin(self) -> None:
        super().begin()
        self._rates: list[float] | None = None

    def move(self, model: keras.Model, steps: int) -> str | None:
        factor = self.factor if steps > self.steps else 1 / self.factor
        before = _learning_rate(model)
        rate = before * factor
        try:
            model.optimizer.learning_rate = rate
        except TypeError:
            self._warnings.warn(
                "the learning rate must be a number to be changed, got a schedule. "
                "Compile with a number; in this training nothing is done."
            )
            return None
        self._rates = [before, rate]
        return f"the learning rate is {rate:.3g} now"

    def state(self) -> dict[str, Any]:
        return {**super().state(), "rates": self._rates}

    def restore(self, model: keras.Model, state: dict[str, Any]) -> None:
        super().restore(model, state)
        self._rates = state["rates"]
        # The optimizer brings its rate along, but a backup may be from just before the last step.
        if self._rates and math.isclose(_learning_rate(model), self._rates[0], rel_tol=1e-6):
            model.optimizer.learning_rate = self._rates[1]


class _ClockAction(Action):
    """Changes a number of the model's clock, which a compiled step reads anew each time.

    A subclass says where the number stands (`_read`, `_write`), what it is after so many
    steps in a model with such a highest rate (`_value`), and what a model needs for it
    (`_has_target`, `_needed`).
    """

    _needed: str

    def begin(self) -> None:
        super().begin()
        self._base: float | None = None

    def set_model(self, model: keras.Model) -> None:
        wiring.attach(model)

    def move(self, model: keras.Model, steps: int) -> str | None:
        clock = wiring.attach(model)
        if not self._has_target(model, clock):
            self._warnings.warn(f"the model must have {self._needed}")
            return None
        before = self._read(clock)
        if self._base is None:
            self._base = before
        value = self._value(self._base, steps, _highest_rate(model))
        return self._write(clock, value) if value != before else None

    def state(self) -> dict[str, Any]:
        return {**super().state(), "base": self._base}

    def restore(self, model: keras.Model, state: dict[str, Any]) -> None:
        super().restore(model, state)
        self._base = state["base"]
        if self._base is not None:
            value = self._value(self._base, self.steps, _highest_rate(model))
            self._write(wiring.attach(model), value)

    def _has_target(self, model: keras.Model, clock: Clock) -> bool:
        raise NotImplementedError

    def _read(self, clock: Clock) -> float:
        raise NotImplementedError

    def _value(self, base: float, steps: int, rate: float) -> float:
        raise NotImplementedError

    def _write(self, clock: Clock, value: float) -> str:
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

    _needed = (
        "something scheduled, got none: only that can be changed in a compiled step. "
        "Use `regularizers.ScheduledL2(1e-3)` in place of `L2(1e-3)`."
    )

    def _has_target(self, model: keras.Model, clock: Clock) -> bool:
        return clock.used or any(scheduled_parts(model))

    def _read(self, clock: Clock) -> float:
        return clock.gain

    def _value(self, base: float, steps: int, rate: float) -> float:
        limit = min(self.limit, _HIGHEST_RATE / rate) if rate else self.limit
        return min(base * self.factor**steps, max(limit, base))

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

    _needed = (
        "a dropout layer with a schedule, got none: only that can be changed in a compiled "
        "step. Use `layers.ScheduledDropout(0.2, schedules.Constant())` in place of "
        "`Dropout(0.2)`."
    )

    def _has_target(self, model: keras.Model, clock: Clock) -> bool:
        return any(_scheduled_rates(model))

    def _read(self, clock: Clock) -> float:
        return clock.rate_offset

    def _value(self, base: float, steps: int, rate: float) -> float:
        limit = min(self.limit, _HIGHEST_RATE - rate)
        return min(base + steps * self.by, max(limit, base))

    def _write(self, clock: Clock, value: float) -> str:
        clock.set_rate_offset(value)
        return f"dropout rates are raised by {value:.3g} now"


def _scheduled_rates(model: keras.Model) -> Iterator[ScheduledMixin]:
    for _, part in scheduled_parts(model):
        if isinstance(part, ScheduledMixin) and part._kind == "rate" and part.schedule is not None:
            yield part


def _highest_rate(model: keras.Model) -> float:
    """The highest base value of the rates that can be raised; 0 without any."""
    return max(
        (base for part in _scheduled_rates(model) for base in part._strengths().values()), default=0
    )


def _learning_rate(model: keras.Model) -> float:
    return float(ops.convert_to_numpy(model.optimizer.learning_rate))
