"""How a training continues an earlier one: a second `fit`, or one after a crash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from keras_regplus.callbacks._chief import is_chief
from keras_regplus.callbacks.overfitting_detector._action_runner import ActionRunner
from keras_regplus.callbacks.overfitting_detector._best_weights import BestWeights
from keras_regplus.callbacks.overfitting_detector._metric_watch import MetricWatch
from keras_regplus.callbacks.overfitting_detector._state_file import StateFile

__all__ = ["Continuation", "Earlier"]


class Earlier(NamedTuple):
    """What a training has left: its state and, if it ran in this process, its best weights."""

    state: dict[str, Any]
    best: BestWeights | None

    @property
    def last_epoch(self) -> int:
        return self.state["watched"][0]["history"]["epoch"][-1]


class Continuation:
    """Saves where a training is, and brings it to where an earlier one was.

    Each training has its own. The earlier one is the last `fit` of the same detector
    (`earlier`), or ran in a process that left a state file.
    """

    def __init__(
        self,
        watches: Sequence[MetricWatch],
        actions: ActionRunner,
        best: BestWeights,
        file: StateFile | None,
        earlier: Earlier | None,
    ) -> None:
        self._watches, self._actions, self._best = watches, actions, best
        self._file, self._earlier = file, earlier
        self._snapshots: list[dict[str, Any]] = []

    def leave(self) -> Earlier | None:
        """What the next `fit` may continue; None if nothing was seen."""
        has_seen = self._watches[0].history["epoch"]
        return Earlier(self._state(), self._best) if has_seen else None

    def resume(self, model: Any, first_epoch: int) -> bool:
        """Bring all parts to where an earlier training was before `first_epoch`.

        False if there is none to continue. Any error means that its state cannot be used.
        """
        earlier = self._find_earlier(model, first_epoch)
        self._earlier = None
        if earlier is None:
            return False
        for watch, state in zip(self._watches, earlier.state["watched"], strict=True):
            watch.replay(state, first_epoch)
        snapshots = earlier.state["snapshots"]
        self._snapshots = [one for one in snapshots if one["epoch"] < first_epoch]
        if self._snapshots:
            self._actions.restore(model, self._snapshots[-1]["actions"])
        self._best.resume(model, earlier.state["best"], earlier.best)
        return True

    def save(self, model: Any, epoch: int) -> None:
        """Note where all parts are after `epoch`, in the file as well."""
        # Two epochs, because a backup of the model may be one behind.
        snapshot = {"epoch": epoch, "actions": self._actions.states()}
        self._snapshots = [*self._snapshots[-1:], snapshot]
        if self._file is not None and is_chief(model):
            self._file.write({**self._identity(model), **self._state()})

    def finish(self, model: Any) -> None:
        """Remove the file: nobody needs to continue this training after a crash."""
        if self._file is not None and is_chief(model):
            self._file.remove()

    def _find_earlier(self, model: Any, first_epoch: int) -> Earlier | None:
        if first_epoch == 0:
            return None
        if self._earlier is not None and self._earlier.last_epoch == first_epoch - 1:
            return self._earlier
        state = self._file.read(**self._identity(model)) if self._file is not None else None
        return None if state is None else Earlier(state, best=None)

    def _state(self) -> dict[str, Any]:
        return {
            "watched": [watch.state() for watch in self._watches],
            "best": self._best.state(),
            "snapshots": self._snapshots,
        }

    def _identity(self, model: Any) -> dict[str, Any]:
        """What must be the same in both trainings."""
        return {
            "monitor": [watch.monitor for watch in self._watches],
            "mode": self._watches[0].mode,
            "weights": [list(weight.shape) for weight in getattr(model, "weights", [])],
        }
