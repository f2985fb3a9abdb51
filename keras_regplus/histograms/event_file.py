"""Event files: a new one is begun when one can no longer be written."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import time
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, Protocol

from keras_regplus.histograms._records import Value, step_record, version_record

__all__ = ["EventFile", "is_remote", "remote_problem"]

# Readers follow the files of a folder in the order of their names.
_file_numbers = itertools.count()


class _Stream(Protocol):
    path: str

    def append(self, record: bytes) -> None: ...

    def exists(self) -> bool: ...

    def discard(self) -> None: ...

    def close(self) -> None: ...


class EventFile:
    """An event file that is replaced by a new one when a write fails.

    Readers stop at a torn record, so anything appended after one would stay invisible.
    """

    def __init__(self, folder: str):
        self.error: Exception | None = None
        self._folder = folder if is_remote(folder) else os.path.abspath(folder)
        self._stream: _Stream | None = None
        self._holds_records = False

    def open(self) -> None:
        """Make the folder and the file; a failure is kept in `error`."""
        try:
            self._stream = self._new_stream()
        except Exception as error:
            self._give_up(error)

    def write_step(
        self,
        step: int,
        wall_time: float,
        values: Iterable[tuple[str, Value]],
        descriptions: Mapping[str, str],
    ) -> None:
        """Append the values of a step, all or none; a failure is kept in `error`."""
        try:
            record = step_record(step, wall_time, values, descriptions)
        except Exception as error:
            self._note(error)
            return
        try:
            if self._stream is not None and not self._stream.exists():
                self._give_up(FileNotFoundError(f"{self._stream.path} was deleted"))
            self._write(record)
        except Exception as error:
            self._give_up(error)

    def close(self) -> None:
        if self._stream is not None:
            with contextlib.suppress(Exception):
                self._stream.close()
            self._stream = None

    def _write(self, record: bytes) -> None:
        try:
            self._append(record)
        except Exception as error:
            # The problem may be with this file alone: try once more, in a new one.
            self._give_up(error)
            self._append(record)

    def _append(self, record: bytes) -> None:
        if self._stream is None:
            self._stream = self._new_stream()
        self._stream.append(record)
        self._holds_records = True

    def _note(self, error: Exception) -> None:
        # The frames of a traceback would keep the arrays alive that were being counted.
        self.error = self.error or error.with_traceback(None)

    def _give_up(self, error: Exception) -> None:
        self._note(error)
        if self._stream is not None and not self._holds_records:
            # On a full disk each step would leave an empty file behind.
            with contextlib.suppress(Exception):
                self._stream.discard()
        self.close()

    def _new_stream(self) -> _Stream:
        path = f"{self._folder}/{_file_name()}"
        stream: _Stream = _RemoteFile(path) if is_remote(path) else _LocalFile(path)
        self._holds_records = False
        try:
            stream.append(version_record())
        except BaseException:
            stream.discard()
            raise
        return stream


class _LocalFile:
    def __init__(self, path: str):
        self.path = path
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._file = _opened(path)

    def append(self, record: bytes) -> None:
        if self._file.write(record) != len(record):
            raise OSError(f"{self.path} takes no more data")

    def exists(self) -> bool:
        return os.path.exists(self.path)

    def discard(self) -> None:
        self.close()
        os.unlink(self.path)

    def close(self) -> None:
        self._file.close()


def _opened(path: str) -> BinaryIO:
    # Unbuffered, so that the operating system has each record even if the process is killed.
    return open(path, "xb", buffering=0)


class _RemoteFile:
    """A file in a store that the file layer of tensorboard reaches."""

    def __init__(self, path: str):
        self.path = path
        layer = _file_layer()
        layer.makedirs(path.rpartition("/")[0])
        self._file = layer.GFile(path, "wb")

    def append(self, record: bytes) -> None:
        self._file.write(record)
        self._file.flush()

    def exists(self) -> bool:
        # To ask costs a request, and files in a store rarely vanish as those of a folder do.
        return True

    def discard(self) -> None:
        # The file layer cannot delete.
        self.close()

    def close(self) -> None:
        self._file.close()


def is_remote(path: str) -> bool:
    return "://" in path


def remote_problem(path: str) -> str | None:
    """Why the file layer does not reach a remote path, or None."""
    try:
        _file_layer().get_filesystem(path)
    except Exception as error:
        return str(error)
    return None


def _file_layer() -> Any:
    # The replacement for TensorFlow's file layer in tensorboard; it does not load TensorFlow.
    from tensorboard.compat.tensorflow_stub.io import gfile

    return gfile


def _file_name() -> str:
    where = f"{socket.gethostname()}.{os.getpid()}"
    return f"events.out.tfevents.{int(time.time()):010d}.{where}.{next(_file_numbers):06d}"
