"""The examples run as they stand, and follow their schedule."""

import os
import subprocess
import sys
from pathlib import Path

import keras

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_own_loop_of_this_backend_follows_its_schedule():
    backend = keras.backend.backend()
    printed = subprocess.run(
        [sys.executable, str(EXAMPLES / f"own_loop_{backend}.py")],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    # 0.1 * min(t / 4, 1)
    assert printed.strip() == "[0.0, 0.025, 0.05, 0.075, 0.1, 0.1]"


def test_there_is_one_for_each_backend():
    assert {path.stem for path in EXAMPLES.glob("own_loop_*.py")} == {
        f"own_loop_{backend}" for backend in ("jax", "tensorflow", "torch")
    }
