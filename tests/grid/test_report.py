"""The page `docs/grid.md` shows the grid as it is."""

import pytest

from .compilations import HOW, reason_against
from .places import WHERE
from .report import BACKENDS, INTRODUCTION, PAGE, cell, mark, page

NOT_RUN = {backend: {} for backend in BACKENDS}


def outcomes(**of_backends):
    name = "tests/grid/test_grid.py::test_exact[Sequential|default]"
    return NOT_RUN | {backend: {name: outcome} for backend, outcome in of_backends.items()}


@pytest.mark.parametrize("name", [*WHERE, *HOW])
def test_the_page_knows_every_row_and_column(name):
    assert name in PAGE.read_text()


def test_all_that_ran_for_the_page_was_exact():
    text = PAGE.read_text()
    assert "FAILED" not in text


@pytest.mark.parametrize(
    "found, expected",
    [
        ({"tensorflow": "passed", "jax": "passed", "torch": "passed"}, "E"),
        ({"tensorflow": "passed", "jax": "failed", "torch": "passed"}, "E FAILED E"),
        ({"tensorflow": "passed", "jax": "passed"}, "E E ?"),
    ],
)
def test_a_cell_is_exact_where_its_test_passed(found, expected):
    assert cell(outcomes(**found), "Sequential", "default") == expected


def test_a_cell_that_is_left_out_shows_the_reason():
    assert reason_against("LSTM", "steps_per_execution=3", "torch") == "K"
    assert cell(NOT_RUN, "LSTM", "steps_per_execution=3").split()[-1] == "K"


@pytest.mark.parametrize(
    "found, expected",
    [
        (["passed", "skipped: why"], "E"),
        (["skipped: why"], "-"),
        ([], "-"),
        (["passed", "failed"], "FAILED"),
        (["passed", "known: why"], "not yet"),
    ],
)
def test_the_mark_of_a_test_with_parameters(found, expected):
    assert mark(found) == expected


def test_an_empty_list_of_parameters_is_no_row():
    record = {"machine": "m", "versions": {"keras": "3"}, "minutes": 1.0}
    name = "tests/grid/test_several_devices.py::test_several_devices[NOTSET]"
    records = {"torch": {**record, "outcomes": {name: "skipped: got empty parameter set"}}}
    assert "NOTSET" not in page(records)


def test_the_page_begins_as_it_is_written_today():
    assert PAGE.read_text().startswith(INTRODUCTION)


def test_the_page_names_tests_of_other_modules_in_words():
    record = {"machine": "m", "versions": {"keras": "3"}, "minutes": 1.0}
    name = "tests/grid/test_moments.py::test_a_second_fit_goes_on[eager]"
    records = {b: {**record, "outcomes": {name: "passed"}} for b in BACKENDS}
    assert "| a second fit goes on | E | E | E |" in page(records)
