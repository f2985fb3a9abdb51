"""The base class of actions: when to take a step, and when to undo it."""

from __future__ import annotations

from typing import Any

import keras

from keras_regplus._checks import boolean, count
from keras_regplus._warnings import OneTimeWarnings
from keras_regplus.diagnosis import Diagnosis

__all__ = ["Action"]


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
