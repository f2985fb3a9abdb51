"""DropBlock: dropout of contiguous regions, for feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import ops

from keras_regplus._checks import boolean, count, error_text, one_of
from keras_regplus.layers import _block_masks as masks
from keras_regplus.layers._rates import RateMixin, checked_rate, keep_scale
from keras_regplus.schedules import ScheduleLike
from keras_regplus.schedules.serialization import checked_schedule


class _DropBlock(RateMixin, keras.layers.Layer):
    """DropBlock on maps of `_rank` axes."""

    _rank: int

    def __init__(
        self,
        rate: float,
        block_size: int | Sequence[int],
        schedule: ScheduleLike = None,
        *,
        exact_rate: bool = False,
        shared_mask: bool = False,
        data_format: Literal["channels_last", "channels_first"] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        owner = type(self).__name__
        self.rate = checked_rate(owner, rate)
        self.block_size = _checked_blocks(owner, self._rank, block_size)
        self.schedule = checked_schedule(owner, schedule)
        self.exact_rate = boolean(
            owner, "exact_rate", exact_rate, advice="Use True to drop just the share asked for."
        )
        self.shared_mask = boolean(
            owner, "shared_mask", shared_mask, advice="Use True for one mask for all channels."
        )
        self.data_format = one_of(
            owner,
            "data_format",
            keras.config.image_data_format() if data_format is None else data_format,
            ("channels_last", "channels_first"),
            advice="Leave it out for the format that Keras is set to.",
        )
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        rank = self._rank + 2
        if len(input_shape) != rank:
            owner = type(self).__name__
            rule = f"of rank {rank}: batch, channels and {self._rank} axes of a map"
            advice = "Choose DropBlock1D, 2D or 3D by the rank of the map."
            raise ValueError(error_text(owner, "inputs", rule, tuple(input_shape), advice))
        self.input_spec = keras.layers.InputSpec(ndim=rank)

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not self._drops(training):
            return inputs
        dropped = self._draw(ops.shape(inputs))
        share = ops.mean(ops.cast(dropped, "float32"))
        kept = inputs * ops.cast(keep_scale(share), inputs.dtype)
        return ops.where(dropped, ops.zeros_like(kept), kept)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        names = ("block_size", "exact_rate", "shared_mask", "data_format")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def _draw(self, shape: Any) -> Any:
        """True where something is dropped; of size 1 along the channels of a shared mask."""
        first, channels = (1, -1) if self.data_format == "channels_last" else (2, 1)
        axes = range(first, first + self._rank)
        sizes = [shape[axis] for axis in axes]
        blocks = [masks.clipped(*pair) for pair in zip(self.block_size, sizes, strict=True)]
        drawn_shape = list(shape)
        if self.shared_mask:
            drawn_shape[channels] = 1
        for axis, size, block in zip(axes, sizes, blocks, strict=True):
            drawn_shape[axis] = masks.positions(size, block)
        # Half precision has too few numbers for the small probabilities here.
        drawn = keras.random.uniform(drawn_shape, dtype="float32", seed=self.seed_generator)
        drawn = masks.padded(drawn, axes, blocks)
        cells = drawn < masks.block_probability(self._rate_now(), sizes, blocks, self.exact_rate)
        for axis, size, block in zip(axes, sizes, blocks, strict=True):
            cells = masks.cover(cells, axis, size, block)
        return cells


@keras.saving.register_keras_serializable(package="keras_regplus")
class DropBlock1D(_DropBlock):
    """DropBlock for sequences: drops runs of neighbouring steps.

    Use it after convolutions over time. See `DropBlock2D` for how blocks are drawn and
    what is kept is scaled.

    Args:
        rate: The base rate, from 0 to 1.
        block_size: Length of a run in steps, at least 1; cut to the sequence's length. An
            integer, or a tuple of one.
        schedule: What the rate follows, as for `ScheduledDropout`. Defaults to None.
        exact_rate: Whether to allow for runs that overlap. Defaults to False.
        shared_mask: Whether all channels are dropped together. Defaults to False.
        data_format: `"channels_last"` for `(batch, steps, channels)`, `"channels_first"` for
            `(batch, channels, steps)`. Defaults to None, what Keras is set to.
        seed: An integer that makes the masks repeatable. Defaults to None.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        inputs: A float tensor of rank 3.
        training: Whether to drop anything. Defaults to False.

    Output shape:
        That of the inputs.

    Raises:
        TypeError: If `rate` or `block_size` is not a number, `schedule` is not a schedule, or
            `exact_rate` or `shared_mask` is not a boolean.
        ValueError: If `rate` lies outside 0 to 1, `block_size` is not a whole number of at
            least 1 or has the wrong length, `data_format` is unknown, or `inputs` have
            another rank.

    Example:
        >>> import keras
        >>> from keras_regplus import layers
        >>> drop = layers.DropBlock1D(0.1, block_size=5)
        >>> tuple(drop(keras.ops.ones((2, 50, 4)), training=True).shape)
        (2, 50, 4)

    References:
        - [Ghiasi et al., "DropBlock: A regularization method for convolutional networks"
          (2018)](https://arxiv.org/abs/1810.12890)
    """

    _rank = 1


@keras.saving.register_keras_serializable(package="keras_regplus")
class DropBlock2D(_DropBlock):
    """Dropout of contiguous blocks of a feature map.

    Use it in convolutional networks, where neighbouring values carry the same information
    and dropping single ones hides little. The paper raises the rate from 0 during training,
    as `schedules.LinearWarmup` does; that needs the callback `RegularizationScheduler` in
    the callbacks of `fit`. A change of rate does not recompile the model.

    Blocks lie wholly inside the map, at other places in each sample, and begin at every
    possible place with the same probability. The paper's formula for this probability
    ignores overlaps, so less than the rate is dropped: 0.36 for a rate of 0.5 on a map of
    14 by 14 with blocks of 7. `exact_rate=True` solves for the probability at which the mean
    share dropped is the rate. At rate 1 everything is dropped either way. As in the paper,
    kept values are multiplied by the number of all cells over that of the kept ones, both
    counted over the whole batch. Masks are drawn in float32. Outside training the inputs
    pass through unchanged.

    Args:
        rate: The base rate, from 0 to 1: the share of cells to drop.
        block_size: Height and width of a block in cells, at least 1; cut to those of the map.
            An integer, or a tuple of two.
        schedule: What the rate follows, as for `ScheduledDropout`. Defaults to None.
        exact_rate: Whether to allow for blocks that overlap. Defaults to False.
        shared_mask: Whether all channels are dropped together. Defaults to False, a mask
            for each channel, which the paper found to work better.
        data_format: `"channels_last"` for `(batch, height, width, channels)`,
            `"channels_first"` for `(batch, channels, height, width)`. Defaults to None, what
            Keras is set to.
        seed: An integer that makes the masks repeatable. Defaults to None.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        inputs: A float tensor of rank 4.
        training: Whether to drop anything. Defaults to False.

    Output shape:
        That of the inputs.

    Raises:
        TypeError: If `rate` or `block_size` is not a number, `schedule` is not a schedule, or
            `exact_rate` or `shared_mask` is not a boolean.
        ValueError: If `rate` lies outside 0 to 1, `block_size` is not a whole number of at
            least 1 or has the wrong length, `data_format` is unknown, or `inputs` have
            another rank.

    Example:
        >>> import keras
        >>> from keras_regplus import layers, schedules
        >>> drop = layers.DropBlock2D(0.1, block_size=7, schedule=schedules.LinearWarmup(1000))
        >>> maps = keras.ops.ones((2, 14, 14, 4))
        >>> bool(keras.ops.all(drop(maps) == maps))
        True

    References:
        - [Ghiasi et al., "DropBlock: A regularization method for convolutional networks"
          (2018)](https://arxiv.org/abs/1810.12890)
    """

    _rank = 2


@keras.saving.register_keras_serializable(package="keras_regplus")
class DropBlock3D(_DropBlock):
    """DropBlock for volumes and videos: drops cuboids.

    Use it after three-dimensional convolutions. See `DropBlock2D` for how blocks are drawn
    and what is kept is scaled.

    Args:
        rate: The base rate, from 0 to 1.
        block_size: Edges of a block in cells, at least 1; cut to those of the map. An integer,
            or a tuple of three.
        schedule: What the rate follows, as for `ScheduledDropout`. Defaults to None.
        exact_rate: Whether to allow for blocks that overlap. Defaults to False.
        shared_mask: Whether all channels are dropped together. Defaults to False.
        data_format: `"channels_last"` for `(batch, depth, height, width, channels)`,
            `"channels_first"` for `(batch, channels, depth, height, width)`. Defaults to None,
            what Keras is set to.
        seed: An integer that makes the masks repeatable. Defaults to None.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        inputs: A float tensor of rank 5.
        training: Whether to drop anything. Defaults to False.

    Output shape:
        That of the inputs.

    Raises:
        TypeError: If `rate` or `block_size` is not a number, `schedule` is not a schedule, or
            `exact_rate` or `shared_mask` is not a boolean.
        ValueError: If `rate` lies outside 0 to 1, `block_size` is not a whole number of at
            least 1 or has the wrong length, `data_format` is unknown, or `inputs` have
            another rank.

    Example:
        >>> import keras
        >>> from keras_regplus import layers
        >>> drop = layers.DropBlock3D(0.1, block_size=(1, 3, 3))
        >>> tuple(drop(keras.ops.ones((1, 4, 8, 8, 2)), training=True).shape)
        (1, 4, 8, 8, 2)

    References:
        - [Ghiasi et al., "DropBlock: A regularization method for convolutional networks"
          (2018)](https://arxiv.org/abs/1810.12890)
    """

    _rank = 3


def _checked_blocks(owner: str, rank: int, block_size: Any) -> tuple[int, ...]:
    advice = "Use the edge of a block in cells, such as 7."
    if not isinstance(block_size, (tuple, list)):
        block_size = (block_size,) * rank
    if len(block_size) != rank:
        rule = f"a whole number, or {rank} of them"
        raise ValueError(error_text(owner, "block_size", rule, block_size, advice))
    return tuple(count(owner, "block_size", edge, advice=advice) for edge in block_size)
