"""Every example of a docstring runs."""

from __future__ import annotations

import doctest
import importlib
import io
import pkgutil

import pytest

import keras_regplus

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


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
