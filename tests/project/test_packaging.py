"""What `pip install` promises: metadata, extras, the command, the marker for types."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import keras_regplus

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements: list[str]) -> set[str]:
    return {requirement.partition(">")[0].partition("[")[0] for requirement in requirements}


def test_version_is_the_installed_one():
    assert importlib.metadata.version("keras-regplus") == keras_regplus.__version__


def test_version_is_in_the_changelog_or_not_yet_released():
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] in ("Unreleased", keras_regplus.__version__)


def test_runtime_needs_no_backend():
    assert names(PROJECT["dependencies"]) == {"keras", "numpy", "tensorboard", "rich"}


@pytest.mark.parametrize(
    ("extra", "needed"),
    [
        ("tensorflow", {"tensorflow"}),
        ("jax", {"jax"}),
        ("torch", {"torch"}),
        ("plot", {"matplotlib"}),
        ("demo", {"keras-regplus", "scikit-learn"}),
        ("test", {"keras-regplus"}),
    ],
)
def test_extra_brings_what_it_says(extra, needed):
    assert names(PROJECT["optional-dependencies"][extra]) == needed


def test_every_extra_that_an_extra_refers_to_exists():
    extras = PROJECT["optional-dependencies"]
    own = [r for group in extras.values() for r in group if r.startswith("keras-regplus[")]
    referred = {name for r in own for name in r[len("keras-regplus[") : -1].split(",")}
    assert referred <= set(extras)


def test_classifiers_name_the_versions_of_python():
    floor, ceiling = (
        int(part.rpartition(".")[2]) for part in PROJECT["requires-python"].split(",")
    )
    stated = {
        c for c in PROJECT["classifiers"] if c.startswith("Programming Language :: Python :: 3.")
    }
    assert stated == {f"Programming Language :: Python :: 3.{n}" for n in range(floor, ceiling)}


def test_package_is_marked_as_typed():
    assert Path(keras_regplus.__file__).with_name("py.typed").is_file()


def test_command_is_the_module():
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="keras-regplus")
    from keras_regplus.command import main

    assert script.load() is main


def test_module_runs_as_a_command():
    result = subprocess.run(
        [sys.executable, "-m", "keras_regplus", "--version"], capture_output=True, text=True
    )
    assert (result.returncode, keras_regplus.__version__ in result.stdout) == (0, True)
