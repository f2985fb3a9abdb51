"""TensorBoard event files, written by a thread of their own and without TensorFlow."""

from __future__ import annotations

import queue
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from keras_regplus.histograms.buckets import Histogram
from keras_regplus.histograms.event_file import EventFile

__all__ = ["EventWriter"]

# Far longer than a slow disk needs; a disk that hangs must not stop a training forever.
_PATIENCE_SECONDS = 30.0


class EventWriter:
    """Writes histograms and scalars into an event file, in a thread of its own.

    Use it to log outside of `fit`. When `close` returns, everything added before is on
    disk; a writer closes itself when it is garbage collected or the interpreter exits. An
    error while writing is not raised: it is kept in `error`, and the writer continues in a
    new file.

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
        values: Iterable[tuple[str, Histogram | float]],
        descriptions: Mapping[str, str] | None = None,
    ) -> None:
        """Add the values of one step; the thread of the writer writes them.

        They become one record, which is written as a whole or not at all.

        Args:
            step: The step that TensorBoard shows them at, a whole number of at least 0.
            values: Pairs of a tag and a `Histogram` or a number. A lazy iterable is
                consumed in the thread of the writer.
            descriptions: Text that TensorBoard shows beside a tag, by tag. Defaults to
                None: no text.

        Returns:
            None, at once. What goes wrong later is kept in `error`.

        Example:
            >>> import tempfile
            >>> from keras_regplus.histograms import EventWriter
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     writer = EventWriter(folder)
            ...     writer.add(1, [("loss", 0.5)], descriptions={"loss": "On the test set."})
            ...     writer.close()
        """
        self._last_is_done = threading.Event()
        self._jobs.put((step, time.time(), values, descriptions or {}, self._last_is_done))

    def wait(self) -> bool:
        """Wait until everything added is written.

        It waits for at most 30 seconds. After a call that gave up, further calls return at
        once until the disk responds again.

        Returns:
            Whether everything is written.

        Example:
            >>> import tempfile
            >>> from keras_regplus.histograms import EventWriter
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     writer = EventWriter(folder)
            ...     writer.add(1, [("loss", 0.5)])
            ...     writer.wait()
            ...     writer.close()
            True
        """
        self._hangs = not self._last_is_done.wait(0 if self._hangs else _PATIENCE_SECONDS)
        return not self._hangs

    def close(self) -> None:
        """Write everything added, and close the file.

        It waits for at most 30 seconds. Nothing may be added afterwards; a second call does
        nothing.

        Returns:
            None. Look at `error` for what could not be written.

        Example:
            >>> import tempfile
            >>> from keras_regplus.histograms import EventWriter
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     writer = EventWriter(folder)
            ...     writer.close()
            ...     writer.error is None
            True
        """
        self._finish()


def _work(jobs: queue.SimpleQueue[Any], file: EventFile) -> None:
    while (job := jobs.get()) is not None:
        *record, is_done = job
        file.write_step(*record)
        # An iterable that was left half consumed still holds its arrays.
        del job, record
        is_done.set()
    file.close()


def _finish(jobs: queue.SimpleQueue[Any], worker: threading.Thread) -> None:
    jobs.put(None)
    # The garbage collector may drop a writer in any thread.
    if worker is not threading.current_thread():
        worker.join(_PATIENCE_SECONDS)
