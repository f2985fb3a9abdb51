"""What is checked, described once: people and `.ci/run` call the same sessions.

`nox` runs all of it, `nox --list` names the sessions, `nox -s "tests(jax)"` runs one.
"""

from __future__ import annotations

import re
import shutil
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import nox

nox.options.error_on_missing_interpreters = True

ROOT = Path(__file__).parent
BACKENDS = ["tensorflow", "jax", "torch"]

# What the tests read beside the package.
BESIDE_THE_PACKAGE = [
    "tests",
    "docs",
    "examples",
    "benchmarks",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
]


MEET_KERAS = [
    "tests/contract",
    "tests/grid",
    "tests/test_drop_connect.py",
    "tests/test_regularization_scheduler.py",
    "tests/test_regularizers.py",
    "tests/test_scheduled_dropout.py",
    "tests/test_verification.py",
]

# No backend has a part in these: the README's command runs them, and once is enough.
SAME_ON_ALL_BACKENDS = [
    "tests/test_benchmarks.py",
    "tests/test_command.py",
    "tests/test_diagnose_command.py",
    "tests/test_diagnosis.py",
    "tests/test_epoch_dots_output.py",
    "tests/test_event_writer.py",
    "tests/test_histograms.py",
    "tests/test_layer_benchmarks.py",
    "tests/test_plot*.py",
    "tests/test_prechelt.py",
    "tests/test_read_history.py",
    "tests/test_walls.py",
]


@nox.session
def lint(session: nox.Session) -> None:
    """Style and formatting."""
    install(session, "ruff>=0.12")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Types of the package, with Keras untyped."""
    install(session, "mypy>=1.15", "numpy>=1.26", "rich>=13")
    session.run("mypy", "--cache-dir", session.create_tmp())


@nox.session
def docs(session: nox.Session) -> None:
    """The pages as a site, in `site/`. Sources are read, so nothing of ours is installed."""
    project = nox.project.load_toml(ROOT / "pyproject.toml")["project"]
    install(session, *project["optional-dependencies"]["docs"])
    # A notice about other versions of MkDocs is no finding.
    session.run("mkdocs", "build", "--strict", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def package(session: nox.Session) -> None:
    """The wheel and the sdist hold what they should."""
    wheel = build(session)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    session.log("\n".join(["wheel:", *names]))
    tops = {name.split("/")[0] for name in names}
    expected = {"keras_regplus", f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"}
    if tops != expected:
        session.error(f"The wheel must hold {expected} and nothing else, got {tops}.")
    if "keras_regplus/py.typed" not in names:
        session.error("The wheel must hold keras_regplus/py.typed.")
    with tarfile.open(next(wheel.parent.glob("*.tar.gz"))) as archive:
        session.log("\n".join(["sdist:", *archive.getnames()]))


@nox.session
@nox.parametrize("backend", BACKENDS, ids=BACKENDS)
def tests(session: nox.Session, backend: str) -> None:
    """The suite on one backend, against the installed wheel, away from the checkout.

    Arguments after `--` go to pytest: `-m grid` for the wide grid alone.
    """
    if backend == "torch":
        # This version has a build for the CPU alone; a newer one may bring gigabytes of CUDA.
        install(session, "torch==2.13.0")
    ignored = [f"--ignore-glob={pattern}" for pattern in SAME_ON_ALL_BACKENDS]
    run_suite(session, backend, options=ignored if backend != "tensorflow" else ())


@nox.session
def oldest(session: nox.Session) -> None:
    """The tests that meet Keras most, with the oldest versions that pyproject.toml allows."""
    run_suite(session, "jax", *oldest_allowed("jax"), tests=MEET_KERAS)


@nox.session
def demo(session: nox.Session) -> None:
    """The demo as a new user runs it, with few epochs."""
    install(session, ".[demo]")
    output = Path(session.create_tmp()) / "demo"
    arguments = session.posargs or ["--epochs", "3"]
    session.run("python", "-m", "keras_regplus", "demo", "--output", str(output), *arguments)
    if not list(output.rglob("*.png")):
        session.error("The demo must leave a picture.")


NO_TENSORFLOW = """
import importlib.util
assert importlib.util.find_spec("tensorflow") is None, "TensorFlow must not be installed here"
"""
NOT_FROM_THE_CHECKOUT = """
import importlib.util, sys
found = importlib.util.find_spec("keras_regplus").origin
assert not found.startswith(sys.argv[1] + "/keras_regplus"), found
print("testing", found)
"""


def install(session: nox.Session, *arguments: str) -> None:
    """Install packages; a download that fails once is tried again."""
    try:
        session.install(*arguments)
    except nox.command.CommandFailed:
        session.warn("Installing failed; trying once more.")
        session.install(*arguments)


def build(session: nox.Session) -> Path:
    """Wheel and sdist in a folder of the session."""
    install(session, "build>=1.2", "hatchling>=1.27")
    folder = Path(session.create_tmp()) / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", "--no-isolation", "--outdir", str(folder), silent=True)
    return next(folder.glob("*.whl"))


def run_suite(
    session: nox.Session,
    backend: str,
    *pins: str,
    tests: Sequence[str] = (),
    options: Sequence[str] = (),
) -> None:
    """Test the wheel on `backend`, away from the checkout."""
    wheel = build(session)
    install(session, f"{wheel}[suite,{backend}]", *pins)
    if backend == "jax":
        session.run("python", "-c", NO_TENSORFLOW)
    away = Path(session.create_tmp()) / "away"
    copy_tests(away)
    session.chdir(away)
    session.run("python", "-c", NOT_FROM_THE_CHECKOUT, str(ROOT))
    arguments = [*(session.posargs or tests), *options]
    session.run("python", "-m", "pytest", *arguments, env={"KERAS_BACKEND": backend})


def oldest_allowed(extra: str) -> list[str]:
    """What users are asked for, each in the first version that is allowed."""
    project = nox.project.load_toml(ROOT / "pyproject.toml")["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"][extra]]
    return [re.sub(r">=([\d.]+).*", r"==\1", requirement) for requirement in asked]


def copy_tests(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in BESIDE_THE_PACKAGE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        elif source.exists():
            shutil.copy(source, folder / name)
