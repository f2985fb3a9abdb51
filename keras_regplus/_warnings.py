"""What the package says when something is wrong but a training must go on."""

from __future__ import annotations

import os
import sys
import sysconfig
import warnings
from collections.abc import Hashable
from pathlib import Path
from types import FrameType

__all__ = [
    "OneTimeWarnings",
    "RegPlusWarning",
    "is_called_from",
    "is_installed",
    "warn",
    "warn_once",
]


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

_SCHEMES = ("stdlib", "platstdlib", "purelib", "platlib", "scripts")
_INSTALLED = tuple(os.path.join(sysconfig.get_path(scheme), "") for scheme in _SCHEMES)

_warned_of: set[tuple[tuple[str, int], Hashable]] = set()


def warn(message: str) -> None:
    """Issue a `RegPlusWarning` that points at the user's line."""
    level, _ = _user_line()
    warnings.warn(message, RegPlusWarning, stacklevel=level)


def warn_once(message: str, cause: Hashable) -> None:
    """`warn`, unless the same line of the user's has met the same cause in this process.

    Use it where every model of a search would be told the same.
    """
    level, line = _user_line()
    if (line, cause) not in _warned_of:
        _warned_of.add((line, cause))
        warnings.warn(message, RegPlusWarning, stacklevel=level)


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


def _user_line() -> tuple[int, tuple[str, int]]:
    """The user's line, as a `stacklevel` for the caller of this, and as a file with a number.

    A library that searches or trains may stand between the user and Keras. Where nothing but
    libraries is found, the line is the one closest to Keras.
    """
    closest = None
    level = 1
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not _is_library(frame.f_globals.get("__name__", "")):
            file = frame.f_code.co_filename
            line = level, (file, frame.f_lineno)
            if not is_installed(file):
                return line
            closest = closest or line
        level, frame = level + 1, frame.f_back
    return closest or (2, ("", 0))


def is_called_from(package: str) -> bool:
    """Whether code of a package is on the Python stack."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] == package:
            return True
        frame = frame.f_back
    return False


# torch.compile cannot trace such walks; this mark keeps it out.
_user_line._torchdynamo_disable = True  # type: ignore[attr-defined]
is_called_from._torchdynamo_disable = True  # type: ignore[attr-defined]


def _is_library(module: str) -> bool:
    # The command line's own modules count as the user's: nobody stands above.
    return module.split(".", 1)[0] in _LIBRARIES or module.startswith("importlib")


def is_installed(file: str) -> bool:
    """Whether the file belongs to Python or to an installed package, not to the user."""
    is_in_packages = not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)
    return is_in_packages or file.startswith(("<frozen", *_INSTALLED))
