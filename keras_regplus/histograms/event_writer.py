"""TensorBoard event files, written by a thread of their own and without TensorFlow."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import queue
import socket
import struct
import threading
import time
import weakref
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np

from keras_regplus.histograms.buckets import Histogram

__all__ = ["EventWriter", "crc32c"]

# Far more than a slow disk needs; a disk that hangs must not hold a training for ever.
_PATIENCE_SECONDS = 30.0

# Readers follow the files of a folder in the order of their names.
_file_numbers = itertools.count()


class EventWriter:
    """Writes histograms into an event file of `folder`, in a thread of its own.

    Use it to log histograms outside of `fit`. What was handed over is on disk
    when `close` returns; an interpreter that exits and a writer that is dropped
    close themselves. An error while writing never reaches the caller: it is
    kept in `error`, and the writer goes on in a new file.

    Args:
        folder: Local folder of the event file, made if it is missing.

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

    References:
        - [TFRecord](https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details),
          the format of a record.
    """

    def __init__(self, folder: str):
        self._file = _EventFile(folder)
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

    def add(self, step: int, histograms: Iterable[tuple[str, Histogram]]) -> None:
        """Hand over pairs of a tag and a histogram; the thread consumes a lazy iterable."""
        self._last_is_done = threading.Event()
        self._jobs.put((step, time.time(), histograms, self._last_is_done))

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


def _work(jobs: queue.SimpleQueue[Any], file: _EventFile) -> None:
    while (job := jobs.get()) is not None:
        step, wall_time, histograms, is_done = job
        file.write_step(step, wall_time, histograms)
        # An iterable that was given up halfway still holds its arrays.
        del job, histograms
        is_done.set()
    file.close()


def _finish(jobs: queue.SimpleQueue[Any], worker: threading.Thread) -> None:
    jobs.put(None)
    # The garbage collector may drop a writer in any thread.
    if worker is not threading.current_thread():
        worker.join(_PATIENCE_SECONDS)


class _EventFile:
    """Event file that is given up for a new one when a write fails.

    Readers stop at a torn record, and all that is appended to it stays invisible.
    """

    def __init__(self, folder: str):
        self.error: Exception | None = None
        self._folder = os.path.abspath(folder)
        self._stream: BinaryIO | None = None

    def open(self) -> None:
        try:
            self._stream = self._new_stream()
        except Exception as error:
            self._give_up(error)

    def write_step(
        self, step: int, wall_time: float, histograms: Iterable[tuple[str, Histogram]]
    ) -> None:
        try:
            self._leave_deleted_file()
            for tag, histogram in histograms:
                self._write(_record(_histogram_event(tag, histogram, step, wall_time)))
        except Exception as error:
            self._give_up(error)

    def close(self) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.close()
            self._stream = None

    def _leave_deleted_file(self) -> None:
        if self._stream is not None and not os.path.exists(self._stream.name):
            self._give_up(FileNotFoundError(f"{self._stream.name} was deleted"))

    def _give_up(self, error: Exception) -> None:
        # The frames of a traceback would keep the arrays alive that were being counted.
        self.error = self.error or error.with_traceback(None)
        self.close()

    def _write(self, record: bytes) -> None:
        try:
            self._append(record)
        except OSError as error:
            # The trouble may be with this file alone: one more try, in a new one.
            self._give_up(error)
            self._append(record)

    def _append(self, record: bytes) -> None:
        if self._stream is None:
            self._stream = self._new_stream()
        _write_all(self._stream, record)

    def _new_stream(self) -> BinaryIO:
        os.makedirs(self._folder, exist_ok=True)
        path = os.path.join(self._folder, _file_name())
        stream = _open_stream(path)
        try:
            _write_all(stream, _record(_version_event()))
        except BaseException:
            # On a full disk each step would leave an empty file behind.
            stream.close()
            os.unlink(path)
            raise
        return stream


def _open_stream(path: str) -> BinaryIO:
    # Unbuffered: each record is with the operating system at once, should the process be killed.
    return open(path, "xb", buffering=0)


def _write_all(stream: BinaryIO, record: bytes) -> None:
    if stream.write(record) != len(record):
        raise OSError(f"{stream.name} takes no more data")


def _file_name() -> str:
    where = f"{socket.gethostname()}.{os.getpid()}"
    return f"events.out.tfevents.{int(time.time()):010d}.{where}.{next(_file_numbers):06d}"


def _version_event() -> bytes:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString()


def _histogram_event(tag: str, histogram: Histogram, step: int, wall_time: float) -> bytes:
    # These modules load no TensorFlow; those of tensorboard that write files do.
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.histogram.metadata import create_summary_metadata

    value = Summary.Value(
        tag=tag,
        metadata=create_summary_metadata(display_name=None, description=None),
        tensor=_tensor(histogram),
    )
    return Event(wall_time=wall_time, step=step, summary=Summary(value=[value])).SerializeToString()


def _tensor(histogram: Histogram) -> Any:
    """One row for each bucket: left edge, right edge, count."""
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_DOUBLE

    rows = np.stack((histogram.edges[:-1], histogram.edges[1:], histogram.counts), axis=1)
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in rows.shape])
    content = rows.astype("<f8").tobytes()
    return TensorProto(dtype=DT_DOUBLE, tensor_shape=shape, tensor_content=content)


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


def _masked_crc(data: bytes) -> bytes:
    crc = crc32c(data)
    rotated = crc >> 15 | crc << 17
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)


_CRC_BLOCK = 1024


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) of `data`, as in RFC 3720.

    The CRC of a block is the exclusive or of what each byte adds by itself, and
    that depends only on its value and on how many bytes follow: one look-up for
    all bytes of a block at once, instead of a loop under the interpreter lock.
    """
    state = 0xFFFFFFFF
    for start in range(0, len(data), _CRC_BLOCK):
        block = np.frombuffer(bytearray(data[start : start + _CRC_BLOCK]), np.uint8)
        # The state of four bytes is added to the next four, and what is left of it moves on.
        head = min(4, block.size)
        block[:head] ^= np.frombuffer(struct.pack("<I", state), np.uint8)[:head]
        following = np.arange(block.size - 1, -1, -1)
        added = np.bitwise_xor.reduce(_crc_table()[following, block])
        state = state >> 8 * head ^ int(added)
    return state ^ 0xFFFFFFFF


@functools.cache
def _crc_table() -> np.ndarray:
    """Row `n`, column `b`: what a byte `b` adds to the CRC when `n` bytes follow."""
    row: np.ndarray = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        row = row >> 1 ^ (row & 1) * np.uint32(0x82F63B78)
    table = np.empty((_CRC_BLOCK, 256), np.uint32)
    table[0] = row
    for n in range(1, _CRC_BLOCK):
        table[n] = table[n - 1] >> 8 ^ row[table[n - 1] & 0xFF]
    return table
