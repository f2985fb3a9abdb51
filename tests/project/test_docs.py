"""The pages: their code runs and prints what they show, and the API has them all."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
from pathlib import Path
from types import ModuleType

import keras
import pytest

import keras_regplus

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
WITH_CODE = [page for page in PAGES if "```python" in page.read_text()]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BACKEND = re.compile(r"^import (jax|tensorflow|torch)\b", re.MULTILINE)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_code_on_the_page_runs_and_prints_what_it_shows(page):
    run_page(page.read_text(), page.name)


def run_page(text: str, name: str) -> None:
    """The python blocks of a page are one program; a text block after one is its output.

    A block that imports a backend is run by the suite on that backend alone.
    """
    namespace: dict[str, object] = {"__name__": "__main__"}
    blocks = list(FENCE.finditer(text))
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        if block[1] != "python" or is_for_another_backend(block[2]):
            continue
        printed = run(block[2], f"{name}:{line_of(block)}", namespace)
        if following is not None and is_output_of(block, following):
            assert_printed(following[2], printed)


def is_for_another_backend(code: str) -> bool:
    return not set(BACKEND.findall(code)) <= {keras.backend.backend()}


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


GOOD = "```python\na = 1\n```\n\nAnd:\n\n```python\nprint(a + 0.5)\n```\n\n```text\n1.5\n```\n"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (GOOD.replace("1.5", "1.4"), AssertionError),
        (GOOD.replace("a = 1", "b = 1"), NameError),
    ],
    ids=["another result", "an error"],
)
def test_a_page_with_a_mistake_is_found(text, error):
    run_page(GOOD, "good")
    with pytest.raises(error):
        run_page(text, "bad")


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_a_block_for_a_backend_is_run_on_that_one_alone(backend):
    code = f"import {backend}\nprint({backend}.__name__)\n"
    assert is_for_another_backend(code) is (backend != keras.backend.backend())


def test_every_room_is_in_the_api():
    rooms = {
        name
        for name in keras_regplus.__all__
        if isinstance(getattr(keras_regplus, name), ModuleType)
    }
    pages = "".join(page.read_text() for page in (DOCS / "api").glob("*.md"))
    assert set(re.findall(r"^::: keras_regplus\.(\w+)$", pages, re.MULTILINE)) == rooms
