"""Keeps the outcome of each test of this folder, for `report.py` to write a page from.

`REGPLUS_GRID_REPORT=FOLDER python -m pytest tests/grid -m "not slow"` writes
`FOLDER/<backend>.json`. The folder must be named: only then does the process that
gathers the outcomes of pytest's workers read this file.
"""

from __future__ import annotations

import json
import os
import platform
import time
from importlib import metadata
from pathlib import Path

import pytest


class Outcomes:
    """Sees the reports of all workers."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.found: dict[str, str] = {}
        self.began = time.time()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            self.found[report.nodeid] = _outcome(report)

    def pytest_sessionfinish(self) -> None:
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        packages = {name: _version(name) for name in ("keras", "numpy", backend)}
        record = {
            "machine": f"{platform.machine()}, CPU, {os.cpu_count()} cores",
            "versions": {"python": platform.python_version(), **packages},
            "minutes": round((time.time() - self.began) / 60, 1),
            "outcomes": self.found,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{backend}.json").write_text(json.dumps(record, indent=1))


def _version(name: str) -> str:
    # TensorFlow comes in several distributions.
    found = metadata.packages_distributions().get(name, [name])
    return metadata.version(found[0])


def pytest_configure(config: pytest.Config) -> None:
    folder = os.environ.get("REGPLUS_GRID_REPORT")
    if folder and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Outcomes(Path(folder)))


def _outcome(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return f"known: {report.wasxfail}"
    if report.skipped and isinstance(report.longrepr, tuple):
        return "skipped: " + report.longrepr[2].removeprefix("Skipped: ")
    return report.outcome
