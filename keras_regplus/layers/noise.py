"""Gaussian noise whose strength follows a schedule."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_regplus import schedules
from keras_regplus._checks import finite_number
from keras_regplus.clock.scheduled import ScheduledMixin
from keras_regplus.schedules import ScheduleLike
from keras_regplus.schedules.serialization import checked_schedule


@keras.saving.register_keras_serializable(package="keras_regplus")
class ScheduledGaussianNoise(ScheduledMixin, keras.layers.Layer):
    """Additive Gaussian noise with a standard deviation that follows a schedule.

    Use it on inputs or activations of a known scale, to fade noise out towards the end of
    a training or to bring it in slowly; prefer `keras.layers.GaussianNoise` for a constant
    strength. A change of strength does not recompile the model. The callback
    `RegularizationScheduler` must be in the callbacks of `fit`.

    At time t each value gets a number added, drawn in float32 from a normal distribution
    of mean 0 and standard deviation `stddev * schedule(t)`. Outside training the inputs
    pass through unchanged. Without a schedule the strength is constant.

    Args:
        stddev: The base standard deviation, in units of the inputs, at least 0.
        schedule: A schedule of `keras_regplus.schedules`, a Keras
            `LearningRateSchedule` used as a factor, a function, a config, or None for a
            constant strength. Defaults to None.
        seed: An integer that makes the noise repeatable. Defaults to None.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        inputs: A float tensor of any shape.
        training: Whether to add noise. Defaults to False.

    Output shape:
        That of the inputs.

    Raises:
        TypeError: If `stddev` is not a number, or `schedule` is not a schedule.
        ValueError: If `stddev` is negative, infinite or NaN.

    Example:
        >>> import keras
        >>> from keras_regplus import at, layers, schedules
        >>> noise = layers.ScheduledGaussianNoise(0.1, schedules.Linear(10, start=1, end=0))
        >>> x = keras.ops.ones((2, 4))
        >>> with at(step=10):
        ...     y = noise(x, training=True)
        >>> float(keras.ops.sum(y))
        8.0
    """

    def __init__(
        self, stddev: float, schedule: ScheduleLike = None, seed: int | None = None, **kwargs: Any
    ):
        super().__init__(**kwargs)
        advice = "Use a fraction of the inputs' own deviation, such as 0.1."
        self.stddev = finite_number(
            "ScheduledGaussianNoise", "stddev", stddev, minimum=0, advice=advice
        )
        self.schedule = checked_schedule("ScheduledGaussianNoise", schedule)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or self.stddev == 0:
            return inputs
        drawn = keras.random.normal(ops.shape(inputs), dtype="float32", seed=self.seed_generator)
        return inputs + ops.cast(drawn * self._stddev_now(), inputs.dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        noise = {
            "stddev": self.stddev,
            "schedule": schedules.serialize(self.schedule),
            "seed": self.seed,
        }
        return {**super().get_config(), **noise, **self._position_config()}

    def _stddev_now(self) -> Any:
        return self.stddev if self.schedule is None else self._now(self.stddev)

    def _strengths(self) -> dict[str, float]:
        return {} if self.schedule is None else {"": self.stddev}
