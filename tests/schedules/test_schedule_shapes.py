"""Shapes, composites and recipes: values at each boundary, properties, configs."""

from __future__ import annotations

import json
import math
import re

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_regplus import schedules
from keras_regplus.schedules import (
    Clip,
    Constant,
    Cosine,
    Cyclic,
    Exponential,
    Join,
    Linear,
    LinearWarmup,
    Piecewise,
    Polynomial,
    Product,
    early,
    late,
    one_cycle,
    warmup_hold_decay,
)
from keras_regplus.schedules.evaluation import evaluate, values_at

KERAS_COSINE = keras.optimizers.schedules.CosineDecay(1.0, decay_steps=4)
KERAS_STEPS = keras.optimizers.schedules.PiecewiseConstantDecay([1, 3], [1.0, 0.5, 0.25])
STEEP = (1 - math.sqrt(0.5)) / 2  # a cosine from 0 to 1, a quarter of the way
LATE = 2**24  # from here on float32 skips odd numbers

# schedule, then (t, value) pairs written down by hand
VALUES = [
    (Linear(4), [(0, 0), (1, 0.25), (3, 0.75), (4, 1), (5, 1), (10**9, 1)]),
    (Linear(4, 1.0, 0.5), [(0, 1), (1, 0.875), (3, 0.625), (4, 0.5), (5, 0.5), (10**9, 0.5)]),
    (Linear(1, 0.3, 0.7), [(0, 0.3), (1, 0.7), (2, 0.7)]),
    (Linear(2, 1.5, 3.0, unit="epoch"), [(0, 1.5), (1, 2.25), (2, 3), (3, 3)]),
    (Linear(10**9), [(0, 0), (10**8, 0.1), (10**9, 1)]),
    (Polynomial(4), [(0, 0), (1, 0.4375), (3, 0.9375), (4, 1), (5, 1), (10**9, 1)]),
    (Polynomial(2, 1.0, 0.0, power=3), [(0, 1), (1, 0.125), (2, 0), (3, 0)]),
    (Polynomial(4, 2.0, 1.0, power=0.5), [(0, 2), (3, 1.5), (4, 1), (5, 1)]),
    (Cosine(4), [(0, 1), (1, 1 - STEEP), (2, 0.5), (3, STEEP), (4, 0), (5, 0), (10**9, 0)]),
    (Cosine(2, 0.5, 1.5), [(0, 0.5), (1, 1), (2, 1.5), (3, 1.5)]),
    (Exponential(2), [(0, 1), (1, 0.1), (2, 0.01), (3, 0.01), (10**9, 0.01)]),
    (Exponential(3, 0.5, 4.0), [(0, 0.5), (1, 1), (2, 2), (3, 4), (4, 4)]),
    (Exponential(2, 1e-30, 1e30), [(0, 1e-30), (1, 1), (2, 1e30)]),
    (Cyclic(4), [(0, 0), (1, 0.5), (2, 1), (3, 0.5), (4, 0), (5, 0.5), (10**9, 0)]),
    (Cyclic(3, 1.0, 0.4), [(0, 1), (1, 0.6), (2, 0.6), (3, 1)]),
    (Piecewise([2, 4], [0, 0.5, 2]), [(0, 0), (1, 0), (2, 0.5), (3, 0.5), (4, 2), (10**9, 2)]),
    (Join([Linear(2), Linear(2, 1.0, 0.0)], [3]), [(0, 0), (2, 1), (3, 1), (4, 0.5), (5, 0)]),
    (Join([Linear(4), Cyclic(2), Constant(0.7)], [2, 5]), [(1, 0.25), (2, 0), (3, 1), (5, 0.7)]),
    (Join([Constant(0.5), KERAS_COSINE], [2]), [(0, 0.5), (1, 0.5), (2, 1), (4, 0.5), (6, 0)]),
    (Product([Linear(4), Constant(0.5)]), [(0, 0), (1, 0.125), (4, 0.5), (5, 0.5)]),
    (Product([Linear(4), Linear(4), Linear(4)]), [(2, 0.125), (4, 1)]),
    (Product([KERAS_STEPS, Linear(4)]), [(0, 0), (1, 0.25), (2, 0.25), (3, 0.375), (4, 0.25)]),
    (Product([Constant(0.5), Constant(0.5)]), [(0, 0.25), (7, 0.25)]),
    (Clip(Linear(4), 0.2, 0.8), [(0, 0.2), (1, 0.25), (3, 0.75), (4, 0.8), (10**9, 0.8)]),
    (Clip(Linear(2, 3.0, 0.5)), [(0, 1), (1, 1), (2, 0.5)]),
    (early(3), [(0, 1), (2, 1), (3, 0), (10**9, 0)]),
    (late(3), [(0, 0), (2, 0), (3, 1), (10**9, 1)]),
    (
        one_cycle(6, peak_at=0.5, end=0.5),
        [(0, 0), (1, 0.25), (2, 0.75), (3, 1), (4, 0.875), (5, 0.625), (6, 0.5), (7, 0.5)],
    ),
    (one_cycle(10, start=0.5), [(0, 0.5), (2, 0.875), (3, 1), (10, 0), (11, 0)]),
    (warmup_hold_decay(2, 1, 2), [(0, 0), (1, 0.5), (2, 1), (3, 1), (4, 0.5), (5, 0), (6, 0)]),
    (warmup_hold_decay(2, 0, 2, end=0.5), [(1, 0.5), (2, 1), (3, 0.75), (4, 0.5), (5, 0.5)]),
]
# What a float32 can no longer tell apart, an integer still can.
LATE_VALUES = [
    (Piecewise([LATE + 1], [0.0, 1.0]), [(LATE, 0), (LATE + 1, 1)]),
    (Cyclic(2), [(LATE, 0), (LATE + 1, 1), (10**9 + 1, 1)]),
    (Join([Constant(), Linear(4)], [LATE]), [(LATE, 0), (LATE + 1, 0.25), (LATE + 3, 0.75)]),
]
INTEGERS = {
    "int": int,
    "numpy integer": np.int64,
    "numpy array": np.asarray,
    "tensor": lambda t: ops.convert_to_tensor(t, dtype="int32"),
}
FLOATS = {
    "float": float,
    "numpy float": np.float32,
    "float tensor": lambda t: ops.convert_to_tensor(t, dtype="float32"),
}
# Times that int32 and float32 both hold exactly.
TIMES = st.integers(0, LATE)
DURATIONS = st.integers(1, 10**6)
ENDS = st.floats(0, 10, width=32, allow_subnormal=False)
ENDS_ABOVE_ZERO = st.floats(0.0009765625, 10, width=32)


def number(value) -> float:
    found = ops.convert_to_numpy(value)
    assert found.shape == () and found.dtype == "float32"
    return float(found)


def close(value):
    return pytest.approx(value, rel=1e-5, abs=2e-7)


def compiled(schedule):
    """The schedule inside a compiled function of the backend; torch runs eagerly."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(schedule)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(schedule)
    return schedule


@pytest.mark.parametrize("kind", INTEGERS | FLOATS)
@pytest.mark.parametrize("schedule, points", VALUES, ids=repr)
def test_values(schedule, points, kind):
    for t, value in points:
        assert number(schedule((INTEGERS | FLOATS)[kind](t))) == close(value), t


@pytest.mark.parametrize("kind", INTEGERS)
@pytest.mark.parametrize("schedule, points", LATE_VALUES, ids=repr)
def test_values_where_float32_skips_numbers(schedule, points, kind):
    for t, value in points:
        assert number(schedule(INTEGERS[kind](t))) == value, t


@pytest.mark.parametrize("kind", ["tensor", "float tensor"])
@pytest.mark.parametrize("schedule, points", VALUES, ids=repr)
def test_a_compiled_step_sees_the_same_values(schedule, points, kind):
    step = compiled(schedule)
    for t, value in points:
        assert number(step((INTEGERS | FLOATS)[kind](t))) == close(value), t


@pytest.mark.parametrize("kind", INTEGERS)
def test_ends_are_exact(kind):
    for shape in (Linear, Polynomial, Cosine, Exponential):
        schedule = shape(7, 0.1, 0.7)
        for t, value in ((0, 0.1), (7, 0.7), (8, 0.7)):
            assert number(schedule(INTEGERS[kind](t))) == np.float32(value)


@settings(max_examples=25)
@given(DURATIONS, ENDS, ENDS, st.sampled_from([Linear, Polynomial, Cosine, Cyclic]), TIMES)
def test_a_shape_stays_between_its_ends(duration, start, end, shape, t):
    value = number(shape(duration + 1, start, end)(t))
    assert min(start, end) - 1e-5 <= value <= max(start, end) + 1e-5


@settings(max_examples=25)
@given(DURATIONS, ENDS_ABOVE_ZERO, ENDS_ABOVE_ZERO, TIMES)
def test_an_exponential_is_linear_in_the_logarithm(duration, start, end, t):
    progress = min(t / duration, 1)
    expected = math.exp((1 - progress) * math.log(start) + progress * math.log(end))
    assert number(Exponential(duration, start, end)(t)) == close(expected)


@settings(max_examples=25)
@given(
    DURATIONS,
    ENDS_ABOVE_ZERO,
    ENDS_ABOVE_ZERO,
    st.sampled_from([Linear, Polynomial, Cosine, Exponential]),
    TIMES,
    TIMES,
)
def test_a_shape_never_turns_back(duration, start, end, shape, one, other):
    schedule = shape(duration, start, end)
    first, second = (number(schedule(t)) for t in sorted([one, other]))
    assert (second - first) * np.sign(end - start) >= -1e-5


@settings(max_examples=25)
@given(st.integers(2, 10**6), ENDS, ENDS, TIMES, st.integers(0, 50))
def test_a_cycle_comes_again(duration, start, end, t, cycles):
    schedule = Cyclic(duration, start, end)
    assert number(schedule(t)) == number(schedule(t + cycles * duration))


@settings(max_examples=25)
@given(st.sets(st.integers(1, 60), min_size=1, max_size=5), st.integers(0, 70))
def test_piecewise_counts_the_boundaries_passed(boundaries, t):
    boundaries = sorted(boundaries)
    values = [0.5 * i for i in range(len(boundaries) + 1)]
    passed = np.searchsorted(boundaries, t, side="right")
    assert number(Piecewise(boundaries, values)(t)) == values[passed]


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (Polynomial(9, 2.0, 0.5, power=3.0), ("PolynomialDecay", (2.0, 9, 0.5, 3.0))),
        (Cosine(9, 2.0, 0.5), ("CosineDecay", (2.0, 9, 0.25))),
        (Exponential(9, 2.0, 2.0 * 0.5**9), ("ExponentialDecay", (2.0, 1, 0.5))),
    ],
    ids=repr,
)
def test_a_decay_is_the_one_of_keras(ours, theirs):
    name, arguments = theirs
    decay = getattr(keras.optimizers.schedules, name)(*arguments)
    expected = [float(ops.convert_to_numpy(decay(t))) for t in range(10)]
    np.testing.assert_allclose(ours.preview(10), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("schedule", [schedule for schedule, _ in VALUES], ids=repr)
def test_a_schedule_is_a_value(schedule):
    config = json.loads(json.dumps(schedule.get_config(), allow_nan=False))
    kept = json.dumps(config)
    twin = type(schedule).from_config(config)
    assert json.dumps(config) == kept
    assert twin == schedule and hash(twin) == hash(schedule)
    assert eval(repr(schedule), vars(schedules)) == schedule
    assert schedules.deserialize(json.loads(json.dumps(schedules.serialize(schedule)))) == schedule


def test_different_schedules_differ():
    assert len({schedule for schedule, _ in VALUES}) == len(VALUES)


def test_composites_of_keras_schedules_compare_by_value():
    def halved(steps):
        decay = keras.optimizers.schedules.CosineDecay(1.0, decay_steps=steps)
        return Product([decay, Constant(0.5)])

    assert halved(4) == halved(4) and hash(halved(4)) == hash(halved(4))
    assert halved(4) != halved(5)


def test_a_composite_is_spelled_as_it_was_made():
    inner = Join([Linear(2), Constant(0.5)], [3])
    assert repr(Clip(inner, 0.1, 0.9)) == (
        "Clip(schedule=Join(schedules=[Linear(duration=2, start=0.0, end=1.0, unit='step'), "
        "Constant(value=0.5)], boundaries=[3]), minimum=0.1, maximum=0.9)"
    )


def test_deep_nesting_round_trips():
    deep = Clip(Product([Join([Linear(2), KERAS_COSINE], [3]), Clip(Constant(0.5))]), 0.1)
    again = schedules.deserialize(json.loads(json.dumps(schedules.serialize(deep))))
    assert again == deep
    assert again.schedule.schedules[0].schedules[0] == Linear(2)
    np.testing.assert_array_equal(again.preview(9), deep.preview(9))


@pytest.mark.parametrize(
    "schedule, unit",
    [
        (Linear(2), "step"),
        (Cyclic(2, unit="epoch"), "epoch"),
        (Piecewise([1], [0, 1], unit="epoch"), "epoch"),
        (Product([Constant(), Constant()]), None),
        (Product([Constant(), Linear(2, unit="epoch")]), "epoch"),
        (Product([KERAS_COSINE, Constant()]), "step"),
        (Join([Constant(0.0), Linear(2, unit="epoch")], [3]), "epoch"),
        (Clip(Linear(2, unit="epoch")), "epoch"),
        (Clip(Constant()), None),
        (Clip(KERAS_COSINE), "step"),
        (early(2, unit="epoch"), "epoch"),
        (late(2, unit="epoch"), "epoch"),
        (one_cycle(4, unit="epoch"), "epoch"),
        (warmup_hold_decay(1, 1, 1, unit="epoch"), "epoch"),
        (warmup_hold_decay(1, 0, 1), "step"),
    ],
    ids=repr,
)
def test_units(schedule, unit):
    assert schedule.unit == unit


PER_EPOCH = LinearWarmup(2, "epoch")


@pytest.mark.parametrize(
    "parts",
    [
        [Linear(2), PER_EPOCH],
        [Constant(), PER_EPOCH, KERAS_COSINE],
        [Linear(2), Product([Constant(), PER_EPOCH])],
    ],
    ids=["two of ours", "one of Keras", "one inside"],
)
def test_parts_of_different_units_are_refused(parts):
    said = r"`schedules` must be schedules of one unit, got 'epoch and step'\. Pass"
    with pytest.raises(ValueError, match=f"Product: {said}"):
        Product(parts)
    with pytest.raises(ValueError, match=f"Join: {said}"):
        Join(parts, list(range(1, len(parts))))


def test_joined_constants_have_no_unit_to_count_in():
    with pytest.raises(ValueError, match="Use `Piecewise`"):
        Join([Constant(), Constant(0.5)], [3])


def test_a_config_of_something_else_inside_is_refused():
    config = Clip(Constant()).get_config()
    config["schedule"] = keras.saving.serialize_keras_object(keras.layers.Dense(1))
    with pytest.raises(ValueError, match="must be the config of a schedule, got one of Dense"):
        Clip.from_config(config)


def test_a_part_before_its_turn_never_sees_a_time_below_zero():
    class Recorded(schedules.Schedule):
        seen: list = []  # noqa: RUF012

        def __call__(self, t):
            self.seen.append(number(ops.cast(t, "float32")))
            return 1.0

    joined = Join([Constant(0.5), Recorded()], [3])
    assert joined.preview(5).tolist() == [0.5, 0.5, 0.5, 1.0, 1.0]
    assert Recorded.seen == [0.0, 0.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    "make, arguments",
    [
        (early, {"until": 0}),
        (early, {"until": "ten"}),
        (early, {"until": 3, "unit": "steps"}),
        (late, {"start": 1.5}),
        (late, {"start": None}),
        (late, {"start": 3, "unit": None}),
        (one_cycle, {"duration": 1}),
        (one_cycle, {"duration": 10, "peak_at": 1.5}),
        (one_cycle, {"duration": 10, "peak_at": 0.01}),
        (one_cycle, {"duration": 10, "peak_at": 0.99}),
        (one_cycle, {"duration": 10, "start": -1.0}),
        (one_cycle, {"duration": 10, "end": math.inf}),
        (one_cycle, {"duration": 10, "unit": "batch"}),
        (warmup_hold_decay, {"hold": 1, "decay": 1, "warmup": 0}),
        (warmup_hold_decay, {"warmup": 1, "decay": 1, "hold": -1}),
        (warmup_hold_decay, {"warmup": 1, "hold": 1, "decay": True}),
        (warmup_hold_decay, {"warmup": 1, "hold": 1, "decay": 1, "end": math.nan}),
        (warmup_hold_decay, {"warmup": 1, "hold": 1, "decay": 1, "unit": 1}),
        (Linear(2).preview, {"length": 0}),
        (Linear(2).preview, {"length": "ten"}),
    ],
    ids=lambda value: getattr(value, "__name__", repr(value)),
)
def test_a_bad_argument_of_a_function_is_refused_in_three_parts(make, arguments):
    bad = list(arguments)[-1]
    said = rf"^{make.__name__}: `{bad}` must be .+, got .+\. .+\.$"
    with pytest.raises((TypeError, ValueError), match=said):
        make(**arguments)


# The schedule of which a docstring has a table.
DOCUMENTED = {
    Constant: Constant(0.5),
    LinearWarmup: LinearWarmup(4),
    Linear: Linear(4, 1.0, 0.5),
    Polynomial: Polynomial(4),
    Cosine: Cosine(4),
    Exponential: Exponential(2),
    Cyclic: Cyclic(4),
    Piecewise: Piecewise([2, 4], [0.0, 0.5, 1.0]),
    Join: Join([Linear(2), Linear(2, 1.0, 0.0)], [3]),
    Product: Product([Linear(4), Constant(0.5)]),
    Clip: Clip(Linear(4), minimum=0.2, maximum=0.8),
    early: early(3),
    late: late(3),
    one_cycle: one_cycle(6, peak_at=0.5, end=0.5),
    warmup_hold_decay: warmup_hold_decay(2, 1, 2),
}


@pytest.mark.parametrize("documented", DOCUMENTED, ids=lambda documented: documented.__name__)
def test_the_table_in_the_docstring_is_true(documented):
    table = re.findall(r"^ *\| (?:t|value) \| (.+) \|$", documented.__doc__, re.MULTILINE)
    times, values = ([float(cell) for cell in row.split(" | ")] for row in table)
    schedule = DOCUMENTED[documented]
    assert [number(schedule(t)) for t in times] == pytest.approx(values, abs=5e-5)
    # Before, at and after each boundary, and where the schedule has ended.
    assert times[0] == 0 and times[-1] > (schedule.ends_at or 0)
    assert "value(t)" in documented.__doc__


@pytest.mark.parametrize(
    "schedule, end",
    [
        (Constant(0.5), 0),
        (LinearWarmup(4), 4),
        (Linear(3, unit="epoch"), 3),
        (Polynomial(4), 4),
        (Cosine(4), 4),
        (Exponential(4), 4),
        (Cyclic(4), None),
        (Piecewise([2, 4], [0, 0.5, 1]), 4),
        (Join([Linear(2), Cosine(3)], [5]), 8),
        (Join([Linear(2), Constant(0.5)], [5]), 5),
        (Join([Cyclic(2), Linear(2)], [5]), 7),
        (Join([Linear(2), Cyclic(2)], [5]), None),
        (Join([Linear(2), KERAS_COSINE], [5]), None),
        (Product([Linear(2), Cosine(5), Constant()]), 5),
        (Product([Linear(2), Cyclic(2)]), None),
        (Product([Linear(2), lambda t: 1.0]), None),
        (Product([Constant(), Constant()]), 0),
        (Clip(Linear(4)), 4),
        (Clip(Cyclic(4)), None),
        (one_cycle(10), 10),
        (warmup_hold_decay(2, 1, 2), 5),
        (schedules.Schedule(), None),
    ],
    ids=[f"{number}" for number in range(22)],
)
def test_when_a_schedule_ends(schedule, end):
    assert schedule.ends_at == end


@pytest.mark.parametrize("schedule", [schedule for schedule, _ in VALUES], ids=repr)
def test_from_its_end_on_a_schedule_stays_the_same(schedule):
    end = schedule.ends_at
    if end is not None:
        last = number(schedule(end))
        assert [number(schedule(end + t)) for t in (1, 2, 1000)] == [close(last)] * 3


@pytest.mark.parametrize("schedule", [schedule for schedule, _ in VALUES], ids=repr)
def test_ours_take_all_times_at_once(schedule):
    if "keras.optimizers" not in repr(schedule):  # not all of Keras's do
        times = ops.arange(5, dtype="int32")
        assert tuple(evaluate(schedule, times).shape) in [(5,), ()]


@pytest.mark.parametrize("schedule", [schedule for schedule, _ in VALUES], ids=repr)
def test_all_times_at_once_give_what_each_gives(schedule):
    times = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 100, 2**24 - 1, 2**24, 10**9])
    one_by_one = [number(schedule(int(t))) for t in times]
    np.testing.assert_allclose(values_at(schedule, times), one_by_one, rtol=1e-5, atol=2e-7)


@pytest.mark.parametrize("schedule", [schedule for schedule, _ in VALUES], ids=repr)
def test_preview_goes_to_the_end(schedule):
    if schedule.ends_at is None:
        with pytest.raises(
            ValueError, match=r"^preview: `length` must be .+, got None\. Use .+\.$"
        ):
            schedule.preview()
    elif schedule.ends_at < 100:
        expected = [number(schedule(t)) for t in range(schedule.ends_at + 1)]
        np.testing.assert_allclose(schedule.preview(), expected, rtol=1e-5, atol=2e-7)


def test_a_step_of_the_latest_time_still_compares():
    latest = 2**31 - 1
    for schedule in (
        Piecewise([latest], [0.0, 1.0]),
        Join([Constant(0.0), Linear(1)], [latest]),
        Cyclic(latest),
        Linear(latest),
    ):
        step = compiled(schedule)
        assert number(step(ops.convert_to_tensor(5, dtype="int32"))) == pytest.approx(0, abs=1e-6)


def test_a_length_beyond_the_latest_time_is_refused_in_the_whole_too():
    with pytest.raises(ValueError, match=r"Join: `boundaries` must be at most 2147483647, .+, got"):
        warmup_hold_decay(2**31 - 1, 1, 1)


def test_what_float32_takes_for_zero_is_no_end_of_an_exponential():
    with pytest.raises(ValueError, match="Exponential: `end` must be a finite number above 0"):
        Exponential(4, 1.0, 1e-50)


def test_preview_gives_what_each_time_sees():
    values = Linear(4, 1.0, 2.0).preview(6)
    assert values.dtype == "float32"
    assert values.tolist() == [1.0, 1.25, 1.5, 1.75, 2.0, 2.0]
    assert Constant(0.5).preview(np.int64(2)).tolist() == [0.5, 0.5]
