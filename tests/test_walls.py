"""The walls between the rooms of the house, and what an import may cost."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import keras_regplus

PACKAGE = Path(keras_regplus.__file__).parent
PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
SOURCES = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}
CONTRACTS = [
    contract["id"]
    for contract in tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["contracts"]
]

# The clock alone may depend on how Keras works inside: three files, and the observer of losses.
OUTSIDE = {
    file: path
    for file, path in SOURCES.items()
    if file not in ("clock.py", "frames.py", "loss_parts.py", "wiring.py")
}

# Names of Python's own that begin with an underscore.
PYTHONS_OWN = {"_SubParsersAction", "_asdict", "_fields", "_getframe", "_replace"}

# What `import keras_regplus` must not import, even where it is installed.
HEAVY = ("tensorflow", "jax", "torch", "tensorboard", "matplotlib", "rich", "sklearn", "pandas")


def lint(contract: str, folder: Path) -> subprocess.CompletedProcess:
    """Read the imports of the package in `folder` against one wall."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from importlinter.cli import lint_imports; "
        "sys.exit(lint_imports(sys.argv[2], (sys.argv[3],), no_cache=True))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(folder), str(PYPROJECT), contract],
        capture_output=True,
        text=True,
        cwd=folder,
    )


@pytest.mark.parametrize("contract", CONTRACTS)
def test_imports_respect_the_wall(contract):
    result = lint(contract, PACKAGE.parent)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("contract", "file", "line"),
    [
        ("floors", "regularizers/scheduled.py", "from keras_regplus import callbacks"),
        ("floors", "schedules/base.py", "from keras_regplus import scheduled"),
        ("floors", "clock.py", "from keras_regplus.schedules import base"),
        ("numpy-only", "diagnosis/trend.py", "import keras"),
        ("numpy-only", "histograms/__init__.py", "def f():\n    import tensorflow"),
        (
            "callbacks-apart",
            "callbacks/epoch_dots.py",
            "import keras_regplus.callbacks.weight_histogram",
        ),
    ],
)
def test_a_forbidden_import_is_found(contract, file, line, tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "keras_regplus", ignore=shutil.ignore_patterns("*.pyc"))
    with (tmp_path / "keras_regplus" / file).open("a") as source:
        source.write(f"\n{line}\n")
    assert "BROKEN" in lint(contract, tmp_path).stdout


def test_every_callback_file_stands_behind_the_wall():
    table = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["contracts"]
    (modules,) = (row["modules"] for row in table if row["id"] == "callbacks-apart")
    files = {name.rpartition(".")[2] for name in modules}
    # Actions are no callbacks: the detector hands them on.
    assert files == {path.stem for path in PACKAGE.glob("callbacks/[!_]*.py")} - {"actions"}


def is_keras_inside(node: ast.AST) -> bool:
    """Whether a node imports from `keras.src`, or asks which backend runs (to print it is fine)."""
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").startswith("keras.src")
    if isinstance(node, ast.Import):
        return any(alias.name.startswith("keras.src") for alias in node.names)
    if isinstance(node, ast.Call):
        return ast.unparse(node.func).rpartition(".")[2] == "backend"
    return isinstance(node, ast.Attribute) and ast.unparse(node).startswith("keras.src")


def names_of_ours() -> set[str]:
    """Functions, classes, variables and attributes that the package defines."""
    found = set()
    for node in (
        node for path in SOURCES.values() for node in ast.walk(ast.parse(path.read_text()))
    ):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.attr if isinstance(node, ast.Attribute) else node.id)
    return found


def unexplained(source: str, matches: Callable[[ast.AST], bool]) -> list[str]:
    """Lines with a matching node that have no comment on them or just above."""
    lines = ["", *source.splitlines()]
    tree = ast.parse(source)
    printed = {
        id(inner) for f in ast.walk(tree) if isinstance(f, ast.JoinedStr) for inner in ast.walk(f)
    }
    numbers = {n.lineno for n in ast.walk(tree) if id(n) not in printed and matches(n)}
    return [
        lines[number].strip()
        for number in sorted(numbers)
        if "#" not in lines[number] and not lines[number - 1].lstrip().startswith("#")
    ]


def test_only_the_clock_depends_on_what_is_inside_keras():
    found = {file: unexplained(path.read_text(), is_keras_inside) for file, path in OUTSIDE.items()}
    assert {file: lines for file, lines in found.items() if lines} == {}


def test_only_the_clock_uses_private_names_of_keras():
    known = names_of_ours() | PYTHONS_OWN

    def is_foreign(node: ast.AST) -> bool:
        private = isinstance(node, ast.Attribute) and re.match(r"_[^_]", node.attr)
        return bool(private) and node.attr not in known

    found = {file: unexplained(path.read_text(), is_foreign) for file, path in OUTSIDE.items()}
    assert {file: lines for file, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "line",
    [
        "from keras.src import backend",
        "import keras.src.losses",
        "if keras.backend.backend() == 'jax': pass",
        "if keras.config.backend() == 'jax': pass",
    ],
)
def test_what_is_inside_keras_is_seen_unless_explained(line):
    assert unexplained(line, is_keras_inside) == [line]
    assert unexplained(f"# The reason.\n{line}", is_keras_inside) == []


def in_new_process(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_adds_no_heavy_module():
    code = (
        "import sys, json, keras; before = set(sys.modules); import keras_regplus; "
        "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    )
    assert set(json.loads(in_new_process(code).splitlines()[-1])) & set(HEAVY) == set()


def test_import_asks_for_no_heavy_module_that_keras_has_imported_already():
    # None in sys.modules makes every import of that name an ImportError.
    code = f"import sys, keras; sys.modules.update(dict.fromkeys({HEAVY!r})); import keras_regplus"
    in_new_process(code)
