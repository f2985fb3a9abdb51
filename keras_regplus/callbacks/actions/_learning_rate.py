"""The action that reduces the learning rate, and says at which rate epochs were trained."""

from __future__ import annotations

import math
from typing import Any

import keras

from keras_regplus._checks import finite_number
from keras_regplus.callbacks.actions._action import Action
from keras_regplus.callbacks.actions._rates import (
    Rates,
    changed_rate,
    compared,
    optimizers_of,
    rate_of,
    rates_in_use,
    rates_like,
    rates_text,
)
from keras_regplus.diagnosis import Diagnosis

__all__ = ["ReduceLearningRate"]


class ReduceLearningRate(Action):
    """Multiplies the learning rate, as `ReduceLROnPlateau` does, but upon overfitting.

    Use it where smaller steps may keep the weights near their best. Of a `MultiOptimizer` it
    changes each inner optimizer. A learning rate must be a number: with a schedule you are
    warned and it is left alone. What the detector prints is measured: it comes one epoch after
    a step, when that epoch was trained at the new rate.

    Beside a callback that lowers the rate, such as `ReduceLROnPlateau`, both take effect.
    Beside one that sets it in each epoch, such as `LearningRateScheduler`, no step can last:
    you are warned, and from then on the rate is left to that callback.

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
        # Before the last step and after it; the same twice once an epoch has run at them.
        self._rates: list[Rates] | None = None
        self._is_overruled = False

    def update(self, model: keras.Model, epoch: int, diagnosis: Diagnosis) -> str | None:
        # Another callback may set the rate later than this one, which only the next epoch shows.
        outcome = self._outcome(model, epoch)
        if not self._is_overruled:
            super().update(model, epoch, diagnosis)
        return outcome

    def move(self, model: keras.Model, steps: int) -> str | None:
        factor = self.factor if steps > self.steps else 1 / self.factor
        optimizers = optimizers_of(model)
        before = rates_in_use(optimizers)
        after = [
            None if rate is None else changed_rate(optimizer, rate * factor)
            for optimizer, rate in zip(optimizers, before, strict=True)
        ]
        self._warn_of_what_stays(optimizers, before, after)
        if all(rate is None for rate in after):
            return None
        changed = [None if new is None else old for old, new in zip(before, after, strict=True)]
        self._rates = [changed, after]
        return f"the learning rate is set to {rates_text(optimizers, after)}"

    def state(self) -> dict[str, Any]:
        return {**super().state(), "rates": self._rates, "is_overruled": self._is_overruled}

    def restore(self, model: keras.Model, state: dict[str, Any]) -> None:
        super().restore(model, state)
        self._rates, self._is_overruled = state["rates"], state["is_overruled"]
        if self._rates is None:
            return
        # Optimizers bring their rates along, but a backup may be from just before the last step.
        before, after = self._rates
        optimizers = optimizers_of(model)
        if len(optimizers) != len(after):
            # A `MultiOptimizer` may find its inner ones only in its first step.
            self._rates = None
            return
        for optimizer, old, new in zip(optimizers, before, after, strict=True):
            if None not in (old, new) and math.isclose(rate_of(optimizer), old, rel_tol=1e-6):
                changed_rate(optimizer, new)
        self._rates = [before, rates_like(after, optimizers)]

    def _outcome(self, model: keras.Model, epoch: int) -> str | None:
        """What became of the last step, as a clause; a rate above it is somebody else's."""
        if self._rates is None or self._is_overruled:
            return None
        optimizers = optimizers_of(model)
        before, wanted = self._rates
        found = rates_like(wanted, optimizers)
        difference = compared(found, wanted)
        if difference > 0:
            self._is_overruled = True
            self._warn_of_another_callback(optimizers, found, wanted)
            return None
        self._rates = [found, found] if self.steps else None
        if self._last != epoch - 1:
            return None
        text = rates_text(optimizers, found)
        if difference < 0:
            return f"the learning rate is {text}: something else lowers it, too"
        instead = rates_text(optimizers, before)
        return f"this epoch was trained at a learning rate of {text} instead of {instead}"

    def _warn_of_what_stays(self, optimizers: list[Any], before: Rates, after: Rates) -> None:
        if all(rate is None for rate in before):
            self._warnings.warn(
                "`model.optimizer` must make the updates of this training, got one that has made "
                "none. Reduce the rates of the optimizers in your `train_step` in a function "
                "`(detector, diagnosis)` of your own; in this training nothing is done."
            )
        rates = zip(optimizers, before, after, strict=True)
        fixed = [repr(one.name) for one, old, new in rates if old is not None and new is None]
        if fixed:
            self._warnings.warn(
                "the learning rate must be a number to be changed, got a schedule or a function "
                f"in {' and '.join(fixed)}. Compile with a number; in this training that rate is "
                "left alone."
            )

    def _warn_of_another_callback(self, optimizers: list[Any], found: Rates, wanted: Rates) -> None:
        self._warnings.warn(
            f"the learning rate must stay at {rates_text(optimizers, wanted)}, where this action "
            f"has brought it, got {rates_text(optimizers, found)}: another callback, such as "
            "`LearningRateScheduler`, sets it anew. Put the reduction into that schedule, or take "
            "one of the two out; in the rest of this training the action does nothing."
        )
