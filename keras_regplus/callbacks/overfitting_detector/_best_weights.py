"""The weights of the best epoch so far, in host memory or in a file."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_regplus._warnings import warn
from keras_regplus.callbacks._chief import is_chief

__all__ = ["BestWeights"]


class BestWeights:
    """Keeps one copy of a model's weights and gives it back.

    With a `path` they live in that `.weights.h5` file, which stays when the training
    dies; `"disk"` without one means a temporary file. Without `copies` only the epoch
    is noted, not its weights.
    """

    def __init__(self, where: str, path: Path | None = None, *, copies: bool = True) -> None:
        self.epoch: int | None = None
        self.cost = math.inf
        self._metric: str | None = None
        self._copies = copies
        self._path = path
        self._on_disk = where == "disk" or path is not None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._weights: list[np.ndarray] | None = None
        self._is_saved = False

    @property
    def has_copy(self) -> bool:
        """Whether there is a copy to give back."""
        return self._weights is not None or self._is_saved

    def state(self) -> dict[str, Any]:
        """All that `resume` needs besides the weights, as plain JSON."""
        return {"epoch": self.epoch, "cost": self.cost, "metric": self._metric}

    def update_if_better(self, model: Any, epoch: int, cost: float, metric: str | None) -> None:
        """Note an epoch that is better than all before, and copy its weights.

        Costs in another metric cannot be compared: its first one takes the place of the best.
        """
        if not math.isfinite(cost) or (metric == self._metric and cost >= self.cost):
            return
        self.epoch, self.cost, self._metric = epoch, cost, metric
        if not self._copies:
            return
        # The old copy goes first, so that two are never held in memory.
        self._weights, self._is_saved = None, False
        if self._on_disk and self._save(model):
            self._is_saved = True
        else:
            self._weights = model.get_weights()

    def resume(self, model: Any, state: dict[str, Any], earlier: BestWeights | None) -> None:
        """Continue from the best epoch of an earlier training.

        `earlier` is what that training kept if it ran in this process; otherwise its
        weights are in the file.
        """
        if earlier is not None and earlier.has_copy:
            vars(self).update(vars(earlier))
        elif earlier is not None or not self._copies:
            # A training that has ended has left the model at its best weights, if wanted.
            self.update_if_better(model, **state)
        elif state["epoch"] is not None and not self._update_from_file(model, **state):
            warn(
                "OverfittingDetector: the best weights of the earlier process must be in "
                f"{str(self._path)!r} to be continued with, got no file that can be loaded. The "
                "search for the best epoch begins anew here. Keep that file beside `state_file` "
                "until the training has ended."
            )

    def restore(self, model: Any) -> bool:
        """Give the weights back, and forget them; False where there are none."""
        if self._weights is not None:
            model.set_weights(self._weights)
        elif self._is_saved:
            try:
                self._load(model, self._file(model))
            except Exception as error:
                warn(
                    f"OverfittingDetector: the weights of epoch {self.epoch} could not be read "
                    f"({error!r}). The model keeps those of its last epoch. Make sure that "
                    "nothing else changes or deletes the file while the model trains."
                )
                # The file stays for whoever can read it.
                self._path = None
                return False
        else:
            return False
        self.forget(model)
        return True

    def forget(self, model: Any) -> None:
        """Let go of the copy."""
        self._weights, self._is_saved = None, False
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
        elif self._path is not None and is_chief(model):
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _update_from_file(self, model: Any, epoch: int, cost: float, metric: str | None) -> bool:
        """Copy the weights that an earlier process saved; False if they are gone or damaged."""
        if self._path is None or not self._path.is_file():
            return False
        current = model.get_weights()
        try:
            # Each process takes a copy of its own: the chief removes the file in the end.
            self._load(model, self._path)
            self.update_if_better(model, epoch, cost, metric)
        except Exception:
            return False
        finally:
            model.set_weights(current)
        return True

    def _load(self, model: Any, file: Path) -> None:
        with _optimizer_state_kept(model):
            # The class's own method: the weights are wanted, not what is saved beside them.
            type(model).load_weights(model, file)

    def _save(self, model: Any) -> bool:
        # Every process saves, because on JAX Keras's saving needs them all to do the same.
        try:
            file = self._file(model)
            file.parent.mkdir(parents=True, exist_ok=True)
            unfinished = file.with_name(f"unfinished-{file.name}")
            type(model).save_weights(model, unfinished, overwrite=True)
            os.replace(unfinished, file)
            return True
        except Exception as error:
            self._on_disk = False
            warn(
                f"OverfittingDetector: the best weights could not be written ({error!r}). "
                "They are kept in memory from here on. Make room on the disk, or choose a folder "
                "that can be written."
            )
            return False

    def _file(self, model: Any) -> Path:
        if self._path is not None and is_chief(model):
            return self._path
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="keras_regplus-")
        return Path(self._folder.name) / "best.weights.h5"


@contextlib.contextmanager
def _optimizer_state_kept(model: Any) -> Iterator[None]:
    """A weights file holds the optimizer's state, too, which belongs to the last epoch."""
    variables = getattr(getattr(model, "optimizer", None), "variables", ())
    values = [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
