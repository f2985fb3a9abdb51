"""What the layers that drop something share: the current rate, the draw, the scale."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_regplus import schedules
from keras_regplus._checks import finite_number
from keras_regplus.clock.scheduled import ScheduledMixin

__all__ = ["RateMixin", "checked_rate", "keep_scale"]

# float16 ends at 65504, and an infinite scale would make the gradient of what is dropped NaN.
_SMALLEST_KEPT = 2.0**-15


class RateMixin(ScheduledMixin):
    """A layer that drops a share `rate` of something while training.

    A subclass sets `rate`, `schedule`, `seed` and `seed_generator` in its constructor. The
    generator is made even at rate 0: the rate may rise, and no generator can be added later.
    """

    _kind = "rate"

    rate: float
    seed: int | None
    seed_generator: keras.random.SeedGenerator

    def _drops(self, training: Any) -> bool:
        """Whether this call can drop anything at all."""
        return bool(training) and (self.schedule is not None or self.rate > 0)

    def _rate_now(self) -> Any:
        """The share to drop in this step, from 0 to 1: a float, or a float32 scalar."""
        if self.schedule is None:
            return self.rate
        rate = ops.cast(self._now(self.rate), "float32") + self._rate_offset()
        return ops.clip(rate, 0.0, 1.0)

    def _drop(self, values: Any, mask_shape: Any, scaled: bool = True) -> Any:
        """Set a share of `values` to 0, and scale the others so that the expectation is kept.

        One number is drawn for each element of `mask_shape`, which broadcasts to `values`. It
        is drawn in float32: half precision has too few numbers for small rates. Dropped values
        are replaced, not multiplied by 0, so that infinite values become 0, too.
        """
        rate = self._rate_now()
        drawn = keras.random.uniform(mask_shape, dtype="float32", seed=self.seed_generator)
        keep, zero = drawn >= rate, ops.zeros((), values.dtype)
        if scaled:
            # A selection before and after the scale: neither pass then ends with the scale,
            # which XLA would write out as an array as large as the values before it adds up.
            # If one draw is for many values, a single selection after the scale is faster.
            if keras.backend.backend() == "jax" and tuple(mask_shape) == tuple(values.shape):
                values = ops.where(keep, values, zero)
            values = values * ops.cast(keep_scale(rate), values.dtype)
        return ops.where(keep, values, zero)

    def _strengths(self) -> dict[str, float]:
        return {} if self.schedule is None else {"": self.rate}

    def get_config(self) -> dict[str, Any]:
        rate = {
            "rate": self.rate,
            "schedule": schedules.serialize(self.schedule),
            "seed": self.seed,
        }
        return {**super().get_config(), **rate, **self._position_config()}  # type: ignore[misc]


def keep_scale(rate: Any) -> Any:
    """What the kept values are multiplied by: `1 / (1 - rate)`, and finite at rate 1."""
    return 1.0 / ops.maximum(1.0 - rate, _SMALLEST_KEPT)


def checked_rate(owner: str, rate: Any) -> float:
    """A share from 0 to 1 as a float, or an error."""
    advice = "Use the share to drop, such as 0.5."
    return finite_number(owner, "rate", rate, minimum=0, maximum=1, advice=advice)
