"""Strengths, and both parts of the loss, are exact on several devices."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .several_devices import CELLS, REFUSED

ROOT = Path(__file__).parents[2]
NAMES = list(CELLS)


@functools.cache
def outcomes(*names):
    """What the script printed: one process for all cells, or for those named."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.grid.several_devices", *names],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def assert_exact(outcome):
    assert "error" not in outcome, outcome["error"]
    assert outcome
    for key, (found, expected) in outcome.items():
        scale = np.max(np.abs(expected))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * scale, err_msg=key)


@pytest.mark.grid
@pytest.mark.parametrize("name", NAMES)
def test_several_devices(name):
    assert_exact(outcomes()[name])


@pytest.mark.parametrize("name", NAMES[:1])
def test_two_devices(name):
    assert_exact(outcomes(name)[name])


@pytest.mark.grid
@pytest.mark.parametrize("name", REFUSED)
def test_keras_itself_cannot_do(name):
    """With a plain penalty; on the day that this fails the cell belongs to the others."""
    assert REFUSED[name] in outcomes(name)[name]["error"]
