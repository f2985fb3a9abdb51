"""The tags of weights."""

from __future__ import annotations

import keras

from keras_regplus.clock.model_parts import unique_paths, weight_paths

__all__ = ["tags_of_weights"]


def tags_of_weights(model: keras.Model, prefix: str = "") -> dict[int, str]:
    """The unique path of each weight by its identity, without `prefix`, as TensorBoard takes it."""
    paths = weight_paths(model)
    tags = (path.removeprefix(prefix).replace(":", "_") for path in paths.values())
    return dict(zip(paths, unique_paths(tags), strict=True))
