"""Histories of real trainings whose truth is known, as files.

A file is a list of objects with `id`, `label`, and `train` and `val`: losses by epoch,
null where not finite. It may be compressed (`.gz`).

* `HISTORIES`: 70 trainings of small networks on small tables. The constants of the
  criterion were chosen with these in view, together with other histories of our own,
  so figures on them flatter.
* `UNSEEN`: 200 more, drawn after the rule of the verdict was fixed; the stop, and how
  noise is measured, were chosen later, with an eye on these as well. Made by
  `python -m benchmarks.detection.histories unseen.json.gz --count 200 --seed 5 --bare`.

Each history is one of 16 runs of a configuration, and its label comes from all 16.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"
HISTORIES, UNSEEN = DATA / "histories.json.gz", DATA / "unseen.json.gz"
LABELS = ("healthy", "plateau", "overfitting", "diverging")


@dataclass(frozen=True)
class Run:
    """One training: NaN in its curves is what was not finite."""

    id: str
    label: str
    train: np.ndarray
    val: np.ndarray

    @property
    def overfits(self) -> bool:
        return self.label == "overfitting"


def load(path: Path) -> list[Run]:
    """The histories of a file, without any truth but the label."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        entries = json.load(file)
    return [
        Run(each["id"], each["label"], _floats(each["train"]), _floats(each["val"]))
        for each in entries
    ]


def _floats(values: list[float | None]) -> np.ndarray:
    return np.array(values, dtype=float)
