"""What the scheduled regularizers share: equality, saving, and the sums of their penalties."""

from __future__ import annotations

import json
from typing import Any

import keras
from keras import ops

from keras_regplus import schedules
from keras_regplus.clock.scheduled import ScheduledMixin
from keras_regplus.schedules.serialization import describe, equality_key

__all__ = ["ScheduledNorms", "ScheduledRegularizer", "scaled"]


class ScheduledRegularizer(ScheduledMixin, keras.regularizers.Regularizer):
    """Equality, copies and saving; a subclass defines `__call__` and `_arguments`."""

    def _arguments(self) -> dict[str, Any]:
        """The arguments of a subclass as plain JSON values, without the schedule."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        schedule = {"schedule": schedules.serialize(self.schedule)}
        return {**self._arguments(), **schedule, **self._position_config()}

    def _key(self) -> tuple[Any, ...]:
        # Not the config, since a function as a schedule has none.
        arguments = json.dumps(self._arguments(), sort_keys=True)
        return type(self), arguments, equality_key(self.schedule)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ScheduledRegularizer) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        arguments = "".join(f"{name}={value!r}, " for name, value in self._arguments().items())
        return f"{type(self).__name__}({arguments}schedule={describe(self.schedule)})"

    def __getstate__(self) -> dict[str, Any]:
        # A copy is independent: it keeps the place where it was copied, not the clock.
        state = {k: v for k, v in self.__dict__.items() if k != "_clock_ref"}
        clock = self._live_clock()
        if clock is not None:
            state["_position"] = clock.position()
        return state


class ScheduledNorms(ScheduledRegularizer):
    """`l1 * sum(|x|) + l2 * sum(x^2)`, times the factor."""

    l1: float = 0.0
    l2: float = 0.0

    def __call__(self, x: Any) -> Any:
        x = _wide(x)
        penalties = []
        if self.l1:
            penalties.append(scaled(self._now(self.l1), _sum_of_absolutes(x)))
        if self.l2:
            penalties.append(scaled(self._now(self.l2), ops.sum(ops.square(x))))
        return sum(penalties[1:], penalties[0]) if penalties else ops.zeros((), dtype=x.dtype)


def scaled(strength: Any, norm: Any) -> Any:
    """`strength * norm` in the dtype of the norm."""
    # TensorFlow multiplies only tensors of one dtype; a Python number goes with any.
    if hasattr(strength, "dtype") and strength.dtype != getattr(norm, "dtype", strength.dtype):
        strength = ops.cast(strength, norm.dtype)
    return strength * norm


def _wide(x: Any) -> Any:
    """`x` in a dtype whose sums do not overflow; float16 does at 300 x 300 ones."""
    x = x if hasattr(x, "dtype") else ops.convert_to_tensor(x)
    return ops.cast(x, "float32") if "float16" in str(x.dtype) else x


def _sum_of_absolutes(x: Any) -> Any:
    x = ops.convert_to_tensor(x)
    # The gradient of `abs` at 0 is 1 on JAX, which would keep zeros from staying zero.
    return ops.sum(ops.abs(ops.where(ops.equal(x, 0), ops.zeros_like(x), x)))
