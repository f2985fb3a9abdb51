"""All weights at one moment, read with little delay for the training.

Backends differ in how long a tensor stays valid, so this file names them: TensorFlow keeps
what was read when the variable changes, torch overwrites its tensors in place, and JAX
deletes them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import ml_dtypes
import numpy as np

__all__ = ["WeightReader", "host_view", "is_on_host"]

# Keras has no function of its own for what is done here.
_BACKEND = keras.backend.backend()

# From so many variables on, one function that reads all of them is faster.
_MANY = 64


class WeightReader:
    """Reads weights, and keeps the function that reads the same ones again."""

    def __init__(self) -> None:
        self._weights: list[int] = []
        self._read_all: Callable[[], list[Any]] | None = None

    def tensors(self, weights: Sequence[Any]) -> list[Any]:
        """The current tensors, without copies: use them before the training continues."""
        if _BACKEND == "torch":
            return [weight.value.detach() for weight in weights]
        if _BACKEND == "tensorflow":
            if len(weights) < _MANY:
                with contextlib.suppress(Exception):
                    return [_read_by_tensorflow(weight.value) for weight in weights]
            with contextlib.suppress(Exception):
                return self._read_all_by_tensorflow(weights)
        return [weight.value for weight in weights]

    def _read_all_by_tensorflow(self, weights: Sequence[Any]) -> list[Any]:
        """Read all in one call, since each eager read takes as long as a copy of 64 kB."""
        import tensorflow

        identity = [id(weight) for weight in weights]
        if self._read_all is None or self._weights != identity:
            variables = [weight.value for weight in weights]
            self._weights = identity
            # A concrete function skips the look-up of a trace at each call.
            self._read_all = tensorflow.function(
                lambda: [tensorflow.identity(variable) for variable in variables], autograph=False
            ).get_concrete_function()
        return list(self._read_all())


def _read_by_tensorflow(variable: Any) -> Any:
    """The operation that `read_value` ends in, in half of its time."""
    import tensorflow

    return tensorflow.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)


def is_on_host(tensor: Any) -> bool:
    """Whether the tensor is in main memory."""
    if _BACKEND == "jax":
        return all(device.platform == "cpu" for device in tensor.devices())
    if _BACKEND == "torch":
        return tensor.device.type == "cpu"
    return "CPU" in getattr(tensor, "device", "CPU")


def host_view(tensor: Any) -> np.ndarray:
    """An array of real numbers, without a copy if the tensor is in main memory."""
    if _BACKEND == "torch" and tensor.device.type == "cpu":
        array = _view_by_torch(tensor)
    else:
        array = np.asarray(tensor)
    if not np.can_cast(array.dtype, np.float64, "same_kind"):
        raise TypeError(f"{array.dtype} values are not real numbers")
    return array


def _view_by_torch(tensor: Any) -> np.ndarray:
    import torch

    name = str(tensor.dtype).partition(".")[2]
    if not hasattr(ml_dtypes, name):
        return tensor.numpy()
    # torch cannot convert these types to NumPy, but their bits are those of ml_dtypes.
    bits = torch.uint8 if tensor.element_size() == 1 else torch.int16
    return tensor.view(bits).numpy().view(getattr(ml_dtypes, name))
