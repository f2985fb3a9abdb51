"""The command: trains until there are enough histories."""

from __future__ import annotations

import argparse
import gzip
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

import benchmarks.detection.histories
from benchmarks.detection.histories.design import RUNS, Config, configuration
from benchmarks.detection.histories.labels import judge, shorter
from benchmarks.detection.histories.tables import prepare
from benchmarks.detection.histories.training import layers, train

# Multiply-adds of the forward passes, and updates, that one configuration may cost.
MOST_WORK, MOST_STEPS = 4e10, 40_000
# What a criterion and its judge need of a history.
BARE = ("id", "family", "kind", "label", "onset", "train", "val")


def numbers(values: np.ndarray) -> list[Any]:
    """For JSON: 6 significant digits, null where not finite."""
    if values.ndim > 1:
        return [numbers(row) for row in values]
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]


def history(seed: int, number: int) -> tuple[Config, Config] | None:
    """The entry and the same with all runs; None where too dear or ambiguous."""
    rng = np.random.default_rng([seed, number])
    c = configuration(rng)
    data = prepare(rng, c)
    work = RUNS * c["epochs"] * c["n"] * sum(a * b for a, b in layers(c, data))
    if work > MOST_WORK or c["epochs"] * math.ceil(c["n"] / c["batch"]) > MOST_STEPS:
        return None
    train_all, val_all = train(rng, c, data)
    truth = judge(train_all, val_all)
    cut = shorter(rng, truth, c["epochs"])
    if cut < c["epochs"]:
        again = judge(train_all[:, :cut], val_all[:, :cut])
        cut, truth = (cut, again) if again else (c["epochs"], truth)
    if truth is None:
        return None
    train_all, val_all = train_all[:, :cut], val_all[:, :cut]
    run = int(rng.integers(RUNS))
    with np.errstate(all="ignore"):
        val_mean = numbers(val_all.mean(0))
    entry = {
        "id": f"{seed}-{number}",
        "family": c.pop("family"),
        "kind": "short" if cut <= 150 else "long",
        "epochs": cut,
        "train": numbers(train_all[run]),
        "val": numbers(val_all[run]),
        "val_mean": val_mean,
        **truth,
        "config": c,
    }
    return entry, entry | {"train": numbers(train_all), "val": numbers(val_all), "run": run}


def bare(entry: Config) -> Config:
    """The entry without settings and most of the truth."""
    return {key: entry[key] for key in BARE}


def save(path: Path, entries: list[Config]) -> None:
    """Write the list, compressed, the same bytes for the same content."""
    text = json.dumps(entries, separators=(",", ":"), allow_nan=False)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def main() -> None:
    """Train until there are enough histories or the time is up."""
    parser = argparse.ArgumentParser(
        description=benchmarks.detection.histories.__doc__.splitlines()[0]
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--all-runs", type=Path, help="also write all 16 runs of each, here")
    parser.add_argument("--bare", action="store_true", help="no truth but label and onset")
    parser.add_argument("--count", type=int, default=100, help="histories to keep")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after this long")
    args = parser.parse_args()
    began, number = time.monotonic(), 0
    kept: list[tuple[Config, Config]] = []
    done = False
    while not done:
        made = history(args.seed, number)
        number += 1
        kept += [made] if made else []
        done = len(kept) >= args.count or time.monotonic() - began > 60 * args.minutes
        # Now and then before the end, so that a run that is stopped leaves something.
        if done or number % 20 == 0:
            print(f"{number} drawn, {len(kept)} kept, {time.monotonic() - began:.0f} s", flush=True)
            save(args.out, [bare(one) if args.bare else one for one, _ in kept])
            if args.all_runs:
                save(args.all_runs, [every for _, every in kept])


if __name__ == "__main__":
    main()
