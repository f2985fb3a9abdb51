"""TensorBoard event files, written by a thread of their own and without TensorFlow."""

from __future__ import annotations

import queue
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from keras_regplus.histograms._records import Value
from keras_regplus.histograms.event_file import EventFile

__all__ = ["EventWriter"]

# Far more than a slow disk needs; a disk that hangs must not hold a training for ever.
_PATIENCE_SECONDS = 30.0


class EventWriter:
    """Writes histograms and scalars into an event file, in a thread of its own.

    Use it to log outside of `fit`. What was handed over is on disk
    when `close` returns; an interpreter that exits and a writer that is dropped
    close themselves. An error while writing never reaches the caller: it is
    kept in `error`, and the writer goes on in a new file.

    Args:
        folder: Folder of the event file, made if it is missing; local, or a URL
            that the file layer of tensorboard reaches (`s3://` with boto3, the
            schemes of fsspec with fsspec). Most stores cannot append, so there each
            step writes the whole file again.

    Attributes:
        error: The first exception that kept something from being written, or None.

    Example:
        >>> import os, tempfile
        >>> from keras_regplus.histograms import EventWriter, histogram
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     writer = EventWriter(folder)
        ...     writer.add(0, [("dense/kernel/histogram", histogram([1.0, 2.0, 3.0]))])
        ...     writer.close()
        ...     [name.split(".")[2] for name in os.listdir(folder)]
        ['tfevents']
    """

    def __init__(self, folder: str):
        self._file = EventFile(folder)
        self._file.open()
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._last_is_done = threading.Event()
        self._last_is_done.set()
        self._hangs = False
        # A daemon never keeps the interpreter alive, and the finalizer below waits for it.
        worker = threading.Thread(
            target=_work, args=(self._jobs, self._file), name="EventWriter", daemon=True
        )
        worker.start()
        self._finish = weakref.finalize(self, _finish, self._jobs, worker)

    @property
    def error(self) -> Exception | None:
        return self._file.error

    def add(
        self,
        step: int,
        values: Iterable[tuple[str, Value]],
        descriptions: Mapping[str, str] | None = None,
    ) -> None:
        """Hand over pairs of a tag and a histogram or number; the thread consumes a lazy iterable.

        All of them are one record, there as a whole or not at all. `descriptions` by tag
        are shown by TensorBoard beside the tag.
        """
        self._last_is_done = threading.Event()
        self._jobs.put((step, time.time(), values, descriptions or {}, self._last_is_done))

    def wait(self) -> bool:
        """Wait until all that was handed over is written; False where that takes too long.

        A disk that hangs is waited for once: as long as it does, further calls
        return at once.
        """
        self._hangs = not self._last_is_done.wait(0 if self._hangs else _PATIENCE_SECONDS)
        return not self._hangs

    def close(self) -> None:
        """Write what was handed over and close the file. Nothing may be added afterwards."""
        self._finish()


def _work(jobs: queue.SimpleQueue[Any], file: EventFile) -> None:
    while (job := jobs.get()) is not None:
        *record, is_done = job
        file.write_step(*record)
        # An iterable that was given up halfway still holds its arrays.
        del job, record
        is_done.set()
    file.close()


def _finish(jobs: queue.SimpleQueue[Any], worker: threading.Thread) -> None:
    jobs.put(None)
    # The garbage collector may drop a writer in any thread.
    if worker is not threading.current_thread():
        worker.join(_PATIENCE_SECONDS)
