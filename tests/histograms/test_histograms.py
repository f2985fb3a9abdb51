"""Counts in buckets against those of numpy.histogram on the same edges."""

from __future__ import annotations

import tracemalloc
import warnings
from unittest import mock

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_regplus.histograms import Histogram, _mapping, buckets, histogram

NUMPY_DTYPES = ["bool", "int8", "uint8", "int32", "uint64", "float16", "float32", "float64"]
ML_DTYPES = ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4"]
COUNTS = st.integers(1, 255)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=8)


def expected(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    flat = np.asarray(values).astype(np.float64).reshape(-1)
    return np.histogram(flat[np.isfinite(flat)], bins=edges)[0]


def check(values: np.ndarray, count: int) -> None:
    """Both ways of counting: as few values are counted, and as many are."""
    for few in (buckets._FEW, 0):
        with warnings.catch_warnings(), mock.patch.object(buckets, "_FEW", few):
            warnings.simplefilter("error")
            check_result(values, count, histogram(values, count))


def check_result(values: np.ndarray, count: int, result: Histogram) -> None:
    exact = np.asarray(values).astype(np.float64)
    finite = exact[np.isfinite(exact)]
    assert result.edges.dtype == np.float64 and result.counts.dtype == np.int64
    assert result.edges.shape == (count + 1,) and result.counts.shape == (count,)
    assert (np.diff(result.edges) >= 0).all()
    assert result.counts.tolist() == expected(values, result.edges).tolist()
    assert result.counts.sum() == finite.size
    assert result.not_finite == exact.size - finite.size
    if finite.size:
        assert (result.edges[0], result.edges[-1]) == (finite.min(), finite.max())


@pytest.mark.parametrize("dtype", NUMPY_DTYPES)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_counts_are_those_of_numpy_on_the_edges_returned(dtype, data):
    values = data.draw(hnp.arrays(dtype, SHAPES))
    check(values, data.draw(st.integers(1, 40)))


@pytest.mark.parametrize("name", ML_DTYPES)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_counts_are_exact_for_types_that_numpy_lacks(name, data):
    limit = 7 if name == "int4" else 400
    numbers = hnp.arrays("float32", SHAPES, elements=st.floats(-limit, limit, width=32))
    check(data.draw(numbers).astype(getattr(ml_dtypes, name)), data.draw(st.integers(1, 40)))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    start=st.sampled_from([0.0, -1.0, 1.0, 1e-30, 1e4]),
    ulps=hnp.arrays("int64", st.integers(1, 200), elements=st.integers(0, 60)),
    count=st.integers(1, 40),
)
def test_counts_are_exact_where_buckets_are_as_fine_as_the_numbers(dtype, start, ulps, count):
    origin = np.asarray(start, dtype)
    check(origin + ulps.astype(dtype) * np.spacing(origin), count)


@pytest.mark.parametrize(
    "values",
    [
        np.arange(31, dtype="float32"),
        np.repeat(np.linspace(-1, 1, 31), 3),
        np.linspace(-1, 1, 31).astype("float32"),
        np.array([-1.7e308, 0.0, 1.7e308]),
        np.array([-3.4e38, 0.0, 3.4e38], "float32"),
        np.array([0.0, 5e-324, 1e-323]),
        np.array([0.0, 1e-45, 3e-45], "float32"),
        np.array([0, 2**63, 2**64 - 1], "uint64"),
        np.arange(24.0).reshape(4, 6)[:, ::2],
        np.float32(3.0),
    ],
    ids=lambda values: f"{values.dtype}-{values.min():g}-{values.max():g}",
)
def test_edges_hold_every_value_of_hard_ranges(values):
    check(values, 30)


def test_a_value_on_an_edge_belongs_to_the_right_bucket_and_the_last_one_to_the_last():
    edges, counts, not_finite = histogram(np.array([0, 1, 1, 2, 3, 4], "float32"), buckets=4)
    assert edges.tolist() == [0, 1, 2, 3, 4]
    assert counts.tolist() == [1, 2, 1, 2]
    assert not_finite == 0


def test_buckets_are_equally_wide_to_the_precision_of_the_values():
    values = np.random.default_rng(0).normal(size=1000).astype("float32")
    even = np.linspace(float(values.min()), float(values.max()), 31)
    assert histogram(values).edges.tolist() == even.astype("float32").astype("float64").tolist()


def test_equal_values_lie_in_the_last_of_buckets_without_width():
    edges, counts, _ = histogram(np.full((3, 3), 0.1, "float32"), buckets=3)
    assert edges.tolist() == [np.float32(0.1)] * 4
    assert counts.tolist() == [0, 0, 9]


@pytest.mark.parametrize(
    "values, not_finite",
    [([], 0), (np.zeros((0, 4), "float16"), 0), ([np.nan, np.inf, -np.inf], 3)],
)
def test_without_finite_values_all_is_zero(values, not_finite):
    edges, counts, left_out = histogram(values, buckets=2)
    assert (edges.tolist(), counts.tolist(), left_out) == ([0, 0, 0], [0, 0], not_finite)


def test_values_that_are_not_finite_are_left_out_and_counted():
    values = np.array([np.nan, 0, 1, np.inf, 2, -np.inf, np.nan], ml_dtypes.bfloat16)
    edges, counts, not_finite = histogram(values, buckets=2)
    assert (edges.tolist(), counts.tolist(), not_finite) == ([0, 1, 2], [1, 2], 4)


@pytest.mark.parametrize("number", ["float32", "float64"])
@pytest.mark.parametrize("few", [0, 1000])
@pytest.mark.parametrize("size", [5, 6, 7, 13, 50])
def test_the_seams_between_blocks_do_not_matter(monkeypatch, size, few, number):
    values = np.random.default_rng(1).normal(size=size).astype(number)
    monkeypatch.setattr(buckets, "_FEW", few)
    for module in (buckets, _mapping):
        monkeypatch.setattr(module, "BLOCK", 6)
    check_result(values, 30, histogram(values))
    values[::5] = np.nan
    check_result(values, 30, histogram(values))


def test_many_arrays_are_counted_together():
    rng = np.random.default_rng(3)
    arrays = [rng.normal(size=size).astype("float32") * size for size in (0, 1, 2, 40_000, 40_001)]
    arrays += [np.arange(70_000) % 251, np.full(9, np.nan), rng.normal(size=80_000)]
    for values, result in zip(arrays, buckets.histograms_of(arrays, 30), strict=True):
        check_result(values, 30, result)


@pytest.mark.parametrize("count", [1, 2, 30, 255, 256, 1000])
@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1.0, 1e30, 3e37])
def test_large_arrays_are_counted_exactly(count, scale):
    values = np.random.default_rng(4).normal(size=66_001).clip(-10, 10) * scale
    result = histogram(values.astype("float32"), count)
    check_result(values.astype("float32"), count, result)
    even = np.linspace(*result.edges[[0, -1]], count + 1)
    np.testing.assert_allclose(result.edges, even, atol=20 * scale * 2**-23)


@pytest.mark.parametrize("count, size", [(30, 476_700), (39, 1_100_001), (40, 131_075)])
@pytest.mark.parametrize("is_skewed", [False, True])
def test_values_are_counted_as_well_when_several_are_one_number(count, size, is_skewed):
    values = np.random.default_rng(5).normal(size=size).astype("float32")
    values = values**8 if is_skewed else values
    check_result(values, count, histogram(values, count))


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    ranges=st.lists(
        st.tuples(FLOATS, FLOATS)
        | st.builds(lambda x: (-abs(x), abs(x)), FLOATS)
        | st.builds(lambda x, y: (x * 1e-38, y * 1e-38), st.floats(-9, 9), st.floats(-9, 9))
        | st.builds(lambda x, n: (x, x + n * 2.0**-20 * abs(x)), FLOATS, COUNTS),
        max_size=4,
    ),
    count=COUNTS,
)
def test_an_edge_is_the_first_number_that_is_mapped_to_its_bucket(ranges, count):
    with np.errstate(over="ignore"):
        ranges = np.sort(np.array(ranges, np.float32).reshape(-1, 2)).tolist()
    ranges = [bounds for bounds in ranges if _mapping.can_map(*bounds, count)]
    edges = _mapping.mapped_edges(ranges, count)
    assert edges.dtype == np.float32 and edges.shape == (len(ranges), count + 1)
    number = np.arange(1, count)
    for (lowest, highest), row in zip(ranges, edges, strict=True):
        scale = np.float32(count / (highest - lowest))
        before = np.nextafter(row[1:-1], np.float32(-np.inf))
        assert (row[0], row[-1]) == (lowest, highest)
        assert ((row[1:-1] - np.float32(lowest)) * scale >= number).all()
        assert ((before - np.float32(lowest)) * scale < number).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", ml_dtypes.bfloat16])
def test_memory_does_not_grow_with_the_array(dtype):
    values = np.random.default_rng(2).normal(size=1_000_000).astype(dtype)
    tracemalloc.start()
    histogram(values, buckets=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * 2**20


@pytest.mark.parametrize("values", [np.ones(3, "complex64"), np.array(["a"]), np.array([object()])])
def test_what_is_no_real_number_is_refused(values):
    with pytest.raises(TypeError, match="`values` must be real numbers, got"):
        histogram(values)


@pytest.mark.parametrize(
    "count, error", [(0, ValueError), (-1, ValueError), (1.5, ValueError), ("3", TypeError)]
)
def test_a_bad_number_of_buckets_is_refused(count, error):
    with pytest.raises(error, match="histogram: `buckets` must be a whole number of at least 1"):
        histogram([1.0], count)
