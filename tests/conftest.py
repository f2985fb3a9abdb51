"""What holds for every test; the backend comes from `KERAS_BACKEND`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import hypothesis
import pytest

# Read when a backend is imported, so Keras is imported further down. The workers
# of pytest share the cores: with more threads each they would fight.
for _name, _value in {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
}.items():
    os.environ.setdefault(_name, _value)

# Most of the time of a test on JAX goes into compiling, often what another has compiled. Each
# worker keeps that for itself: JAX writes without a lock. How fast the code runs matters little.
_compiled_by_jax = tempfile.TemporaryDirectory()
if os.environ.get("KERAS_BACKEND") == "jax":
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled_by_jax.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("suite")


HERE = Path(__file__).parent
# Whole folders; the mark of a single file stands at its top.
MARKS = {
    "benchmarks": pytest.mark.same_on_all_backends,
    "command": pytest.mark.same_on_all_backends,
    "contract": pytest.mark.meets_keras,
    "diagnosis": pytest.mark.same_on_all_backends,
    "grid": pytest.mark.meets_keras,
    "histograms": pytest.mark.same_on_all_backends,
    "histories": pytest.mark.same_on_all_backends,
    "plots": pytest.mark.same_on_all_backends,
    "regularizers": pytest.mark.meets_keras,
}


def pytest_configure(config: pytest.Config) -> None:
    # Not in pyproject.toml: pytest would import Keras for the class before this file
    # has set the environment.
    config.addinivalue_line("filterwarnings", "error::keras_regplus.RegPlusWarning")


def pytest_unconfigure() -> None:
    _compiled_by_jax.cleanup()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        mark = MARKS.get(item.path.relative_to(HERE).parts[0])
        if mark is not None:
            item.add_marker(mark)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    import keras

    keras.utils.set_random_seed(0)
