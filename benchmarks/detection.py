"""Score `diagnose` and `should_stop` on labelled histories of real trainings.

    python -m benchmarks.detection [HISTORIES.json]

The file, which may be compressed (`.gz`), is a list of objects with `train` and
`val` (losses by epoch, null where not finite) and `label`: `healthy`, `plateau`,
`overfitting` or `diverging`. As a verdict, `stagnating` counts as `plateau` and
`undecided` as `healthy`.

The default file holds 70 real trainings of small networks on small tables. Each is
one of 16 runs of a configuration; its label comes from the mean of all 16. The
constants of the criterion were chosen on these histories, so its figures flatter.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_regplus.diagnosis import TrendTracker

HISTORIES = Path(__file__).parent / "data" / "histories.json.gz"
LABELS = ("healthy", "plateau", "overfitting", "diverging")
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
    "us/epoch",
]
COUNTS_AS = {"stagnating": "plateau", "undecided": "healthy"}


def run(train: list[float], val: list[float]) -> tuple[str, int]:
    """The verdict on the whole history, and the last epoch that `should_stop` lets run."""
    tracker, stop = TrendTracker(), len(val) - 1
    for epoch, pair in enumerate(zip(train, val, strict=True)):
        diagnosis = tracker.update(*pair)
        if diagnosis.should_stop:
            stop = min(stop, epoch)
    return COUNTS_AS.get(diagnosis.verdict, diagnosis.verdict), stop


def patience(epochs: int) -> Callable[[list[float], list[float]], tuple[str, int]]:
    """EarlyStopping with this patience: what it stops, it calls overfitting."""

    def stopper(train: list[float], val: list[float]) -> tuple[str, int]:
        best, waited = math.inf, 0
        for epoch, value in enumerate(val):
            best, waited = (value, 0) if value < best else (best, waited + 1)
            if waited >= epochs:
                return "overfitting", epoch
        return "healthy", len(val) - 1

    return stopper


def precision_recall_f1(truth: list[bool], said: list[bool]) -> tuple[float, float, float]:
    """Of the histories said to be positive; 0 where nothing is there to count."""
    hits = sum(t and s for t, s in zip(truth, said, strict=True))
    precision = hits / max(sum(said), 1)
    recall = hits / max(sum(truth), 1)
    return precision, recall, 2 * hits / max(sum(truth) + sum(said), 1)


def macro_f1(truth: list[str], said: list[str], labels: list[str]) -> float:
    """The mean F1 over the labels."""
    per_label = (
        [[t == k for t in truth] for k in labels],
        [[s == k for s in said] for k in labels],
    )
    return statistics.mean(precision_recall_f1(t, s)[2] for t, s in zip(*per_label, strict=True))


def kept(val: list[float], stop: int) -> bool:
    """Whether the best value up to the stop is within 1 % of the best of the whole run."""
    best = min(val)
    return not math.isfinite(best) or min(val[: stop + 1]) <= best + 0.01 * abs(best)


def wasted(val: list[float], stop: int) -> float:
    """Share of the epochs after the best that were trained; 1 if the best was lost."""
    best = val.index(min(val))
    return min(max(stop - best, 0) / max(len(val) - 1 - best, 1), 1) if kept(val, stop) else 1.0


def score(name: str, criterion: Callable[..., tuple[str, int]], runs: list[dict]) -> list[str]:
    """One row of the table."""
    began = time.perf_counter()
    verdicts, stops = zip(*(criterion(run["train"], run["val"]) for run in runs), strict=True)
    cost = (time.perf_counter() - began) / sum(len(run["val"]) for run in runs)
    labels = [run["label"] for run in runs]
    truth = [label == "overfitting" for label in labels]
    said = [verdict == "overfitting" for verdict in verdicts]
    precision, recall, _ = precision_recall_f1(truth, said)
    two = macro_f1([str(t) for t in truth], [str(s) for s in said], ["True", "False"])
    four = macro_f1(labels, list(verdicts), [label for label in LABELS if label in labels])
    pairs = list(zip([run["val"] for run in runs], stops, strict=True))
    positive = [pair for pair, is_true in zip(pairs, truth, strict=True) if is_true]
    return [
        name,
        *(f"{value:.3f}" for value in (two, precision, recall, four)),
        f"{100 * statistics.mean(kept(*pair) for pair in pairs):.0f} %",
        str(sum(not kept(*pair) for pair in pairs)),
        f"{sum(stop == len(val) - 1 for val, stop in positive)} of {len(positive)}",
        f"{statistics.mean(wasted(*pair) for pair in positive):.2f}",
        f"{1e6 * cost:.0f}",
    ]


def load(path: Path) -> list[dict[str, Any]]:
    """The histories, without any truth but the label."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        runs = json.load(file)
    lost = {"train": math.nan, "val": math.inf}
    return [
        {key: [lost[key] if x is None else x for x in run[key]] for key in lost}
        | {"label": run["label"]}
        for run in runs
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("histories", nargs="?", type=Path, default=HISTORIES)
    runs = load(parser.parse_args().histories)
    rows = [HEAD]
    rows += [score("TrendTracker", run, runs)]
    rows += [score(f"EarlyStopping({n})", patience(n), runs) for n in (5, 10, 20, 50)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


if __name__ == "__main__":
    main()
