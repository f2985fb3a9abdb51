"""What holds for every test; the backend comes from `KERAS_BACKEND`."""

from __future__ import annotations

import os

import hypothesis
import pytest

# Read when a backend is imported, so Keras is imported further down. Two workers of
# pytest share two cores: with more threads each they would fight.
for _name, _value in {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
}.items():
    os.environ.setdefault(_name, _value)

hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    # Not in pyproject.toml: pytest would import Keras for the class before this file
    # has set the environment.
    config.addinivalue_line("filterwarnings", "error::keras_regplus.RegPlusWarning")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    import keras

    keras.utils.set_random_seed(0)
