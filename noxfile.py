"""What is checked, described once: people and `.ci/run` call the same sessions.

`nox` runs all of it, `nox --list` names the sessions, `nox -s "tests(jax)"` runs one, and
`nox -P 3.13 -s "tests(jax)"` runs it on another Python. The versions of the tools stand in
pyproject.toml.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tarfile
import zipfile
from pathlib import Path

import nox

nox.options.error_on_missing_interpreters = True

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
BACKENDS = ["tensorflow", "jax", "torch"]
# Slow tests stand side by side: a worker that is done takes some from the others.
IN_PARALLEL = ["-n", "auto", "--maxprocesses", "4", "--dist", "worksteal"]

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
    "SECURITY.md",
    "LICENSE",
]


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting and spelling, and the files that GitHub reads."""
    install(session, *group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    # Folders whose names begin with a dot are checked only where they are named.
    session.run("codespell", ".", ".ci", ".github")
    for schema, files in GITHUB_FILES.items():
        paths = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(files))
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *paths)
    session.run("zizmor", "--offline", "--quiet", ".github/workflows")


@nox.session
def types(session: nox.Session) -> None:
    """Types of the package, with Keras untyped."""
    install(session, *group("types"))
    session.run("mypy", "--cache-dir", session.create_tmp())


@nox.session
def docs(session: nox.Session) -> None:
    """The pages as a site, in `site/`. Sources are read, so nothing of ours is installed."""
    install(session, *group("docs"))
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
        install(session, *group("torch-for-cpu"))
    # The README's command runs the others on TensorFlow. Another Python brings other
    # libraries, so there they run on every backend.
    is_enough_once = backend != "tensorflow" and session.python is None
    run_suite(session, backend, marked="not same_on_all_backends" if is_enough_once else "")


@nox.session
def oldest(session: nox.Session) -> None:
    """The tests that meet Keras most, with the oldest versions that pyproject.toml allows."""
    run_suite(session, "jax", *oldest_allowed("jax"), marked="meets_keras")


@nox.session
def demo(session: nox.Session) -> None:
    """The demo as a new user runs it, with few epochs."""
    install(session, ".[demo]")
    output = Path(session.create_tmp()) / "demo"
    arguments = session.posargs or ["--epochs", "3"]
    session.run("python", "-m", "keras_regplus", "demo", "--output", str(output), *arguments)
    if not list(output.rglob("*.png")):
        session.error("The demo must leave a picture.")


GITHUB_FILES = {
    "github-workflows": ".github/workflows/*.yml",
    "github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "github-issue-forms": ".github/ISSUE_TEMPLATE/*_re*.yml",
}
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


def group(name: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(PYPROJECT, name)


def install(session: nox.Session, *arguments: str) -> None:
    """Install packages; a download that fails once is tried again."""
    try:
        session.install(*arguments)
    except nox.command.CommandFailed:
        session.warn("Installing failed; trying once more.")
        session.install(*arguments)


def build(session: nox.Session) -> Path:
    """Wheel and sdist in a folder of the session."""
    install(session, *group("build"), *PYPROJECT["build-system"]["requires"])
    folder = Path(session.create_tmp()) / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", "--no-isolation", "--outdir", str(folder), silent=True)
    return next(folder.glob("*.whl"))


def run_suite(session: nox.Session, backend: str, *pins: str, marked: str) -> None:
    """Test the wheel on `backend`, away from the checkout."""
    wheel = build(session)
    install(session, f"{wheel}[suite,{backend}]", *pins)
    if backend == "jax":
        session.run("python", "-c", NO_TENSORFLOW)
    away = Path(session.create_tmp()) / "away"
    copy_tests(away)
    session.chdir(away)
    session.run("python", "-c", NOT_FROM_THE_CHECKOUT, str(ROOT))
    arguments = [*IN_PARALLEL, *session.posargs, "-m", expression(session.posargs, marked)]
    session.run("python", "-m", "pytest", *arguments, env={"KERAS_BACKEND": backend})


def expression(arguments: list[str], marked: str) -> str:
    """The last `-m` of `arguments`, or pyproject's, and `marked`: pytest itself takes one alone."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-m")
    usual = PYPROJECT["tool"]["pytest"]["ini_options"]["addopts"]
    chosen = parser.parse_known_args([*usual, *arguments])[0].m.strip()
    return " and ".join(f"({part})" for part in (chosen, marked) if part)


def oldest_allowed(extra: str) -> list[str]:
    """What users are asked for, each in the first version that is allowed."""
    project = PYPROJECT["project"]
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
