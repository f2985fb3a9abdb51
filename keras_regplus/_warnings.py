"""What the package says when something is wrong but a training must go on."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Hashable
from types import FrameType

__all__ = ["OneTimeWarnings", "RegPlusWarning", "warn"]


class RegPlusWarning(UserWarning):
    """Warned once per cause and model when something of ours cannot do its work.

    Use it to silence the package, or to turn its warnings into errors, with
    Python's own filters.

    Example:
        >>> import warnings
        >>> from keras_regplus import RegPlusWarning
        >>> warnings.filterwarnings("error", category=RegPlusWarning)
        >>> warnings.filterwarnings("default", category=RegPlusWarning)
    """


# A user calls us through `fit`: the line to blame lies above Keras and the
# backend, never inside them.
_LIBRARIES = ("keras", "keras_regplus", "tensorflow", "jax", "torch", "contextlib", "threading")


def warn(message: str) -> None:
    """Issue a `RegPlusWarning` that points at the user's line."""
    warnings.warn(message, RegPlusWarning, stacklevel=_user_level())


class OneTimeWarnings:
    """The warnings of one object, each issued once.

    `owner` is the class that the messages begin with.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._issued: set[Hashable] = set()

    def warn(self, message: str, cause: Hashable | None = None) -> None:
        """Issue it, unless it was; where texts of one cause differ, `cause` stands for them."""
        key = message if cause is None else cause
        if key not in self._issued:
            self._issued.add(key)
            warn(f"{self._owner}: {message}")

    def forget(self) -> None:
        """Begin anew, so that each warning may come once more."""
        self._issued.clear()


def _user_level() -> int:
    level = 1
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not _is_library(frame.f_globals.get("__name__", "")):
            return level
        frame, level = frame.f_back, level + 1
    return 2


# torch.compile cannot trace such a walk; this mark keeps it out.
_user_level._torchdynamo_disable = True  # type: ignore[attr-defined]


def _is_library(module: str) -> bool:
    # The command line's own modules count as the user's: nobody stands above.
    return module.split(".", 1)[0] in _LIBRARIES or module.startswith("importlib")
