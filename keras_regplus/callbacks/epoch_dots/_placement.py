"""What `EpochDots` says of a training in which its dots cannot be what they should."""

from __future__ import annotations

from typing import Any

from keras_regplus._warnings import warn

__all__ = ["PlacementWarnings"]

_OWNER = "EpochDots"


class PlacementWarnings:
    """Warns, once each, of Keras's own lines between the dots and of a detector out of place."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector
        self._warned: set[str] = set()
        self._missed: int | None = None

    def begin(self, model: Any, verbose: Any, shares_with_keras: bool) -> None:
        self._missed = None
        if verbose not in (None, 0) and shares_with_keras:
            self._warn_once(
                f"{_OWNER}: `verbose` of `fit` must be 0 beside it, got {verbose!r}. "
                "Keras prints its lines between the dots."
            )
        if getattr(self._detector, "model", model) is not model:
            self._warn_of_order("is not in the list")

    def end_of_epoch(self, epoch: int) -> None:
        """Find a detector that sees each epoch, but only after its dot."""
        history = getattr(self._detector, "history", None)
        epochs = history.get("epoch") if isinstance(history, dict) else None
        last = epochs[-1] if epochs else None
        # One that has not seen this epoch may be idle; if it has then seen it by the next
        # one's end, it comes later.
        if last is not None and last == self._missed:
            self._warn_of_order("comes later")
        self._missed = None if last == epoch else epoch

    def _warn_of_order(self, where: str) -> None:
        self._warn_once(
            f"{_OWNER}: `detector` must stand before it in the list of callbacks, and {where}. "
            "Use `callbacks=[detector, EpochDots(detector=detector)]`."
        )

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            warn(message)
