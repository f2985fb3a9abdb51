"""Writes `docs/grid.md` from the outcomes that `conftest.py` has kept.

`python -m tests.grid.report FOLDER`, with a file for each backend in FOLDER; one that is
missing was not run.
"""

from __future__ import annotations

import json
import re
import string
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from .compilations import HOW, REASONS, reason_against
from .places import WHERE

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "grid.md"
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "torch"}
CELL = re.compile(r"test_grid\.py::test_exact\[(.+)\|(.+)\]$")
DEVICES = re.compile(r"test_several_devices\.py::test_several_devices\[(.+)\]$")
# What pytest calls a test whose list of parameters is empty: torch has no such cell.
NO_PARAMETERS = "NOTSET"
OTHER = re.compile(r"grid/(?!test_grid|test_several|test_report)(\w+)\.py::test_(\w+)")

INTRODUCTION = """\
# The grid

Strengths are exact wherever a regularizer sits, however its model is compiled, and
whenever a training begins, resumes or is cut short. `tests/grid/report.py` writes these
tables from the outcomes of the last run of `tests/grid`; do not edit them.

Each test is a frozen fit: weights stand still, so the loss of every step is the
strength at that step times a penalty that is known in closed form. A cell compares the
`loss` of each step, `val_loss`, `evaluate` and `model.losses` to a relative error of 1e-5
(3e-3 in `mixed_float16` and 1e-2 in `mixed_bfloat16`, which have fewer digits).

Run it with

```sh
KERAS_BACKEND=jax python -m pytest -m grid
```

or `nox -s "tests(jax)" -- -m grid`, and write this page with

```sh
for backend in tensorflow jax torch; do
    REGPLUS_GRID_REPORT=outcomes KERAS_BACKEND=$backend python -m pytest tests/grid -m "not slow"
done
python -m tests.grid.report outcomes
```
"""


def page(records: dict[str, dict]) -> str:
    """The whole page, from the record of each backend."""
    outcomes = {b: records[b]["outcomes"] if b in records else {} for b in BACKENDS}
    parts = [INTRODUCTION, *origin(records), *compilations(outcomes), *devices(outcomes)]
    return "\n".join([*parts, *moments(outcomes)]) + "\n"


def origin(records: dict[str, dict]) -> list[str]:
    rows = [
        [BACKENDS[backend], *versions_of(record), record["machine"], f"{record['minutes']} minutes"]
        for backend, record in records.items()
    ]
    return ["## The last run", "", *table(["backend", "versions", "machine", "time"], rows)]


def versions_of(record: dict) -> list[str]:
    return [", ".join(f"{name} {version}" for name, version in record["versions"].items())]


def compilations(outcomes: dict[str, dict]) -> list[str]:
    letters = dict(zip(HOW, string.ascii_lowercase, strict=False))
    rows = [[where, *(cell(outcomes, where, how) for how in HOW)] for where in WHERE]
    return [
        "## Where a regularizer sits, and how its model is compiled",
        "",
        "`E`: exact on TensorFlow, JAX and torch. Where they differ, a cell gives the three in "
        "this order; `?` means that the last run left it out.",
        "",
        *(f"- `{letter}` {how}" for how, letter in letters.items()),
        "",
        *table(["place", *letters.values()], rows),
        *(f"- `{key}` {reason}" for key, reason in REASONS.items()),
        "",
    ]


def cell(outcomes: dict[str, dict], where: str, how: str) -> str:
    marks = []
    for backend in BACKENDS:
        found = by(CELL, outcomes[backend]).get((where, how), ["not run"])
        marks.append(reason_against(where, how, backend) or mark(found))
    return marks[0] if len(set(marks)) == 1 else " ".join(marks)


def devices(outcomes: dict[str, dict]) -> list[str]:
    rows = [
        [name, BACKENDS[backend], mark(found)]
        for backend in BACKENDS
        for (name,), found in by(DEVICES, outcomes[backend]).items()
        if name != NO_PARAMETERS
    ]
    return [
        "## Several devices",
        "",
        "On two devices that share a CPU. Besides strengths, `data_loss` and `penalty` are "
        "compared. `MirroredStrategy` has no row with `steps_per_execution` or with gradient "
        "accumulation: Keras itself fails there, and tests show it.",
        "",
        *table(["distribution", "backend", "outcome"], rows),
    ]


def moments(outcomes: dict[str, dict]) -> list[str]:
    """The other modules of this folder: one table each, one row for each test."""
    found = {backend: by(OTHER, outcomes[backend]) for backend in BACKENDS}
    modules = defaultdict(dict)
    for module, test in (key for each in found.values() for key in each):
        modules[module][test] = [
            mark(found[b].get((module, test), []) if outcomes[b] else ["not run"]) for b in BACKENDS
        ]
    lines = []
    for module, tests in sorted(modules.items()):
        rows = [[test.replace("_", " "), *marks] for test, marks in tests.items()]
        lines += [f"## {title(module)}", "", *table(["test", *BACKENDS.values()], rows)]
    return [
        *lines,
        "`-`: the test does not apply to this backend, and says why. "
        "`not yet`: a known fault, which the test names.",
    ]


def title(module: str) -> str:
    """The first line of a module's docstring."""
    return (FOLDER / f"{module}.py").read_text().split('"""')[1].splitlines()[0].rstrip(".")


def by(pattern: re.Pattern, outcomes: dict[str, str]) -> dict[tuple[str, ...], list[str]]:
    """Outcomes by what `pattern` finds in the names of tests."""
    found = defaultdict(list)
    for name, outcome in outcomes.items():
        if match := pattern.search(name):
            found[match.groups()].append(outcome)
    return found


def mark(found: Iterable[str]) -> str:
    """One word for the outcomes of a test and its parameters."""
    kinds = {outcome.partition(":")[0] for outcome in found} - {"skipped"}
    if kinds == {"not run"}:
        return "?"
    if kinds <= {"passed", "known"}:
        return "not yet" if "known" in kinds else "E" if kinds else "-"
    return "FAILED"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [*("| " + " | ".join(line) + " |" for line in lines), ""]


def main(folder: str) -> None:
    files = {backend: Path(folder) / f"{backend}.json" for backend in BACKENDS}
    there = {backend: file for backend, file in files.items() if file.exists()}
    PAGE.write_text(page({b: json.loads(file.read_text()) for b, file in there.items()}))


if __name__ == "__main__":
    main(sys.argv[1])
