"""Stochastic depth: residual branches that are dropped as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import ops

from keras_regplus._checks import boolean, count, error_text, finite_number, one_of
from keras_regplus.layers._rates import RateMixin, checked_rate
from keras_regplus.schedules import ScheduleLike
from keras_regplus.schedules.serialization import checked_schedule


@keras.saving.register_keras_serializable(package="keras_regplus")
class DropPath(RateMixin, keras.layers.Layer):
    """Drops a whole residual branch at random: stochastic depth.

    Use it at the end of a residual branch, just before the branch is added to its
    shortcut: `x + DropPath(0.1)(branch(x))`. A sample whose branch is dropped sees a
    shallower network. Rates usually rise from block to block; `drop_path_rates` gives them.
    With a schedule, the callback `RegularizationScheduler` must be in the callbacks of `fit`.

    At time t the branch is set to 0 with probability `r = rate * schedule(t)`, otherwise it is
    multiplied by `1 / (1 - r)`, so the expectation is kept; `r = 1` gives zeros.
    `callbacks.actions.RaiseDropout` can add to the rate. Outside training the inputs pass
    through unchanged. Without a schedule the rate is constant.

    The paper draws once for a batch and scales the branch at inference, by `1 - r`. Today it
    is common to draw for each sample and to scale in training, which is the default here.

    Args:
        rate: The base rate, from 0 to 1.
        schedule: A schedule of `keras_regplus.schedules`, a Keras
            `LearningRateSchedule` used as a factor, a function, a config, or None for a constant
            rate. A rate above 1 counts as 1. Defaults to None.
        per: What is drawn for: `"sample"`, each row of the batch by itself, or `"batch"`, all
            rows together, as in the paper. Defaults to `"sample"`.
        scale_by_keep: Whether a branch that is kept is scaled up in training. If False, the
            expectation is not kept. Defaults to True.
        seed: An integer that makes the draws repeatable. Defaults to None.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        inputs: A float tensor of any rank from 1, the batch first.
        training: Whether to drop anything. Defaults to False.

    Output shape:
        That of the inputs.

    Raises:
        TypeError: If `rate` is not a number, `schedule` is not a schedule, or `scale_by_keep`
            is not a boolean.
        ValueError: If `rate` lies outside 0 to 1, `per` is unknown, or `inputs` have no batch
            axis.

    Example:
        >>> import keras, numpy as np
        >>> from keras_regplus import layers
        >>> branch = keras.ops.ones((1000, 2))
        >>> y = layers.DropPath(0.5)(branch, training=True)
        >>> np.unique(keras.ops.convert_to_numpy(y), axis=0).tolist()
        [[0.0, 0.0], [2.0, 2.0]]

    References:
        - [Huang et al., "Deep Networks with Stochastic Depth"
          (2016)](https://arxiv.org/abs/1603.09382)
    """

    def __init__(
        self,
        rate: float,
        schedule: ScheduleLike = None,
        per: Literal["sample", "batch"] = "sample",
        scale_by_keep: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.rate = checked_rate("DropPath", rate)
        self.schedule = checked_schedule("DropPath", schedule)
        self.per = one_of(
            "DropPath",
            "per",
            per,
            ("sample", "batch"),
            advice='Use "sample", unless you follow the paper of 2016.',
        )
        self.scale_by_keep = boolean(
            "DropPath",
            "scale_by_keep",
            scale_by_keep,
            advice="Use True to keep the expectation.",
        )
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if len(input_shape) == 0:
            rule = "a tensor with a batch axis"
            raise ValueError(
                error_text("DropPath", "inputs", rule, input_shape, "Add the axis in front.")
            )

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not self._drops(training):
            return inputs
        draws = ops.shape(inputs)[0] if self.per == "sample" else 1
        mask_shape = (draws, *[1] * (len(inputs.shape) - 1))
        return self._drop(inputs, mask_shape, scaled=self.scale_by_keep)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {"per": self.per, "scale_by_keep": self.scale_by_keep}
        return {**super().get_config(), **own}


def drop_path_rates(
    depths: int | Sequence[int],
    max_rate: float,
    start: Literal["zero", "step"] = "zero",
) -> list[Any]:
    """The rate of each block's `DropPath`: linear in the depth, `max_rate` at the last block.

    Use it when you build a network, to give each block its rate.

    Args:
        depths: The number of blocks, or a list with the number of blocks of each stage.
        max_rate: The rate of the last block, from 0 to 1.
        start: The rate of the first of n blocks: `"zero"` for 0, as in timm, or `"step"` for
            `max_rate / n`, as in the paper, where the input counts as block 0. Defaults to
            `"zero"`.

    Returns:
        A list of rates; for stages a list of such lists.

    Raises:
        TypeError: If `max_rate` or an entry of `depths` is not a number.
        ValueError: If `max_rate` lies outside 0 to 1, `depths` is empty or has an entry that
            is not a whole number of at least 1, or `start` is unknown.

    Example:
        >>> from keras_regplus.layers import drop_path_rates
        >>> drop_path_rates(3, 0.2)
        [0.0, 0.1, 0.2]
        >>> drop_path_rates([1, 2], 0.2)
        [[0.0], [0.1, 0.2]]
        >>> drop_path_rates(2, 0.5, start="step")
        [0.25, 0.5]

    References:
        - [Huang et al., "Deep Networks with Stochastic Depth"
          (2016)](https://arxiv.org/abs/1603.09382)
    """
    advice = "Use the rate of the last block, such as 0.1."
    max_rate = finite_number(
        "drop_path_rates", "max_rate", max_rate, minimum=0, maximum=1, advice=advice
    )
    one_of(
        "drop_path_rates", "start", start, ("zero", "step"), advice='Use "zero" to begin with 0.'
    )
    stages = _checked_depths(depths)
    rates = _linear(sum(stages), max_rate, start)
    if not isinstance(depths, Sequence):
        return rates
    ends = [sum(stages[: i + 1]) for i in range(len(stages))]
    return [rates[end - stage : end] for stage, end in zip(stages, ends, strict=True)]


def _linear(blocks: int, max_rate: float, start: str) -> list[float]:
    if start == "step":
        return [max_rate * (block / blocks) for block in range(1, blocks + 1)]
    return [max_rate * (block / max(blocks - 1, 1)) for block in range(blocks)]


def _checked_depths(depths: Any) -> list[int]:
    advice = "Use the number of blocks, or a list with one for each stage."
    if isinstance(depths, str) or (isinstance(depths, Sequence) and not depths):
        rule = "a whole number or a list of them"
        raise ValueError(error_text("drop_path_rates", "depths", rule, depths, advice))
    stages = depths if isinstance(depths, Sequence) else [depths]
    return [count("drop_path_rates", "depths", stage, advice=advice) for stage in stages]
