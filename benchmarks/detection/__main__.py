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

from benchmarks.detection.criteria import CRITERIA, Detector, Outcome
from benchmarks.detection.labelled import HISTORIES, UNSEEN, Run, load
from benchmarks.detection.scores import calibration, score
from benchmarks.detection.text_tables import as_markdown, as_text

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


def timed(detector: Detector, runs: Sequence[Run]) -> tuple[list[Outcome], float]:
    """The outcomes, and the seconds for an epoch."""
    began = time.perf_counter()
    outcomes = [detector(run.train, run.val) for run in runs]
    return outcomes, (time.perf_counter() - began) / sum(len(run.val) for run in runs)


def row(name: str, scores: dict[str, float], seconds: float) -> list[str]:
    return [
        name,
        f"{scores['macro-F1']:.3f} ± {scores['error']:.3f}",
        *(f"{scores[key]:.3f}" for key in ("precision", "recall", "four verdicts")),
        f"{100 * scores['within 1 %']:.0f} %",
        f"{scores['harmful stops']}",
        f"{scores['never stopped']} of {scores['overfitting runs']}",
        f"{scores['useless epochs']:.2f}",
        f"{1e6 * seconds:.0f}",
    ]


def calibration_rows(runs: Sequence[Run], outcomes: Sequence[Outcome]) -> list[list[str]]:
    rows = [["confidence", "verdicts", "said on average", "true"]]
    for tenth, (verdicts, sure, true) in enumerate(calibration(runs, outcomes)):
        figures = [f"{sure:.2f}", f"{true:.2f}"] if verdicts else ["", ""]
        rows.append([f"{tenth / 10:.1f} to {(tenth + 1) / 10:.1f}", str(verdicts), *figures])
    return rows


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
        results = {name: timed(detector, runs) for name, detector in CRITERIA.items()}
        rows = [
            row(name, score(runs, outcomes), seconds)
            for name, (outcomes, seconds) in results.items()
        ]
        ours, _ = results["TrendTracker"]
        print(f"\n{path.name}: {len(runs)} histories\n\n{table([HEAD, *rows])}")
        print(f"\n{table(calibration_rows(runs, ours))}")
        if arguments.pictures:
            # Only pictures need matplotlib.
            from benchmarks.detection.error_pictures import draw_errors

            print(f"\n{draw_errors(runs, ours, path, arguments.pictures)}")


if __name__ == "__main__":
    main()
