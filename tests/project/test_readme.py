"""What pages say of files, names, extras and commands is true."""

from __future__ import annotations

import pkgutil
import re
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.same_on_all_backends

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def test_demo_command_stands_on_a_line_of_its_own():
    command = 'python -m pip install ".[demo]" && python -m keras_regplus demo'
    assert command in README.read_text().splitlines()


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
        pkgutil.resolve_name(f"keras_regplus.{name}")


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
