"""The distributions of weights side by side: buckets, shares, what is chosen and refused."""

from __future__ import annotations

import keras
import matplotlib
import ml_dtypes
import numpy as np
import pytest

from keras_regplus.plots import plot_weights

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def closed_figures():
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


def model_with(*kernels, name="network"):
    """Dense layers with these kernels, and biases of 5."""
    model = keras.Sequential([keras.Input((len(kernels[0]),))], name=name)
    for number, kernel in enumerate(kernels):
        layer = keras.layers.Dense(len(kernel[0]), name=f"dense_{number}")
        model.add(layer)
        layer.set_weights([np.array(kernel), np.full(len(kernel[0]), 5.0)])
    return model


def shares(ax):
    (stairs,) = ax.patches
    return list(stairs.get_data().values)


def edges(ax):
    return list(ax.patches[0].get_data().edges)


def test_the_weights_of_a_model_are_counted_together():
    figure = plot_weights(model_with([[0.0, 1.0]], [[2.0], [4.0]]), buckets=4)
    (ax,) = figure.axes
    assert edges(ax) == [0, 1, 2, 3, 4]
    assert shares(ax) == [0.25, 0.25, 0.25, 0.25]
    assert ax.get_title() == "network\n4 weights, deviation 1.48"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Weight", "Share of the weights")


def test_all_models_have_the_same_buckets_and_axes():
    small, large = model_with([[0.0, 1.0]]), model_with([[4.0, 4.0, 3.5, -4.0]])
    left, right = plot_weights({"small": small, "large": large}, buckets=2).figure.axes
    assert edges(left) == edges(right) == [-4, 0, 4]
    assert (shares(left), shares(right)) == ([0, 1], [0.25, 0.75])
    assert (left.get_xlim(), left.get_ylim()) == (right.get_xlim(), right.get_ylim())
    assert [ax.get_title().split("\n")[0] for ax in (left, right)] == ["small", "large"]


@pytest.mark.parametrize(
    ("include", "number"),
    [
        ("dense_1/kernel", 2),
        ("kernel$", 4),
        ("bias", 3),
        (None, 7),
        ("dense_0", 4),
        (keras.layers.Dense, 7),
    ],
)
def test_paths_and_layers_choose_the_weights(include, number):
    figure = plot_weights(model_with([[0.0, 1.0]], [[2.0], [4.0]]), include)
    assert figure.axes[0].get_title().split("\n")[1].startswith(f"{number} weights")


def test_a_dict_of_arrays_stands_for_a_model():
    arrays = {"a/kernel": [[1.0, 2.0]], "a/bias": [9.0], "b/kernel": np.array([3.0, 5.0])}
    (ax,) = plot_weights({"own": arrays}, buckets=4).axes
    assert edges(ax) == [1, 2, 3, 4, 5]
    assert shares(ax) == [0.25, 0.25, 0.25, 0.25]


def test_values_that_are_not_finite_are_counted_apart():
    arrays = {"kernel": [0.0, 2.0, np.nan, np.inf]}
    (ax,) = plot_weights({"a": arrays}, buckets=2).axes
    assert (edges(ax), shares(ax)) == ([0, 1, 2], [0.5, 0.5])
    assert ax.get_title() == "a\n4 weights, deviation 1, 2 not finite"


def test_a_model_without_finite_weights_has_an_empty_panel():
    (left, right) = plot_weights(
        {"a": {"kernel": [np.nan]}, "b": {"kernel": [1.0, 3.0]}}, buckets=2
    ).axes
    assert (shares(left), shares(right)) == ([0, 0], [0.5, 0.5])
    assert left.get_title() == "a\n1 weights, 1 not finite"


def test_equal_weights_have_a_bucket_that_can_be_seen():
    (ax,) = plot_weights({"a": {"kernel": np.zeros(3)}}, buckets=2).axes
    assert (edges(ax), shares(ax)) == ([-0.5, 0, 0.5], [0, 1])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, "float16", "float64", "int32", "bool"])
def test_numbers_of_any_type_are_counted(dtype):
    arrays = {"1/kernel": np.array([0, 1]).astype(dtype), "2/kernel": np.ones(2, "float16")}
    (ax,) = plot_weights({"a": arrays}, buckets=2).axes
    assert (edges(ax), shares(ax)) == ([0, 0.5, 1], [0.25, 0.75])


def test_more_than_four_models_go_on_in_a_second_line():
    figure = plot_weights({str(n): {"kernel": [0.0, 1.0]} for n in range(5)})
    assert len(figure.axes) == 5
    rows = {ax.get_subplotspec().rowspan.start for ax in figure.axes}
    assert rows == {0, 1}
    figure.canvas.draw()
    assert all(ax.xaxis.get_ticklabels()[0].get_visible() for ax in figure.axes)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ([3], TypeError, "`models` must be a model or a dict of name to model, got 3. Pass"),
        ([{}], ValueError, "`models` must be a model or a dict of name to model, got {}. Pass"),
        ([{"a": [1.0]}], TypeError, "`models` must be models or dicts of name to array, got"),
        (
            [{"a": {"bias": [1.0]}}],
            ValueError,
            "`include` must be a choice .+ got 'kernel\\$'. .+ bias.",
        ),
        ([{"a": {}}], ValueError, "`include` must be a choice .+ These are there: none."),
        ([{"a": {"kernel": [1.0]}}, "("], ValueError, "`include` must be a regular .+ got '\\('."),
        ([{"a": {"kernel": [1.0]}}, 5], TypeError, "`include` must be a regular .+, got 5. Use"),
        ([{"a": {"kernel": [1.0]}}, None, 0], ValueError, "`buckets` must be a whole .+, got 0."),
    ],
    ids=[str(number) for number in range(8)],
)
def test_what_has_no_weights_to_draw_is_refused(arguments, error, message):
    with pytest.raises(error, match=f"^plot_weights: {message}"):
        plot_weights(*arguments)
