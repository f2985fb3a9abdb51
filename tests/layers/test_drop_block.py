"""DropBlock: whole blocks inside of the map, the share asked for, the mean kept."""

from __future__ import annotations

import itertools
import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_regplus import at
from keras_regplus.callbacks import RegularizationScheduler
from keras_regplus.clock import wiring
from keras_regplus.layers import DropBlock1D, DropBlock2D, DropBlock3D, _block_masks
from keras_regplus.schedules import Constant, LinearWarmup

BACKEND = keras.backend.backend()
LAYERS = {1: DropBlock1D, 2: DropBlock2D, 3: DropBlock3D}

# Odd and even blocks, H != W, blocks of one cell, and longer than the map on one axis or all.
MAPS = [
    ((12,), (5,)),
    ((12,), (4,)),
    ((3,), (9,)),
    ((8, 8), (3, 3)),
    ((9, 5), (4, 3)),
    ((4, 10), (7, 2)),
    ((4, 5), (40, 40)),
    ((6, 6), (1, 1)),
    # Compiling takes most of the time, and this shares its code with the others.
    pytest.param((5, 4, 6), (3, 2, 3), marks=pytest.mark.grid),
]


def drop(size, block, rate=0.3, maps=2000, channels=2, dtype="float32", **arguments):
    """What comes out where ones go in, as an array of maps."""
    layer = LAYERS[len(size)](rate, block, dtype=dtype, **arguments)
    y = layer(ops.ones((maps, *size, channels), dtype=dtype), training=True)
    return np.moveaxis(ops.convert_to_numpy(ops.cast(y, "float32")), -1, 1)


def blocks_of(size, block):
    """Every block that lies inside of a map, as slices; placed one by one."""
    edges = [min(pair) for pair in zip(size, block, strict=True)]
    starts = [range(cells - edge + 1) for cells, edge in zip(size, edges, strict=True)]
    for corner in itertools.product(*starts):
        yield tuple(slice(a, a + edge) for a, edge in zip(corner, edges, strict=True))


def covering(size, block):
    """How many blocks cover each cell."""
    count = np.zeros(size)
    for where in blocks_of(size, block):
        count[where] += 1
    return count


def paper_gamma(rate, size, block):
    """Equation 1 of the paper, for maps and blocks that need not be square."""
    edges = np.minimum(size, block)
    return rate / np.prod(edges) * np.prod(size) / np.prod(np.array(size) - edges + 1)


# Five standard errors of the mean of as many independent maps: once in 1.7 million.
def assert_mean(values, expected):
    error = values.std(axis=0) / math.sqrt(len(values)) + 1e-6
    np.testing.assert_array_less(np.abs(values.mean(axis=0) - expected), 5 * error)


@pytest.mark.parametrize(("size", "block"), MAPS, ids=str)
def test_whole_blocks_inside_of_the_map_are_dropped(size, block):
    dropped = drop(size, block, seed=1) == 0
    in_blocks = np.zeros_like(dropped)
    for where in blocks_of(size, block):
        cells = (slice(None), slice(None), *where)
        whole = dropped[cells].all(axis=tuple(range(2, dropped.ndim)), keepdims=True)
        in_blocks[cells] |= whole
    assert 0 < dropped.mean() < 1
    np.testing.assert_array_equal(dropped, in_blocks)


@pytest.mark.parametrize(("size", "block"), MAPS, ids=str)
def test_blocks_begin_at_each_place_with_the_probability_of_the_paper(size, block):
    dropped = (drop(size, block, seed=2) == 0).reshape(-1, *size).astype(float)
    gamma = paper_gamma(0.3, size, block)
    assert_mean(dropped, 1 - (1 - gamma) ** covering(size, block))


@pytest.mark.parametrize(("size", "block"), MAPS, ids=str)
def test_exact_rate_drops_the_share_asked_for(size, block):
    dropped = drop(size, block, 0.5, exact_rate=True, seed=3) == 0
    assert_mean(dropped.reshape(-1, np.prod(size)).mean(axis=1), 0.5)


@pytest.mark.parametrize(
    ("size", "edge"),
    [((14, 14), 7), ((7, 7), 11), ((64, 5), 2), ((200,), 11), ((12, 12, 12), 7)],
    ids=str,
)
def test_exact_rate_solves_for_the_share_of_every_rate(size, edge):
    counts = covering(size, (edge,) * len(size))
    edges = np.minimum(size, edge).tolist()
    for rate in (1e-5, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999):
        gamma = float(_block_masks.block_probability(rate, size, edges, exact=True))
        share = -np.expm1(counts * np.log1p(-gamma)).mean()
        assert share == pytest.approx(rate, rel=1e-4)


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5])
def test_the_paper_drops_less_than_asked_for_and_exact_rate_does_not(rate):
    size, block = (14, 14), (7, 7)
    paper = 1 - np.mean((1 - paper_gamma(rate, size, block)) ** covering(size, block))
    for exact, expected in ((False, paper), (True, rate)):
        dropped = drop(size, block, rate, exact_rate=exact, seed=4) == 0
        assert_mean(dropped.reshape(-1, 196).mean(axis=1), expected)
    assert paper < 0.94 * rate


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9])
def test_the_mean_is_kept_over_the_batch(rate, dtype):
    y = drop((8, 6), (3, 2), rate, dtype=dtype, exact_rate=True, seed=5)
    assert_mean((y == 0).reshape(-1, 48).mean(axis=1), rate)
    # One rounding of the scale in the dtype, and of the share in float32, at most.
    unit = {"float32": 2**-22, "float16": 2**-10, "bfloat16": 2**-7}[dtype]
    unit += 2**-22 / (1 - rate)
    np.testing.assert_allclose(y[y != 0], y.size / np.count_nonzero(y), rtol=unit)
    np.testing.assert_allclose(y.mean(dtype="float64"), 1, rtol=unit)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("schedule", [None, Constant()], ids=["constant", "scheduled"])
def test_the_ends(schedule, exact):
    x = np.array([[np.nan, np.inf, 1.0, -2.0]] * 20, "float32")[..., None]
    for rate, expected in ((0.0, x), (1.0, np.zeros_like(x))):
        layer = DropBlock1D(rate, 2, schedule, exact_rate=exact)
        with at(step=0):
            y = layer(x, training=True)
        np.testing.assert_array_equal(ops.convert_to_numpy(y), expected)


def test_what_is_not_finite_stays_where_it_is_kept():
    for value in (np.inf, np.nan):
        x = np.full((100, 6, 1), value, "float32")
        y = ops.convert_to_numpy(DropBlock1D(0.5, 2, seed=6)(x, training=True))
        assert 0 < (y == 0).mean() < 1
        np.testing.assert_array_equal(y[y != 0], value)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    ("size", "data_format"),
    [
        ((9,), "channels_last"),
        ((9, 6), "channels_last"),
        ((9, 6), "channels_first"),
        pytest.param((4, 5, 6), "channels_first", marks=pytest.mark.grid),
    ],
    ids=str,
)
def test_channels_share_a_mask_or_have_their_own(size, data_format, shared):
    shape = (200, 3, *size) if data_format == "channels_first" else (200, *size, 3)
    layer = LAYERS[len(size)](
        0.3, 2, shared_mask=shared, data_format=data_format, exact_rate=True, seed=7
    )
    y = ops.convert_to_numpy(layer(ops.ones(shape), training=True))
    if data_format == "channels_last":
        y = np.moveaxis(y, -1, 1)
    assert (y[:, 0] == y[:, 1]).all() == shared
    assert (y != y[:1]).any()
    maps = y[:, 0] if shared else y
    assert_mean((maps == 0).reshape(-1, np.prod(size)).mean(axis=1), 0.3)


def test_inference_is_the_identity_to_the_bit():
    x = np.random.default_rng(0).normal(size=(4, 6, 5, 2)).astype("float32")
    for training in (False, None):
        y = DropBlock2D(0.5, 3, LinearWarmup(10))(x, training=training)
        np.testing.assert_array_equal(ops.convert_to_numpy(y), x)


def test_masks_can_be_repeated():
    one, two = (DropBlock2D(0.3, 3, seed=11) for _ in range(2))
    x = ops.ones((8, 9, 9, 2))
    first, second, again = (
        ops.convert_to_numpy(layer(x, training=True)) for layer in (one, one, two)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()
    unseeded = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        unseeded.append(ops.convert_to_numpy(DropBlock2D(0.3, 3)(x, training=True)))
    np.testing.assert_array_equal(*unseeded)


class Counted(DropBlock2D):
    """Counts how often it is called from Python: compiled steps do not."""

    calls = 0

    def call(self, inputs, training=False):
        self.calls += 1
        return super().call(inputs, training=training)


MAP = (4, 4, 1000)


def block_model(layer, input_shape=MAP, **compile_arguments):
    """Its loss is the share dropped; it has a weight, for an optimizer to count updates of."""
    inputs = keras.Input(input_shape)
    nothing = keras.layers.Conv2D(1, 1, kernel_initializer="zeros")(inputs)
    model = keras.Model(inputs, layer(inputs) + nothing)
    model.compile(
        keras.optimizers.SGD(0.0),
        # The second summand is 0; torch refuses a loss without a gradient.
        loss=lambda y, p: ops.mean(ops.cast(ops.equal(p, 0), "float32")) + 0 * ops.mean(p),
        **compile_arguments,
    )
    return model


class Losses(keras.callbacks.Callback):
    """The loss of each step."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_begin(self, epoch, logs=None):
        self.total = 0.0

    def on_train_batch_end(self, batch, logs=None):
        total = float(logs["loss"]) * (batch + 1)
        self.seen.append(total - self.total)
        self.total = total


# torch.compile takes half a minute for the smallest model, with plain Keras too.
COMPILED = pytest.param(
    {"jit_compile": True}, marks=[pytest.mark.slow] if BACKEND == "torch" else []
)


@pytest.mark.parametrize("compile_arguments", [{}, COMPILED], ids=str)
def test_the_rate_follows_the_schedule_in_a_compiled_fit(compile_arguments):
    layer = Counted(0.8, 4, LinearWarmup(4), exact_rate=True, seed=5)
    model, losses = block_model(layer, **compile_arguments), Losses()
    x = np.ones((40, *MAP), "float32")
    fit = {"batch_size": 10, "verbose": 0, "callbacks": [RegularizationScheduler(), losses]}
    model.fit(x, x, **fit)
    calls = layer.calls
    model.fit(x, x, **fit)
    # Blocks are as large as a map: the share is that of 10 x 1000 independent maps.
    for step, share in enumerate(losses.seen):
        rate = 0.8 * min(step / 4, 1)
        assert share == pytest.approx(rate, abs=5 * math.sqrt(rate * (1 - rate) / 10_000) + 1e-4)
    # On torch a step runs as it stands, and where it is compiled its side effects are repeated.
    assert layer.calls - calls == (4 if BACKEND == "torch" else 0)
    assert model.evaluate(x[:10], x[:10], verbose=0) == 0.0


def test_what_an_action_adds_to_rates_is_added():
    layer = DropBlock2D(0.2, 4, Constant(), seed=8)
    model, losses = block_model(layer), Losses()
    x = np.ones((10, *MAP), "float32")
    for raised in (0.0, 0.3):
        wiring.attach(model).set_rate_offset(raised)
        model.fit(x, x, batch_size=10, verbose=0, callbacks=[RegularizationScheduler(), losses])
    assert losses.seen == pytest.approx([0.2, 0.5], abs=5 * 0.5 / 100)


@pytest.mark.parametrize("exact", [False, True])
def test_maps_of_any_size(exact):
    layer = DropBlock2D(0.3, (2, 4), Constant(), exact_rate=exact, seed=9)
    model = block_model(layer, (None, None, 1000))
    for height, width in ((6, 5), (1, 3)):
        losses = Losses()
        x = np.ones((20, height, width, 1000), "float32")
        callbacks = [RegularizationScheduler(), losses]
        model.fit(x, x, batch_size=20, verbose=0, callbacks=callbacks)
        gamma = paper_gamma(0.3, (height, width), (2, 4))
        paper = 1 - np.mean((1 - gamma) ** covering((height, width), (2, 4)))
        # A share lies between 0 and 1, so its variance is at most rate * (1 - rate).
        assert losses.seen == pytest.approx([0.3 if exact else paper], abs=5 * 0.46 / 141)


def test_gradients_pass_where_something_is_kept_and_are_scaled():
    inputs = keras.Input((6, 5, 2))
    # A convolution without a bias, of one weight: a factor.
    factor = keras.layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones")
    outputs = DropBlock2D(0.3, 2, seed=10)(factor(inputs[..., :1]))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(0.25), loss=lambda y, p: ops.mean(p))
    x = np.ones((16, 6, 5, 2), "float32")
    model.fit(x, x, batch_size=16, verbose=0)
    # The mean is kept whatever is dropped, so its derivative is 1.
    assert ops.convert_to_numpy(factor.kernel).item() == pytest.approx(0.75, rel=1e-5)


def test_a_mask_of_time_steps_passes():
    masked = keras.layers.Masking()(ops.ones((2, 5, 3)))
    dropped = DropBlock1D(0.3, 2)(masked, training=True)
    assert ops.convert_to_numpy(keras.ops.convert_to_tensor(dropped._keras_mask)).all()


def test_symbolic_calls_and_shapes():
    layer = DropBlock2D(0.3, 3)
    assert layer(keras.Input((None, 7, 2)), training=True).shape == (None, None, 7, 2)
    assert layer.compute_output_shape((None, None, 7, 2)) == (None, None, 7, 2)
    assert layer.get_weights() == []


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.data runs TensorFlow's operations only")
def test_it_runs_in_a_pipeline_of_tf_data():
    import tensorflow as tf

    layer = DropBlock2D(0.5, 2, exact_rate=True, seed=1)
    batches = tf.data.Dataset.from_tensor_slices(np.ones((300, 6, 5, 4), "float32")).batch(100)
    y = np.concatenate(list(batches.map(lambda x: layer(x, training=True)).as_numpy_iterator()))
    shares = (np.moveaxis(y, -1, 1) == 0).reshape(-1, 30).mean(axis=1)
    assert_mean(shares, 0.5)


@pytest.mark.grid
@pytest.mark.parametrize("rank", LAYERS)
def test_it_passes_the_test_of_keras(rank):
    keras_testing = pytest.importorskip("keras.src.testing", reason="a private part of Keras")
    shape = (2, *(6, 5, 4)[:rank], 3)
    keras_testing.TestCase("run_layer_test").run_layer_test(
        LAYERS[rank],
        init_kwargs={"rate": 0.3, "block_size": 2},
        input_shape=shape,
        expected_output_shape=shape,
        expected_num_trainable_weights=0,
        expected_num_non_trainable_weights=0,
        expected_num_seed_generators=1,
        supports_masking=True,
    )


@pytest.mark.parametrize("rank", LAYERS)
def test_a_map_of_another_rank_is_refused(rank):
    name = f"DropBlock{rank}D"
    with pytest.raises(ValueError, match=rf"^{name}: `inputs` must be of rank .+, got .+\. .+\."):
        LAYERS[rank](0.3, 2)(ops.ones((2,) * (rank + 1)))
