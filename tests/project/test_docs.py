"""The pages: their code runs and prints what they show, and the API has them all."""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import inspect
import io
import itertools
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


# What `::: module` and its options put on a page: all of `__all__`, or the members of a list.
ENTRY = re.compile(r"^::: (keras_regplus[\w.]*)\n((?:    .*\n)*)", re.MULTILINE)
MEMBER = re.compile(r"^ +- (\w+)$", re.MULTILINE)

# The version has no entry of its own.
WITHOUT_ENTRY = {"keras_regplus.__version__"}


def public_modules() -> list[ModuleType]:
    values = [getattr(keras_regplus, name) for name in keras_regplus.__all__]
    modules = [value for value in values if isinstance(value, ModuleType)]
    return [
        keras_regplus,
        *modules,
        keras_regplus.callbacks.actions,
        keras_regplus.callbacks.regularization_scheduler,
    ]


def api_entries(text: str) -> set[tuple[str, int]]:
    """Names with an entry on these pages, each with the identity of what it names."""
    return {
        (name, id(getattr(importlib.import_module(module), name)))
        for module, options in ENTRY.findall(text)
        for name in MEMBER.findall(options) or importlib.import_module(module).__all__
    }


@pytest.mark.parametrize("module", public_modules(), ids=lambda module: module.__name__)
def test_every_public_name_is_in_the_api(module):
    entries = api_entries("".join(page.read_text() for page in (DOCS / "api").glob("*.md")))
    names = [name for name in module.__all__ if not inspect.ismodule(getattr(module, name))]
    missing = [name for name in names if (name, id(getattr(module, name))) not in entries]
    assert {f"{module.__name__}.{name}" for name in missing} <= WITHOUT_ENTRY


def test_every_public_module_has_a_page_of_the_api():
    pages = "".join(page.read_text() for page in (DOCS / "api").glob("*.md"))
    documented = {module for module, _ in ENTRY.findall(pages)}
    assert documented == {module.__name__ for module in public_modules()}


# mkdocstrings leaves out what has no docstring.
@pytest.mark.parametrize("module", public_modules(), ids=lambda module: module.__name__)
def test_every_public_name_has_a_docstring(module):
    things = {name: getattr(module, name) for name in module.__all__}
    code = {name: thing for name, thing in things.items() if is_code(thing)}
    assert [name for name, thing in code.items() if not inspect.getdoc(thing)] == []
    values = things.keys() - code.keys()
    undocumented = {name for name in values if not is_documented_value(name)}
    assert {f"{module.__name__}.{name}" for name in undocumented} <= WITHOUT_ENTRY


def is_code(thing: object) -> bool:
    return inspect.ismodule(thing) or inspect.isclass(thing) or inspect.isfunction(thing)


def is_documented_value(name: str) -> bool:
    """Whether a string follows an assignment to `name` in a module of the package."""
    sources = Path(keras_regplus.__file__).parent.rglob("*.py")
    return any(name in documented_values(source.read_text()) for source in sources)


def documented_values(source: str) -> set[str]:
    body = ast.parse(source).body
    return {
        ast.unparse(target)
        for node, following in itertools.pairwise(body)
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(following, ast.Expr)
        and isinstance(following.value, ast.Constant)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    }


def test_a_value_without_a_docstring_is_found():
    assert documented_values("a = 1\nb: int = 2\n'About b.'\nc = 3\n") == {"b"}


def test_a_name_that_is_not_in_the_api_is_found():
    page = "::: keras_regplus.layers\n    options:\n      members:\n        - DropPath\n"
    entries = api_entries(page)
    assert entries == {("DropPath", id(keras_regplus.layers.DropPath))}
    assert len(api_entries("::: keras_regplus.layers\n")) == len(keras_regplus.layers.__all__)
