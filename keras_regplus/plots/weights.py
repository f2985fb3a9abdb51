"""The distributions of weights as pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_regplus._checks import count, error_text
from keras_regplus._weight_choice import Choice, WeightRule, checked_choice, is_chosen
from keras_regplus.clock.model_parts import layers_of_weights
from keras_regplus.histograms import histogram
from keras_regplus.plots._drawing import COLORS, pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_weights"]

_OWNER = "plot_weights"
_PANELS_A_LINE = 4


def plot_weights(
    models: keras.Model | Mapping[Any, keras.Model | Mapping[str, ArrayLike]],
    include: Choice | Iterable[Choice] | None = r"kernel$",
    buckets: int = 30,
) -> Figure:
    """Draw the distributions of the weights of several models side by side.

    Use it after training to see what a penalty or dropout has done to the weights.
    All panels have the same buckets and axes, and count shares of the weights, so
    that models of any size can be compared. `callbacks.WeightHistogram` shows one
    model over its epochs.

    Args:
        models: A model, or a dict of name to model; instead of a model also a dict of
            name to array. Each has a panel, in which its weights are counted together.
        include: Which weights: a regular expression that is searched for in their
            paths, such as `"hidden_1/kernel"`, a class of layers, a function of the
            path, a list of these, or None for all. Defaults to `"kernel$"`.
        buckets: Number of buckets, at least 1. Defaults to 30.

    Returns:
        The matplotlib Figure.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If `models` holds something that is neither a model nor a dict of arrays,
            `include` is none of the above, or `buckets` is not a number.
        ValueError: If `models` is empty, `include` is not a valid expression or finds no
            weights of one of them, or `buckets` is not a whole number of at least 1.

    Example:
        >>> import keras, matplotlib
        >>> matplotlib.use("Agg")
        >>> from keras_regplus.plots import plot_weights
        >>> models = {
        ...     name: keras.Sequential([keras.Input((4,)), keras.layers.Dense(units)])
        ...     for name, units in {"small": 2, "large": 16}.items()
        ... }
        >>> figure = plot_weights(models)
        >>> [ax.get_title().splitlines()[0] for ax in figure.axes]
        ['small', 'large']
        >>> matplotlib.pyplot.close(figure)
    """
    buckets = count(_OWNER, "buckets", buckets, advice="Use 30, as TensorBoard does.")
    rule = checked_choice(_OWNER, "include", include)
    weights = {name: _chosen(name, model, rule, include) for name, model in _named(models).items()}
    finite = {name: values[np.isfinite(values)] for name, values in weights.items()}
    edges = _common_edges(list(finite.values()), buckets)
    figure, axes = _panels(len(weights))
    for ax, name, color in zip(axes, weights, COLORS * len(weights), strict=False):
        _draw(ax, finite[name], edges, color)
        ax.set_title(_title(name, weights[name], finite[name]), fontsize="medium", parse_math=False)
    return figure


def _named(models: Any) -> dict[str, Any]:
    if hasattr(models, "weights"):
        return {models.name: models}
    rule, advice = "a model or a dict of name to model", 'Pass for example {"plain": model}.'
    if not isinstance(models, Mapping):
        raise TypeError(error_text(_OWNER, "models", rule, models, advice))
    if not models:
        raise ValueError(error_text(_OWNER, "models", rule, models, advice))
    return {str(name): model for name, model in models.items()}


def _chosen(name: str, model: Any, rule: WeightRule | None, include: Any) -> np.ndarray:
    """All chosen weights of a model in one array."""
    arrays = _arrays(model)
    chosen = [array for path, layers, array in arrays if is_chosen(path, layers, rule)]
    if not sum(array.size for array in chosen):
        paths = ", ".join(path for path, _, _ in arrays) or "none"
        needed = f"a choice that finds weights of {name!r}"
        advice = f"These are there: {paths}."
        raise ValueError(error_text(_OWNER, "include", needed, include, advice))
    # Some types of few bits have no common one, and NumPy counts no truth values.
    return np.concatenate(
        [array.astype(np.result_type(array.dtype, np.float32)).ravel() for array in chosen]
    )


def _arrays(model: Any) -> list[tuple[str, list[Any], np.ndarray]]:
    """Path, layers as far as they are known, and values of each weight."""
    if hasattr(model, "weights"):
        layers = layers_of_weights(model)
        return [
            (weight.path, layers[id(weight)], keras.ops.convert_to_numpy(weight.value))
            for weight in model.weights
        ]
    if isinstance(model, Mapping):
        return [(str(path), [], np.asarray(array)) for path, array in model.items()]
    rule, advice = "models or dicts of name to array", "Pass `model` itself."
    raise TypeError(error_text(_OWNER, "models", rule, model, advice))


def _common_edges(finite: list[np.ndarray], buckets: int) -> np.ndarray:
    bounds = [bound for values in finite if values.size for bound in (values.min(), values.max())]
    low, high = (min(bounds), max(bounds)) if bounds else (0.0, 0.0)
    if low == high:
        # A bucket without width cannot be seen.
        low, high = low - 0.5, high + 0.5
    return histogram([low, high], buckets).edges


def _panels(number: int) -> tuple[Figure, list[Axes]]:
    columns = min(number, _PANELS_A_LINE)
    lines = math.ceil(number / columns)
    figure, axes = pyplot().subplots(
        lines,
        columns,
        figsize=(3 * columns + 0.5, 2.8 * lines),
        layout="constrained",
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for ax in axes.flat[number:]:
        ax.remove()
    for ax in axes[:, 0]:
        ax.set_ylabel("Share of the weights")
    return figure, list(axes.flat[:number])


def _draw(ax: Axes, values: np.ndarray, edges: np.ndarray, color: str) -> None:
    counts, _ = np.histogram(values, edges)
    ax.stairs(counts / max(values.size, 1), edges, fill=True, color=color)
    ax.set_xlabel("Weight")
    # A column may end above the last line.
    ax.tick_params(labelbottom=True)
    ax.grid(True)
    ax.set_axisbelow(True)
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")


def _title(name: str, values: np.ndarray, finite: np.ndarray) -> str:
    deviation = f", deviation {finite.std(dtype=float):.3g}" if finite.size else ""
    lost = f", {values.size - finite.size:,} not finite" if values.size > finite.size else ""
    return f"{name}\n{values.size:,} weights{deviation}{lost}"
