"""Where `EpochDots` writes: the stdout of the moment, a stream, a path or a logger."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from pathlib import Path
from typing import Any

from keras_regplus._checks import error_text
from keras_regplus._warnings import warn

__all__ = ["Output"]

_OWNER = "EpochDots"
_WIDTH_WITHOUT_TERMINAL = 100
_WIDTH_OF_ODD_TERMINALS = 80


class Output:
    """Writes text, and never raises: what fails costs one warning, or nothing on stdout."""

    def __init__(self, file: Any, logger: Any) -> None:
        self.file, self.logger = _checked_file(file), _checked_logger(logger)
        if file is not None and logger is not None:
            advice = "Use one callback for each place."
            raise ValueError(error_text(_OWNER, "logger", "None beside `file`", logger, advice))
        self._opened: Any = None
        self._has_warned = False

    def write(self, text: str) -> None:
        try:
            if self.logger is not None:
                self.logger.info(text.rstrip("\n"))
            else:
                _print(text, self._stream())
        except Exception as error:
            self._failed(error)

    def width(self) -> int:
        """How many characters a line may have."""
        with contextlib.suppress(Exception):
            stream = self._stream()
            if stream.isatty():
                columns = os.get_terminal_size(stream.fileno()).columns
                # Some terminals go on in the next line when the last column is full.
                return (columns or _WIDTH_OF_ODD_TERMINALS) - 1
        return _WIDTH_WITHOUT_TERMINAL

    def shares_with_keras(self) -> bool:
        """Whether Keras's own lines come to the same place."""
        return self.logger is None and (self.file is None or self.file in (sys.stdout, sys.stderr))

    def close(self) -> None:
        """Let go of a file that was opened here; the next text opens it again."""
        with contextlib.suppress(Exception):
            if self._opened is not None:
                self._opened.close()
        self._opened = None

    def _stream(self) -> Any:
        if self.file is None:
            return sys.stdout
        if not _is_path(self.file):
            return self.file
        if self._opened is None:
            path = Path(self.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._opened = path.open("a", encoding="utf-8")
        return self._opened

    def _failed(self, error: Exception) -> None:
        # A reader of stdout that has left, as `head` does, is no news to anybody.
        if self._has_warned or (self.file is None and self.logger is None):
            return
        self._has_warned = True
        name = "file" if self.logger is None else "logger"
        warn(f"{_OWNER}: `{name}` could not be written ({error!r}). Training goes on without it.")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def __deepcopy__(self, memo: Any) -> Output:
        # The streams of a terminal cannot be copied, and a copy of another would be read by nobody.
        return Output(self.file, self.logger)


def _print(text: str, stream: Any) -> None:
    # Streams of Jupyter send what they have five times a second; flushed after each dot,
    # they would send each dot as a message of its own.
    flush = not hasattr(stream, "flush_interval")
    try:
        print(text, end="", file=stream, flush=flush)
    except UnicodeEncodeError:
        ascii_text = text.encode("ascii", "backslashreplace").decode("ascii")
        print(ascii_text, end="", file=stream, flush=flush)


def _is_path(file: Any) -> bool:
    return isinstance(file, str | os.PathLike)


def _checked_file(file: Any) -> Any:
    rule = "a stream of text, a path or None"
    if _is_path(file):
        if os.path.isdir(file) or not os.fspath(file):
            raise ValueError(error_text(_OWNER, "file", rule, file, "Name a file, not a folder."))
        return file
    is_binary = isinstance(file, io.RawIOBase | io.BufferedIOBase)
    if file is None or (hasattr(file, "write") and not is_binary and not isinstance(file, type)):
        return file
    raise TypeError(error_text(_OWNER, "file", rule, file, 'Use a path such as "run.log".'))


def _checked_logger(logger: Any) -> Any:
    if logger is None or isinstance(logger, logging.Logger | logging.LoggerAdapter):
        return logger
    rule = "a logging.Logger or None"
    advice = "Use `logging.getLogger(name)`."
    raise TypeError(error_text(_OWNER, "logger", rule, logger, advice))
