"""Which files are a run, and the history in them."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from keras_regplus.histories.epochs import History, has_number
from keras_regplus.histories.event_files import read_event_files
from keras_regplus.histories.metric_names import split_of_folder
from keras_regplus.histories.tables import NoHistoryError, read_table

__all__ = ["NoHistoryError", "RunFiles", "find_runs", "read_run"]

_EVENTS = "tfevents"
_TABLES = (".csv", ".tsv", ".log", ".json")


@dataclass(frozen=True)
class RunFiles:
    """A run: one file, or a folder whose event files belong together."""

    path: str
    events: tuple[tuple[str, str], ...] = ()
    """Path of each event file, and the split of its folder, such as `train`."""


def find_runs(path: str) -> list[RunFiles]:
    """The run that a file is, or those that may be below a folder, in natural order."""
    if not os.path.isdir(path):
        # An OSError for what is not there or may not be read.
        open(path, "rb").close()
        is_events = _EVENTS in os.path.basename(path)
        return [RunFiles(path, ((path, ""),) if is_events else ())]
    tables, folders = _files_below(path)
    runs = [RunFiles(file) for file in tables] + _runs_of_events(path, folders)
    return sorted(runs, key=lambda run: _natural(run.path))


def read_run(run: RunFiles) -> History:
    """The history of a run.

    Raises:
        OSError: If a file cannot be opened.
        NoHistoryError: If it holds no training.
        ValueError: If it is broken.
    """
    history = read_event_files(run.events) if run.events else read_table(run.path)
    history = {name: values for name, values in history.items() if has_number(values)}
    if not history:
        raise NoHistoryError("it holds no values of a training")
    return history


def _files_below(top: str) -> tuple[list[str], dict[str, list[str]]]:
    """Files that may be tables, and event files by their folder."""
    tables: list[str] = []
    folders: dict[str, list[str]] = {}
    for folder, below, names in os.walk(top):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in sorted(names):
            file = os.path.join(folder, name)
            if _EVENTS in name and not name.endswith(".profile-empty"):
                folders.setdefault(folder, []).append(file)
            elif name.lower().endswith(_TABLES):
                tables.append(file)
    return tables, folders


def _runs_of_events(top: str, folders: dict[str, list[str]]) -> list[RunFiles]:
    places = {folder: _place_in_run(folder) for folder in folders if folder != top}
    prefixes = Counter(place[:2] for place in places.values() if place)
    runs: dict[str, list[tuple[str, str]]] = {}
    for folder, files in folders.items():
        parent, prefix, split = places.get(folder) or (folder, "", "")
        # A run may happen to be called `baseline_test`; a split of a run has a twin.
        if prefix and prefixes[parent, prefix] == 1:
            parent, split = folder, ""
        runs.setdefault(parent, []).extend((file, split) for file in files)
    return [RunFiles(run, tuple(files)) for run, files in runs.items()]


def _place_in_run(folder: str) -> tuple[str, str, str] | None:
    """The folder above, the prefix and the split, if this holds one split of a run."""
    parent, name = os.path.split(folder)
    prefix_and_split = split_of_folder(name)
    return (parent, *prefix_and_split) if prefix_and_split else None


def _natural(path: str) -> list[Any]:
    """A key that puts `run_10` behind `run_9`."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path)]
