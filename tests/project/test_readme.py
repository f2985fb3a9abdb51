"""What the README must tell a new user, and that it tells the truth."""

from __future__ import annotations

import re
import tomllib
from functools import reduce
from pathlib import Path

import pytest

import keras_regplus

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
TEXT = README.read_text() if README.exists() else ""
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize(
    "command",
    [
        'python -m pip install ".[demo]" && python -m keras_regplus demo',
        'python -m pip install -e ".[test]" && python -m pytest',
    ],
)
def test_command_stands_on_a_line_of_its_own(command):
    assert command in TEXT.splitlines()


@pytest.mark.parametrize(
    "said",
    [
        "import keras_regplus",
        "load_model",
        "I want to",
        "Keras 2",
        "tf_keras",
        "GPU",
        "TensorFlow",
        "JAX",
        "torch",
        "Python 3.11",
    ],
)
def test_readme_says(said):
    assert said in TEXT


def test_readme_begins_with_the_name_and_has_one_picture():
    assert TEXT.startswith("# keras-regplus\n") or TEXT.startswith("# keras_regplus\n")
    assert len(re.findall(r"!\[[^\]]+\]\(", TEXT)) == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    files = [target for target in targets if "://" not in target]
    assert [target for target in files if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_of_the_package_exist(page):
    dotted = re.findall(r"\b(?:kr|keras_regplus)\.([A-Za-z_][\w.]*\w)", page.read_text())
    files = [name for name in dotted if name.endswith((".py", ".md"))]
    for name in set(dotted) - set(files):
        reduce(getattr, name.split("."), keras_regplus)


def test_extras_that_pages_install_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = set(extras["optional-dependencies"])
    asked = {
        extra
        for page in PAGES
        for group in re.findall(r"pip install [^\n`]*\[([\w,]+)\]", page.read_text())
        for extra in group.split(",")
    }
    assert asked <= known
