"""The scalars in TensorBoard event files, read without TensorFlow."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from keras_regplus.histories.epochs import History, Points, from_points, numbered_by
from keras_regplus.histories.metric_names import keras_name

__all__ = ["read_event_files"]

# Records have a length and its checksum in front, and a checksum behind.
_HEAD, _TAIL = 12, 4
# Larger records hold images or weights: they are skipped unread.
_LARGEST = 2**20
_KERAS_PREFIX = "epoch_"


def read_event_files(files: Sequence[tuple[str, str]]) -> History:
    """The history in the event files of one run, given as pairs of a path and a folder's split."""
    points: dict[tuple[str, str], Points] = {}
    records = 0
    for path, split in files:
        with open(path, "rb") as file:
            for event in _events(file):
                records += 1
                _collect(event, split, points)
    if not records:
        names = ", ".join(os.path.basename(path) for path, _ in files)
        raise ValueError(f"no complete record in {names}")
    return _history(points)


def _history(points: dict[tuple[str, str], Points]) -> History:
    # Lightning says at each step which epoch it is; Keras counts steps of `epoch_` in epochs.
    epochs = next((values for (tag, _), values in points.items() if tag == "epoch"), None)
    if epochs is not None:
        points = {
            key: numbered_by(values, epochs) for key, values in points.items() if key[0] != "epoch"
        }
    by_keras = any(tag == f"{_KERAS_PREFIX}loss" for tag, _ in points)
    prefix = _KERAS_PREFIX if by_keras else ""
    series = [
        (*keras_name(tag.removeprefix(prefix), split), values)
        for (tag, split), values in points.items()
        if tag.startswith(prefix)
    ]
    return from_points(series, are_epochs=by_keras or epochs is not None)


def _events(file: BinaryIO) -> Iterator[Any]:
    """What a file holds up to its end or to the first record that is torn."""
    # This module of tensorboard loads no TensorFlow.
    from tensorboard.compat.proto.event_pb2 import Event

    for record in _records(file):
        try:
            event = Event.FromString(record)
        # What is raised is a matter of protobuf, whose types have no stubs.
        except Exception:
            return
        yield event


def _records(file: BinaryIO) -> Iterator[bytes]:
    size = os.fstat(file.fileno()).st_size
    while len(head := file.read(_HEAD)) == _HEAD:
        (length,) = struct.unpack_from("<Q", head)
        if file.tell() + length + _TAIL > size:
            return
        if length > _LARGEST:
            file.seek(length + _TAIL, os.SEEK_CUR)
        else:
            yield file.read(length + _TAIL)[:length]


def _collect(event: Any, split: str, points: dict[tuple[str, str], Points]) -> None:
    """Add the scalars of an event to the points of their tag and split."""
    for value in event.summary.value:
        number = _scalar(value)
        if number is None:
            continue
        series = points.setdefault((value.tag, split), [])
        # A training that was resumed, or started again: what was written later counts.
        while series and series[-1][0] >= event.step:
            series.pop()
        series.append((event.step, number))


def _scalar(value: Any) -> float | None:
    """The number in a summary, in the form of torch or in that of TensorFlow 2; else None."""
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return float(value.simple_value)
    if kind != "tensor" or value.metadata.plugin_data.plugin_name != "scalars":
        return None
    return _number_in(value.tensor)


def _number_in(tensor: Any) -> float | None:
    from tensorboard.compat.proto import types_pb2 as types

    if tensor.dtype == types.DT_FLOAT:
        values = tensor.float_val or np.frombuffer(tensor.tensor_content, "<f4")
    elif tensor.dtype == types.DT_DOUBLE:
        values = tensor.double_val or np.frombuffer(tensor.tensor_content, "<f8")
    else:
        return None
    return float(values[0]) if len(values) == 1 else None
