"""Every example that a user can read runs: docstrings, the README, the pages of docs/."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
from pathlib import Path

import pytest

import keras_regplus

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def documented_examples() -> list[doctest.DocTest]:
    names = [
        module.name
        for module in pkgutil.walk_packages(keras_regplus.__path__, "keras_regplus.")
        if not module.name.endswith("__main__")
    ]
    found = {}
    for module in map(importlib.import_module, ["keras_regplus", *names]):
        for test in doctest.DocTestFinder(exclude_empty=True).find(module):
            if test.examples:
                found[test.name] = test
    return list(found.values())


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("example", documented_examples(), ids=lambda example: example.name)
def test_docstring_example_runs_and_leaves_no_files(example, tmp_path):
    said = io.StringIO()
    doctest.DocTestRunner(optionflags=FLAGS).run(example, out=said.write)
    assert said.getvalue() == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_on_the_page_runs_and_prints_what_it_shows(page):
    """The python blocks of a page are one program; a text block after one is its output."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    blocks = list(FENCE.finditer(page.read_text()))
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        if block[1] != "python":
            continue
        printed = run(block[2], f"{page.name}:{line_of(block)}", namespace)
        if following is not None and is_output_of(block, following):
            assert_printed(following[2], printed)


def run(code: str, name: str, namespace: dict[str, object]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, name, "exec"), namespace)
    return printed.getvalue()


def line_of(block: re.Match) -> int:
    return block.string.count("\n", 0, block.start()) + 1


def is_output_of(block: re.Match, following: re.Match) -> bool:
    between = block.string[block.end() : following.start()]
    return following[1] == "text" and not between.strip()


def assert_printed(shown: str, printed: str) -> None:
    if not doctest.OutputChecker().check_output(shown, printed, FLAGS):
        assert printed == shown


def test_a_page_that_shows_another_result_is_found():
    with pytest.raises(AssertionError):
        assert_printed("1.5\n", "1.4\n")
