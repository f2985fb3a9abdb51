"""The import rules between the parts of the package, and what an import may cost."""

from __future__ import annotations

import ast
import importlib
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

pytestmark = pytest.mark.same_on_all_backends

PACKAGE = Path(keras_regplus.__file__).parent
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
SOURCES = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}
CONTRACTS = [
    contract["id"]
    for contract in tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["contracts"]
]

# The clock alone may depend on how Keras works inside.
OUTSIDE = {file: path for file, path in SOURCES.items() if not file.startswith("clock/")}

# Names of Python's own that begin with an underscore.
PYTHONS_OWN = {"_SubParsersAction", "_asdict", "_fields", "_getframe", "_replace"}

# What `import keras_regplus` must not import, even where it is installed.
HEAVY = ("tensorflow", "jax", "torch", "tensorboard", "matplotlib", "rich", "sklearn", "pandas")


def lint(contract: str, folder: Path) -> subprocess.CompletedProcess:
    """Read the imports of the package in `folder` against one rule."""
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
def test_imports_respect_the_rule(contract):
    result = lint(contract, PACKAGE.parent)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("contract", "file", "line"),
    [
        ("layers", "regularizers/scheduled.py", "from keras_regplus import callbacks"),
        ("layers", "schedules/serialization.py", "from keras_regplus import clock"),
        ("layers", "clock/clock.py", "from keras_regplus import regularizers"),
        ("layers", "histories/read.py", "from keras_regplus import diagnosis"),
        ("numpy-only", "diagnosis/trend.py", "import keras"),
        ("numpy-only", "histories/epochs.py", "import keras"),
        ("numpy-only", "histograms/__init__.py", "def f():\n    import tensorflow"),
        (
            "callbacks-apart",
            "callbacks/epoch_dots/_report.py",
            "import keras_regplus.callbacks.weight_histogram",
        ),
    ],
)
def test_a_forbidden_import_is_found(contract, file, line, tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "keras_regplus", ignore=shutil.ignore_patterns("*.pyc"))
    with (tmp_path / "keras_regplus" / file).open("a") as source:
        source.write(f"\n{line}\n")
    assert "BROKEN" in lint(contract, tmp_path).stdout


def test_every_callback_is_in_the_rule():
    table = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["contracts"]
    (modules,) = (row["modules"] for row in table if row["id"] == "callbacks-apart")
    folders = {path.parent.name for path in PACKAGE.glob("callbacks/*/__init__.py")}
    # Actions are no callbacks: the detector runs them.
    folders.remove("actions")
    assert {name.rpartition(".")[2] for name in modules} == folders


def foreign_private_modules(module: str, is_package: bool, source: str) -> list[str]:
    """Modules with an underscore that `module` imports from a folder it does not lie in."""
    home = module if is_package else module.rpartition(".")[0]
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            owner, private, _ = name.partition("._")
            if private and owner.startswith("keras_regplus") and f"{home}.".find(f"{owner}.") != 0:
                found.append(name)
    return found


@pytest.mark.parametrize("file", SOURCES)
def test_a_file_with_an_underscore_belongs_to_its_folder(file):
    path = Path("keras_regplus", file)
    is_package = path.name == "__init__.py"
    module = ".".join((path.parent if is_package else path.with_suffix("")).parts)
    assert foreign_private_modules(module, is_package, SOURCES[file].read_text()) == []


@pytest.mark.parametrize(
    ("module", "line", "is_allowed"),
    [
        ("keras_regplus.plots.history", "from keras_regplus.plots._marks import Marks", True),
        ("keras_regplus.plots.history", "from keras_regplus._checks import count", True),
        ("keras_regplus.callbacks.a._b", "from keras_regplus.callbacks import _chief", True),
        ("keras_regplus.plots.history", "from keras_regplus.histories._a import b", False),
        ("keras_regplus.plots.history", "from keras_regplus.histories import _a", False),
        ("keras_regplus.plots.history", "import keras_regplus.histories._a", False),
        ("keras_regplus.histories_2.a", "from keras_regplus.histories._a import b", False),
    ],
)
def test_an_import_of_a_foreign_private_file_is_found(module, line, is_allowed):
    assert (foreign_private_modules(module, False, line) == []) is is_allowed


# Each import that the documentation names, whatever file it comes from.
DOCUMENTED = {
    "keras_regplus": ["RegPlusWarning", "__version__", "at", "custom_objects"],
    "keras_regplus.callbacks": [
        "EpochDots",
        "OverfittingDetector",
        "RegularizationScheduler",
        "WeightHistogram",
        "actions",
    ],
    "keras_regplus.callbacks.actions": [
        "Action",
        "RaiseDropout",
        "RaiseRegularization",
        "ReduceLearningRate",
    ],
    "keras_regplus.callbacks.epoch_dots": ["EpochDots"],
    "keras_regplus.callbacks.overfitting_detector": ["OverfittingDetector"],
    "keras_regplus.callbacks.regularization_scheduler": [
        "PartCheck",
        "RegularizationScheduler",
        "Verification",
    ],
    "keras_regplus.callbacks.weight_histogram": ["WeightHistogram"],
    "keras_regplus.diagnosis": [
        "GL",
        "PQ",
        "UP",
        "VERDICTS",
        "Criterion",
        "Diagnosis",
        "HistoryLike",
        "TrendTracker",
        "Verdict",
        "diagnose",
        "diagnose_history",
        "read_history",
    ],
    "keras_regplus.histograms": ["EventWriter", "Histogram", "histogram"],
    "keras_regplus.layers": [
        "DropBlock1D",
        "DropBlock2D",
        "DropBlock3D",
        "DropConnect",
        "DropPath",
        "ScheduledDropout",
        "ScheduledGaussianNoise",
        "drop_path_rates",
    ],
    "keras_regplus.plots": [
        "HistoryPlotter",
        "plot_diagnosis",
        "plot_history",
        "plot_schedule",
        "plot_weights",
    ],
    "keras_regplus.regularizers": [
        "Scheduled",
        "ScheduledL1",
        "ScheduledL1L2",
        "ScheduledL2",
        "WarmupL1L2",
        "get",
    ],
    "keras_regplus.schedules": [
        "PartLike",
        "Schedule",
        "ScheduleLike",
        "Unit",
        "deserialize",
        "get",
        "serialize",
    ],
    "keras_regplus.testing": [
        "FrozenFit",
        "check_callback",
        "check_layer",
        "check_regularizer",
        "check_schedule",
        "frozen_fit",
    ],
    "keras_regplus.command": ["main"],
}


@pytest.mark.parametrize("module", DOCUMENTED)
def test_documented_imports_stay(module):
    found = importlib.import_module(module)
    assert [name for name in DOCUMENTED[module] if not hasattr(found, name)] == []


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
