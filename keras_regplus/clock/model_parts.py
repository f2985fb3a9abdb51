"""What is found in a model: its weights with their layers, and what is scheduled.

Private names of Keras used here, tried with 3.12.4 and 3.15.1: `Layer._layers`,
`Layer._trainable_variables`, `Layer._non_trainable_variables`.
`tests/clock/test_model_parts.py` fails when one moves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import keras

__all__ = [
    "Site",
    "ignored_regularizers",
    "layers_of_weights",
    "scheduled_parts",
    "scheduled_sites",
    "unique_paths",
    "weight_paths",
]


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
    """Where every scheduled object of `model` sits that can be found, each under its own path."""
    paths, paths_of_weights = _layer_paths(model), weight_paths(model)
    seen: set[int] = set()
    for layer in _all_layers(model):
        path = paths[id(layer)]
        # A layer asks itself.
        found = [Site(path, layer, layer, "_now")]
        activity = layer.activity_regularizer
        found.append(Site(f"{path}/activity", activity, layer, "activity_regularizer"))
        for weight in _own_weights(layer):
            if id(weight) not in seen:
                seen.add(id(weight))
                regularizer = getattr(weight, "regularizer", None)
                found.append(Site(paths_of_weights[id(weight)], regularizer, weight, "regularizer"))
        yield from (site for site in found if hasattr(site.part, "_bind_clock"))


def ignored_regularizers(model: keras.Model) -> list[str]:
    """Scheduled regularizers that Keras ignores, such as `"net/dense.kernel_regularizer"`.

    They became attributes of a layer that had its weights already. Ask after a step has run:
    what a layer of the user's own computes by itself is known only then.
    """
    paths = _layer_paths(model)
    in_use = {id(site.part) for site in scheduled_sites(model)}
    return [
        f"{paths[id(layer)]}.{name}"
        for layer in _all_layers(model)
        for name, part in vars(layer).items()
        if name.endswith("_regularizer")
        and hasattr(part, "_bind_clock")
        and (id(part) in in_use or getattr(part, "_clock_ref", None) is None)
        and _is_ignored(layer, name, part)
    ]


def layers_of_weights(model: keras.Model) -> dict[int, list[keras.layers.Layer]]:
    """All layers that a weight belongs to, by its identity: a cell and its `LSTM`, for instance."""
    layers: dict[int, list[keras.layers.Layer]] = defaultdict(list)
    for layer in _all_layers(model):
        for weight in layer.weights:
            layers[id(weight)].append(layer)
    return layers


def weight_paths(model: keras.Model) -> dict[int, str]:
    """The path of every weight by its identity, unlike all others.

    This is the name of a weight in all logs, however few of them a log has.
    """
    weights = [
        *model.weights,
        *model.trainable_weights,
        *(weight for layer in _all_layers(model) for weight in _own_weights(layer)),
    ]
    by_identity = {id(weight): weight.path for weight in weights}
    return dict(zip(by_identity, unique_paths(by_identity.values()), strict=True))


def unique_paths(paths: Iterable[str]) -> list[str]:
    """The paths, where those that came before are numbered: `a`, `a_2`, `a_3`."""
    given: dict[str, None] = {}
    for path in paths:
        unique, number = path, 2
        while unique in given:
            unique, number = f"{path}_{number}", number + 1
        given[unique] = None
    return list(given)


def _layer_paths(model: keras.Model) -> dict[int, str]:
    layers = _all_layers(model)
    paths = unique_paths(layer.path or layer.name for layer in layers)
    return dict(zip(map(id, layers), paths, strict=True))


def _all_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The model and all layers in it, once each, in the order in which they were added."""
    found: dict[int, keras.layers.Layer] = {}

    def visit(layer: keras.layers.Layer) -> None:
        if id(layer) not in found:
            found[id(layer)] = layer
            for inner in layer._layers:
                visit(inner)

    visit(model)
    return list(found.values())


def _own_weights(layer: keras.layers.Layer) -> list[Any]:
    return [*layer._trainable_variables, *layer._non_trainable_variables]


def _is_ignored(layer: keras.layers.Layer, name: str, regularizer: Any) -> bool:
    """Whether the layer has a weight for this regularizer, but gave it to none."""
    stem = name.strip("_").removesuffix("_regularizer")
    names = {stem, f"{stem}_kernel", "kernel" if stem == "depthwise" else stem}
    weights = layer.weights if layer.built else []
    is_wanted = any(weight.trainable and weight.name in names for weight in weights)
    return is_wanted and not any(
        getattr(weight, "regularizer", None) == regularizer for weight in weights
    )
