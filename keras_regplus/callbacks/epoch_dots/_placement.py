"""Warnings about a training in which the dots of `EpochDots` cannot be right."""

from __future__ import annotations

from typing import Any

from keras_regplus._warnings import OneTimeWarnings

__all__ = ["PlacementWarnings"]


class PlacementWarnings:
    """Warns, once each, when Keras prints between the dots or the detector is out of place."""

    def __init__(self, detector: object) -> None:
        self._detector = detector
        self._warnings = OneTimeWarnings("EpochDots")
        self._missed: int | None = None

    def start_training(self, model: Any, verbose: Any, shares_with_keras: bool) -> None:
        self._missed = None
        if verbose not in (None, 0) and shares_with_keras:
            self._warnings.warn(
                f"`verbose` of `fit` must be 0, got {verbose!r}. "
                "Pass `verbose=0`; otherwise Keras prints its lines between the dots."
            )
        if getattr(self._detector, "model", model) is not model:
            self._warn_about_order("is not in it")

    def end_epoch(self, epoch: int) -> None:
        """Warn if the detector sees each epoch only after its dot."""
        history = getattr(self._detector, "history", None)
        epochs = history.get("epoch") if isinstance(history, dict) else None
        last = epochs[-1] if epochs else None
        # A detector that has not seen this epoch may be idle. If it has seen it by the end
        # of the next one, it comes later.
        if last is not None and last == self._missed:
            self._warn_about_order("comes later")
        self._missed = None if last == epoch else epoch

    def _warn_about_order(self, problem: str) -> None:
        self._warnings.warn(
            f"`detector` must come before EpochDots in the list of callbacks, but {problem}. "
            "Use `callbacks=[detector, EpochDots(detector=detector)]`."
        )
