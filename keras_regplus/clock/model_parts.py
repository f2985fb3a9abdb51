"""What is found in a model: its weights with their layers, and what is scheduled.

Private names of Keras used here, tried with 3.12.4 and 3.15.1: `Layer._flatten_layers`,
`Layer._trainable_variables`, `Layer._non_trainable_variables`.
`tests/grid/test_clock.py` fails when one moves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

__all__ = ["Site", "layers_of_weights", "scheduled_parts", "scheduled_sites"]


class Site(NamedTuple):
    """Where a scheduled object sits: what asks it, under which attribute."""

    path: str
    part: Any
    owner: Any
    name: str


def scheduled_parts(model: keras.Model) -> Iterator[tuple[str, Any]]:
    """Every scheduled object of `model` that can be found, with the path of its owner.

    What is not found, a regularizer inside a user's own one for instance, is as
    exact as the rest: a step's context is what counts.
    """
    for site in scheduled_sites(model):
        yield site.path, site.part


def scheduled_sites(model: keras.Model) -> Iterator[Site]:
    """Where every scheduled object of `model` sits that can be found."""
    for layer in model._flatten_layers():
        path = layer.path or layer.name
        # A layer asks itself.
        found = [Site(path, layer, layer, "_now")]
        activity = layer.activity_regularizer
        found.append(Site(f"{path}/activity", activity, layer, "activity_regularizer"))
        for variable in layer._trainable_variables + layer._non_trainable_variables:
            regularizer = getattr(variable, "regularizer", None)
            found.append(Site(variable.path, regularizer, variable, "regularizer"))
        yield from (site for site in found if hasattr(site.part, "_bind_clock"))


def layers_of_weights(model: keras.Model) -> dict[int, list[keras.layers.Layer]]:
    """All layers that a weight belongs to, by its identity: a cell and its `LSTM`, for instance."""
    layers: dict[int, list[keras.layers.Layer]] = defaultdict(list)
    for layer in model._flatten_layers():
        for weight in layer.weights:
            layers[id(weight)].append(layer)
    return layers
