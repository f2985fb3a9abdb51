"""Readers find a page for the words they search for, and short pages to begin with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.same_on_all_backends

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
INCLUDED = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)

PAGE_OF = {
    "pretrained": "penalties",
    "freeze": "penalties",
    "transfer learning": "penalties",
    "weight decay schedule": "penalties",
    "patience": "diagnosis",
    "early stopping": "diagnosis",
    "several outputs": "diagnosis",
    "resume": "saving",
    "windows": "limits",
    "citation": "limits",
    "tf_keras": "limits",
    "security": "security",
    "vulnerability": "security",
}


@pytest.mark.parametrize(("word", "page"), PAGE_OF.items())
def test_word_that_people_search_for_is_on_its_page(word, page):
    assert word in text_of(page).lower()


def text_of(page: str) -> str:
    """A page as the site shows it, with the files that it includes."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    return INCLUDED.sub(lambda included: (ROOT / included[1]).read_text(encoding="utf-8"), text)


def test_the_how_to_of_the_detector_stays_one():
    assert len((DOCS / "diagnosis.md").read_text(encoding="utf-8").splitlines()) < 100


def test_terminal_in_the_readme_is_what_a_terminal_of_80_columns_showed():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```console\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert shown in (DOCS / "terminal" / "columns_80.txt").read_text(encoding="utf-8")


def test_readme_is_short_and_begins_with_ten_lines_of_code():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 140
    code = re.search(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert sum(bool(line.strip()) for line in code[1].splitlines()) <= 10
