"""Records of an event file: their frame, and the values that TensorBoard reads from them.

References:
    - [TFRecord](https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details),
      the format of a record.
"""

from __future__ import annotations

import functools
import importlib
import struct
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from keras_regplus.histograms.buckets import Histogram

__all__ = ["Value", "crc32c", "step_record", "version_record"]

Value = Histogram | float


def version_record() -> bytes:
    """The first record of an event file."""
    from tensorboard.compat.proto.event_pb2 import Event

    event = Event(wall_time=time.time(), file_version="brain.Event:2")
    return _framed(event.SerializeToString())


def step_record(
    step: int,
    wall_time: float,
    values: Iterable[tuple[str, Value]],
    descriptions: Mapping[str, str],
) -> bytes:
    """All values of a step in one record, so that they are written together or not at all."""
    # These modules of tensorboard do not load TensorFlow; those that write files do.
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    summary = Summary(
        value=[_summary_value(tag, value, descriptions.get(tag)) for tag, value in values]
    )
    event = Event(wall_time=wall_time, step=step, summary=summary)
    return _framed(event.SerializeToString())


def _summary_value(tag: str, value: Value, description: str | None) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    is_histogram = isinstance(value, Histogram)
    metadata = _metadata("histogram" if is_histogram else "scalar", description)
    return Summary.Value(tag=tag, metadata=metadata, tensor=_tensor(value))


@functools.lru_cache(maxsize=256)
def _metadata(plugin: str, description: str | None) -> Any:
    """The metadata by which TensorBoard decides which tab shows the value."""
    name = f"tensorboard.plugins.{plugin}.metadata"
    create = importlib.import_module(name).create_summary_metadata
    return create(display_name=None, description=description)


def _tensor(value: Value) -> Any:
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_DOUBLE, DT_FLOAT

    if not isinstance(value, Histogram):
        # TensorBoard's server shows no scalars of any other type.
        return TensorProto(dtype=DT_FLOAT, tensor_shape=_shape(()), float_val=[value])
    # One row for each bucket: left edge, right edge, count.
    rows: np.ndarray = np.array((value.edges[:-1], value.edges[1:], value.counts), "<f8").T
    content, shape = rows.tobytes(), _shape(rows.shape)
    return TensorProto(dtype=DT_DOUBLE, tensor_shape=shape, tensor_content=content)


@functools.lru_cache(maxsize=256)
def _shape(sizes: tuple[int, ...]) -> Any:
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in sizes])


def _framed(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


def _masked_crc(data: bytes) -> bytes:
    crc = crc32c(data)
    rotated = crc >> 15 | crc << 17
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)


_CRC_BLOCK = 1024
_CRC_BLOCKS_AT_ONCE = 256


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) of `data`, as in RFC 3720.

    The CRC of a block is the exclusive or of what each byte contributes by itself, and
    that depends only on its value and on how many bytes follow. So one look-up covers
    all bytes of many blocks, instead of a loop under the interpreter lock. The state
    before a block is combined with its first four bytes.
    """
    content = np.frombuffer(data, np.uint8)
    state = 0xFFFFFFFF
    whole = content.size - content.size % _CRC_BLOCK
    heads = _crc_table()[:-5:-1].tolist()
    for start in range(0, whole, _CRC_BLOCK * _CRC_BLOCKS_AT_ONCE):
        end = min(start + _CRC_BLOCK * _CRC_BLOCKS_AT_ONCE, whole)
        for added in _added(content[start:end].reshape(-1, _CRC_BLOCK)):
            for head in heads:
                added ^= head[state & 0xFF]
                state >>= 8
            state = added
    rest = content[whole:].copy()
    # A rest shorter than four bytes absorbs as many bytes of the state; the others shift down.
    head = min(4, rest.size)
    rest[:head] ^= np.frombuffer(struct.pack("<I", state), np.uint8)[:head]
    return state >> 8 * head ^ _added(rest[None])[0] ^ 0xFFFFFFFF


def _added(blocks: np.ndarray) -> list[int]:
    """What the bytes of each block, a row, contribute to the CRC of data that ends with it."""
    following = np.arange(blocks.shape[1] - 1, -1, -1)
    return np.bitwise_xor.reduce(_crc_table()[following, blocks], axis=1).tolist()


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
