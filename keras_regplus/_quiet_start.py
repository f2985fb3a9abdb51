"""The command line's first act: Keras is imported without its backend's notes on the screen.

TensorFlow tells of oneDNN, CUDA and the processor, from C++ and before Python could stop it.
In a user's own program all of it stays, and so it does where TF_CPP_MIN_LOG_LEVEL is set.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["is_command_line", "quiet"]

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_STDERR = 2
_user_wants_notes = _LEVEL in os.environ


def is_command_line() -> bool:
    """Whether this process is `python -m keras_regplus` or the script `keras-regplus`."""
    program = sys.argv[0] if sys.argv else ""
    if program != "-m":
        return Path(program).stem == "keras-regplus"
    # Python has not yet replaced the "-m"; the module's name is only in its own arguments.
    return sys.orig_argv[-len(sys.argv)].endswith("keras_regplus")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what is written to stderr, from C++, too; after an error it is shown."""
    with contextlib.ExitStack() as stack:
        # Without room for the notes, or without a stderr, they go where they would.
        with contextlib.suppress(OSError):
            if not _user_wants_notes:
                stack.enter_context(_held_back())
        yield


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    with tempfile.TemporaryFile() as notes, contextlib.ExitStack() as stack:
        screen = os.dup(_STDERR)
        stack.callback(os.close, screen)
        stack.callback(os.dup2, screen, _STDERR)
        os.dup2(notes.fileno(), _STDERR)
        try:
            yield
        except BaseException:
            notes.seek(0)
            os.write(screen, notes.read())
            raise


def _import_keras() -> None:
    # The notes that come after the import, as of a missing GPU, heed the level.
    os.environ.setdefault(_LEVEL, "3")
    with quiet():
        import keras  # noqa: F401


if "keras" not in sys.modules and is_command_line():
    _import_keras()
