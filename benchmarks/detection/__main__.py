"""Score `diagnose` and `should_stop` on labelled histories of real trainings.

    python -m benchmarks.detection [HISTORIES ...] [--markdown] [--pictures FOLDER]

Without a file it takes the two that `benchmarks.detection.labelled` describes. As a verdict,
`stagnating` counts as `plateau` and `undecided` as `healthy`. `--pictures` draws what
`TrendTracker` gets wrong.

Columns: mean F1 of "overfitting" and "not overfitting", with its standard error over
the choice of runs (bootstrap); precision and recall of "overfitting"; mean F1 of the
four verdicts; runs in which the best epoch before the stop is within 1 % of the best of
the whole run, and the number of those where it is not; overfitting runs that were never
stopped; share of their epochs after the best that were trained, where a lost best counts
as all; microseconds for an epoch.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.detection.criteria import CRITERIA, Criterion, Outcome
from benchmarks.detection.labelled import HISTORIES, UNSEEN, Run, load
from benchmarks.detection.scores import calibration, score

HEAD = [
    "criterion",
    "macro-F1",
    "precision",
    "recall",
    "four verdicts",
    "within 1 %",
    "harmful stops",
    "never stopped",
    "useless epochs",
    "µs/epoch",
]


def timed(criterion: Criterion, runs: Sequence[Run]) -> tuple[list[Outcome], float]:
    """The outcomes, and the seconds for an epoch."""
    began = time.perf_counter()
    outcomes = [criterion(run.train, run.val) for run in runs]
    return outcomes, (time.perf_counter() - began) / sum(len(run.val) for run in runs)


def row(name: str, found: dict[str, float], seconds: float) -> list[str]:
    return [
        name,
        f"{found['macro-F1']:.3f} ± {found['error']:.3f}",
        *(f"{found[key]:.3f}" for key in ("precision", "recall", "four verdicts")),
        f"{100 * found['within 1 %']:.0f} %",
        f"{found['harmful stops']}",
        f"{found['never stopped']} of {found['overfitting runs']}",
        f"{found['useless epochs']:.2f}",
        f"{1e6 * seconds:.0f}",
    ]


def calibration_rows(runs: Sequence[Run], outcomes: Sequence[Outcome]) -> list[list[str]]:
    rows = [["confidence", "verdicts", "said on average", "true"]]
    for tenth, (verdicts, sure, true) in enumerate(calibration(runs, outcomes)):
        figures = [f"{sure:.2f}", f"{true:.2f}"] if verdicts else ["", ""]
        rows.append([f"{tenth / 10:.1f} to {(tenth + 1) / 10:.1f}", str(verdicts), *figures])
    return rows


def as_text(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = ([cell.rjust(w) for cell, w in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(cells) for cells in aligned)


def as_markdown(rows: list[list[str]]) -> str:
    rows = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("histories", nargs="*", type=Path, default=[HISTORIES, UNSEEN])
    parser.add_argument("--markdown", action="store_true", help="tables for a page")
    parser.add_argument("--pictures", type=Path, help="draw what is wrong, into this folder")
    arguments = parser.parse_args()
    table = as_markdown if arguments.markdown else as_text
    print(f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}")
    for path in arguments.histories:
        runs = load(path)
        results = {name: timed(criterion, runs) for name, criterion in CRITERIA.items()}
        rows = [row(name, score(runs, said), cost) for name, (said, cost) in results.items()]
        ours, _ = results["TrendTracker"]
        print(f"\n{path.name}: {len(runs)} histories\n\n{table([HEAD, *rows])}")
        print(f"\n{table(calibration_rows(runs, ours))}")
        if arguments.pictures:
            # Only pictures need matplotlib.
            from benchmarks.detection.error_pictures import draw_errors

            print(f"\n{draw_errors(runs, ours, path, arguments.pictures)}")


if __name__ == "__main__":
    main()
