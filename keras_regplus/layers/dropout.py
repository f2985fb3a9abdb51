"""Dropout whose rate follows a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_regplus._checks import error_text
from keras_regplus.layers._rates import RateMixin, checked_rate
from keras_regplus.schedules import ScheduleLike
from keras_regplus.schedules.serialization import checked_schedule

# On TensorFlow Keras draws its mask in the dtype of the inputs; these are too coarse for it.
_HALF = ("bfloat16", "float16")


@keras.saving.register_keras_serializable(package="keras_regplus")
class ScheduledDropout(RateMixin, keras.layers.Dropout):
    """Dropout with a rate that follows a schedule inside the compiled step.

    Use it to bring dropout in slowly, or to fade it out; prefer
    `keras.layers.Dropout` for a constant rate. A change of rate does not recompile
    the model. The callback `RegularizationScheduler` must be in the callbacks of `fit`.

    At time t each value is set to 0 with probability `r = rate * schedule(t)`, the
    others are multiplied by `1 / (1 - r)`, so the expectation is kept; `r = 1` gives
    zeros. `callbacks.actions.RaiseDropout` can add to the rate. Outside training the
    inputs pass through unchanged. The mask is drawn in float32, so small rates are exact
    in half precision, too.

    Without a schedule the rate is constant. In float32 the layer then gives the same bits
    as Keras's own Dropout with the same seed on the same backend. In half precision it does
    not: at a rate of 0.1 % in bfloat16, Keras on TensorFlow drops 0.8 %, and this layer
    0.1 %.

    Args:
        rate: The base rate, from 0 to 1.
        schedule: A schedule of `keras_regplus.schedules`, a Keras
            `LearningRateSchedule` used as a factor, a function, a config, or None for a constant
            rate. A rate above 1 counts as 1. Defaults to None.
        noise_shape: Shape of the mask, a tuple with None for the size of the inputs. Along an
            axis of size 1 all values are dropped together: `(None, 1, None)` drops whole
            features of a sequence `(batch, time, features)`. Defaults to None, the shape of
            the inputs.
        seed: An integer that makes the masks repeatable. Defaults to None.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        inputs: A float tensor of any shape.
        training: Whether to drop anything. Defaults to False.

    Output shape:
        That of the inputs.

    Raises:
        TypeError: If `rate` is not a number, or `schedule` is not a schedule.
        ValueError: If `rate` lies outside 0 to 1, or `noise_shape` is not a tuple of positive
            whole numbers and None.

    Example:
        >>> import keras
        >>> from keras_regplus import at, layers, schedules
        >>> dropout = layers.ScheduledDropout(0.5, schedules.LinearWarmup(10))
        >>> x = keras.ops.ones((2, 4))
        >>> with at(step=0):
        ...     y = dropout(x, training=True)
        >>> float(keras.ops.sum(y))
        8.0

    References:
        - [Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from
          Overfitting" (2014)](https://jmlr.org/papers/v15/srivastava14a.html)
    """

    def __init__(
        self,
        rate: float,
        schedule: ScheduleLike = None,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        rate = checked_rate("ScheduledDropout", rate)
        noise_shape = _checked_noise_shape(noise_shape)
        # At rate 0 Keras makes no seed generator, and none can be added later.
        super().__init__(rate or 1.0, noise_shape=noise_shape, seed=seed, **kwargs)
        self.rate = rate
        self.schedule = checked_schedule("ScheduledDropout", schedule)

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not self._drops(training):
            return inputs
        if self.schedule is None and keras.backend.standardize_dtype(inputs.dtype) not in _HALF:
            return super().call(inputs, training=training)
        return self._drop(inputs, self._mask_shape(inputs))

    def _mask_shape(self, inputs: Any) -> tuple[Any, ...]:
        sizes = ops.shape(inputs)
        if self.noise_shape is None:
            return sizes
        return tuple(
            size if wanted is None else wanted
            for wanted, size in zip(self.noise_shape, sizes, strict=True)
        )


def _checked_noise_shape(noise_shape: Any) -> tuple[int | None, ...] | None:
    if noise_shape is None:
        return None
    sizes = tuple(noise_shape) if isinstance(noise_shape, (tuple, list)) else None
    if sizes is None or not all(
        size is None or (isinstance(size, int) and not isinstance(size, bool) and size > 0)
        for size in sizes
    ):
        raise ValueError(
            error_text(
                "ScheduledDropout",
                "noise_shape",
                "None or a tuple of positive whole numbers and None",
                noise_shape,
                "Use (None, 1, None) to drop whole features of a sequence.",
            )
        )
    return sizes
