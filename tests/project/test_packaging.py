"""What the metadata promises and no installation would notice."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

import keras_regplus
from keras_regplus.command import main

pytestmark = pytest.mark.same_on_all_backends

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_version_is_in_the_changelog_or_not_yet_released():
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] in ("Unreleased", keras_regplus.__version__)


def test_classifiers_name_the_versions_of_python():
    floor, ceiling = (
        int(part.rpartition(".")[2]) for part in PROJECT["requires-python"].split(",")
    )
    stated = {
        c for c in PROJECT["classifiers"] if c.startswith("Programming Language :: Python :: 3.")
    }
    assert stated == {f"Programming Language :: Python :: 3.{n}" for n in range(floor, ceiling)}


def test_command_is_the_module():
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="keras-regplus")
    assert script.load() is main
