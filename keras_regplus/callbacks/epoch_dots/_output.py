"""Where `EpochDots` writes: the current `sys.stdout`, a stream or a file."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import weakref
from pathlib import Path
from typing import IO, Any

from keras_regplus._checks import error_text
from keras_regplus._output import write
from keras_regplus._warnings import OneTimeWarnings

__all__ = ["Output"]

_OWNER = "EpochDots"
_WIDTH_WITHOUT_TERMINAL = 100
_WIDTH_OF_ODD_TERMINALS = 80

# Texts that each stream has been given by `write_once`.
_written_once: weakref.WeakKeyDictionary[Any, set[str]] = weakref.WeakKeyDictionary()


class Output:
    """Writes text and never raises: a failure gives one warning, and on stdout none."""

    def __init__(self, file: IO[str] | str | os.PathLike[str] | None) -> None:
        self.file = _checked_file(file)
        self._opened: IO[str] | None = None
        self._warnings = OneTimeWarnings(_OWNER)

    def write(self, text: str) -> None:
        try:
            _print(text, self._stream())
        except Exception as error:
            # Nobody needs to hear that a reader of stdout, such as `head`, has left.
            if self.file is not None:
                message = (
                    f"`file` could not be written ({error!r}). Training continues without its "
                    "lines. Choose a path that can be written, or None for the screen."
                )
                self._warnings.warn(message, cause="file")

    def write_once(self, text: str) -> None:
        """Write `text`, unless this stream was given it before, by whatever object."""
        written: set[str] = set()
        with contextlib.suppress(Exception):
            written = _written_once.setdefault(self._stream(), written)
        if text not in written:
            written.add(text)
            self.write(text)

    def width(self) -> int:
        """How many characters a line may have."""
        return self.terminal_width() or _WIDTH_WITHOUT_TERMINAL

    def terminal_width(self) -> int | None:
        """How many characters of a line a terminal shows; None where there is no terminal."""
        with contextlib.suppress(Exception):
            stream = self._stream()
            if stream.isatty():
                columns = os.get_terminal_size(stream.fileno()).columns
                # Some terminals go on in the next line when the last column is full.
                return max((columns or _WIDTH_OF_ODD_TERMINALS) - 1, 1)
        return None

    def shares_with_keras(self) -> bool:
        """Whether Keras prints its own lines to the same place."""
        return self.file is None or self.file in (sys.stdout, sys.stderr)

    def close(self) -> None:
        """Close the file that was opened here; the next text opens it again."""
        with contextlib.suppress(Exception):
            if self._opened is not None:
                self._opened.close()
        self._opened = None

    def _stream(self) -> IO[str]:
        if self.file is None:
            return sys.stdout
        if not isinstance(self.file, str | os.PathLike):
            return self.file
        if self._opened is None:
            path = Path(self.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._opened = path.open("a", encoding="utf-8")
        return self._opened

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def __deepcopy__(self, memo: Any) -> Output:
        # A terminal's stream cannot be copied, and nobody would read the copy of another.
        return Output(self.file)


def _print(text: str, stream: IO[str]) -> None:
    # Jupyter's streams send their text five times a second; if each dot were flushed,
    # each would be a message of its own.
    flush = not hasattr(stream, "flush_interval")
    write(text, stream, end="", flush=flush)


def _checked_file(file: Any) -> Any:
    rule = "a stream of text, a path or None"
    if isinstance(file, str | os.PathLike):
        if os.path.isdir(file) or not os.fspath(file):
            raise ValueError(error_text(_OWNER, "file", rule, file, "Name a file, not a folder."))
        return file
    is_binary = isinstance(file, io.RawIOBase | io.BufferedIOBase)
    if file is None or (hasattr(file, "write") and not is_binary and not isinstance(file, type)):
        return file
    raise TypeError(error_text(_OWNER, "file", rule, file, 'Use a path such as "run.log".'))
