"""DropConnect: weights that are dropped, not activations."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_regplus._checks import error_text
from keras_regplus.layers._rates import RateMixin, checked_rate
from keras_regplus.schedules import ScheduleLike
from keras_regplus.schedules.serialization import checked_schedule

_LAYERS = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)
_DROPPED = {"kernel", "depthwise_kernel", "pointwise_kernel"}
_KEPT = {"bias"}


@keras.saving.register_keras_serializable(package="keras_regplus")
class DropConnect(RateMixin, keras.layers.Wrapper):
    """Runs a layer with some of its weights set to 0 in training.

    Use it around a large fully connected layer, as the paper does, or a convolution; prefer
    `ScheduledDropout` to drop activations. With a schedule, the callback
    `RegularizationScheduler` must be in the callbacks of `fit`.

    At each call at time t every element of a kernel is set to 0 with probability
    `r = rate * schedule(t)`, the others are multiplied by `1 / (1 - r)`, so the expectation of
    the kernel is kept; `r = 1` gives zeros. `callbacks.actions.RaiseDropout` can add to the
    rate. Biases are never dropped. Outside training the wrapped layer runs as it is, and
    `get_weights()` gives its whole weights. Penalties see the whole kernel. Without a
    schedule the rate is constant.

    The paper differs in three ways: it draws a mask for each example, where this
    layer draws one for the batch; it masks biases, too; and it averages over masks at
    inference by sampling from a normal distribution, where this layer scales in training
    and takes the mean. EfficientNet's "drop connect" is something else: it is `DropPath`.

    Args:
        layer: The layer to run: a Dense, EinsumDense, Conv1D to Conv3D, DepthwiseConv1D or 2D,
            or SeparableConv1D or 2D of Keras, or a subclass without other weights. A layer
            that is quantized or has LoRA weights can be called, but not trained.
        rate: The base rate, from 0 to 1.
        schedule: A schedule of `keras_regplus.schedules`, a Keras
            `LearningRateSchedule` used as a factor, a function, a config, or None for a constant
            rate. A rate above 1 counts as 1. Defaults to None.
        seed: An integer that makes the masks repeatable. Defaults to None.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        inputs: What `layer` takes.
        training: Whether to drop anything. Defaults to False.

    Output shape:
        That of `layer`.

    Raises:
        TypeError: If `layer` is not a layer of these kinds, `rate` is not a number, or
            `schedule` is not a schedule.
        ValueError: If `rate` lies outside 0 to 1, or, when it is built or trained, if `layer`
            has weights other than kernels and a bias.

    Example:
        >>> import keras
        >>> from keras_regplus import layers
        >>> dense = keras.layers.Dense(3, kernel_initializer="ones", bias_initializer="ones")
        >>> dropped = layers.DropConnect(dense, rate=1.0)
        >>> x = keras.ops.ones((1, 2))
        >>> keras.ops.convert_to_numpy(dropped(x, training=True)).tolist()
        [[1.0, 1.0, 1.0]]
        >>> keras.ops.convert_to_numpy(dropped(x)).tolist()
        [[3.0, 3.0, 3.0]]

    References:
        - [Wan et al., "Regularization of Neural Networks using DropConnect"
          (2013)](https://proceedings.mlr.press/v28/wan13.html)
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        rate: float,
        schedule: ScheduleLike = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        layer = _checked_layer(layer)
        # No weights of its own: only the dtype of what comes out matters.
        kwargs.setdefault("dtype", layer.compute_dtype)
        super().__init__(layer, **kwargs)
        self.rate = checked_rate("DropConnect", rate)
        self.schedule = checked_schedule("DropConnect", schedule)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = layer.supports_masking

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        # Weights that Keras itself adds to a layer can be loaded, and used outside training.
        quantized = self.layer.quantization_mode is not None
        if not quantized and not getattr(self.layer, "lora_enabled", False):
            self._check_weights()

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not self._drops(training):
            return self.layer(inputs)
        self._check_weights()
        # All weights are listed, because on JAX the scope hides those of the step. Masks are
        # drawn outside it, because it would discard the new state of the seed generator.
        values = [(variable, self._dropped(variable)) for variable in self.layer.variables]
        with keras.StatelessScope(values, collect_losses=True, initialize_variables=False) as scope:
            outputs = self.layer(inputs)
        for loss in scope.losses:
            self.layer.add_loss(loss)
        return outputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return self.layer.compute_output_shape(input_shape)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return self.layer.compute_mask(inputs, previous_mask)

    def _dropped(self, variable: keras.Variable) -> Any:
        value = ops.convert_to_tensor(variable, dtype=variable.dtype)
        return self._drop(value, variable.shape) if variable.name in _DROPPED else value

    def _check_weights(self) -> None:
        names = {variable.name for variable in self.layer.variables}
        if not names <= _DROPPED | _KEPT:
            rule = "a layer with kernels and a bias only"
            received = f"{self.layer.name!r} with {', '.join(sorted(names))}"
            advice = "Wrap the plain layer; merge or remove what was added to it before training."
            raise ValueError(f"DropConnect: `layer` must be {rule}, got {received}. {advice}")


def _checked_layer(layer: Any) -> keras.layers.Layer:
    if not isinstance(layer, _LAYERS):
        rule = f"one of {', '.join(kind.__name__ for kind in _LAYERS)}"
        advice = "Use `ScheduledDropout` after a layer of another kind."
        if isinstance(layer, type):
            advice = f"Pass a layer, not its class: `DropConnect({layer.__name__}(10), 0.5)`."
        raise TypeError(error_text("DropConnect", "layer", rule, layer, advice))
    return layer
