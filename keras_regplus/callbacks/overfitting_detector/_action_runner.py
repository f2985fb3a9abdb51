"""Runs a detector's actions, and never lets one of them end a training by an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from keras_regplus._warnings import OneTimeWarnings
from keras_regplus.callbacks.actions import Action

if TYPE_CHECKING:
    from keras_regplus.callbacks.overfitting_detector._arguments import SingleAction
    from keras_regplus.callbacks.overfitting_detector._callback import OverfittingDetector

__all__ = ["ActionRunner"]


class ActionRunner:
    """The actions of a detector, run in their order after each epoch."""

    def __init__(self, actions: Sequence[SingleAction]) -> None:
        self._actions = actions
        self._warnings = OneTimeWarnings("OverfittingDetector")

    def set_model(self, model: Any) -> None:
        """Let each `Action` prepare the model."""
        for action in self._objects():
            action.set_model(model)

    def begin(self) -> None:
        """Forget an earlier training."""
        self._warnings.forget()
        for action in self._objects():
            action.begin()

    def run(
        self,
        detector: OverfittingDetector,
        epoch: int,
        is_onset: bool,
        announce: Callable[[str], None],
    ) -> None:
        """Do what the diagnosis asks for; callables are called only at an onset."""
        for action in self._actions:
            if action == "stop":
                _stop(detector, epoch, announce)
                continue
            try:
                if isinstance(action, Action):
                    message = action.update(detector.model, epoch, detector.diagnosis)
                    if message:
                        announce(f"after epoch {epoch}: {message}.")
                elif is_onset and callable(action):
                    action(detector, detector.diagnosis)
            except Exception as error:
                self._warnings.warn(
                    f"`action` must not raise, got {error!r} from {_name_of(action)} in epoch "
                    f"{epoch}. Training goes on, and the action is tried again later. Correct it, "
                    "or take it out of `action`.",
                    cause=id(action),
                )

    def states(self) -> list[dict[str, Any] | None]:
        """One state for each action, None for those without one."""
        return [a.state() if isinstance(a, Action) else None for a in self._actions]

    def restore(self, model: Any, states: Sequence[Any]) -> None:
        """Bring each `Action` to its state, one of `states`."""
        for action, state in zip(self._actions, states, strict=True):
            if isinstance(action, Action):
                action.restore(model, state)

    def _objects(self) -> list[Action]:
        return [action for action in self._actions if isinstance(action, Action)]


def _name_of(action: Any) -> str:
    return str(getattr(action, "__name__", type(action).__name__))


def _stop(detector: OverfittingDetector, epoch: int, announce: Callable[[str], None]) -> None:
    diagnosis = detector.diagnosis
    if diagnosis.should_stop:
        detector.model.stop_training = True
        detector.stopped_epoch = epoch
        announce(f"training is stopped after epoch {epoch}. {diagnosis.reason}")
