"""The gain, noted in a weights file: `BackupAndRestore` keeps nothing else of a model.

It is an attribute of the HDF5 file, which Keras does not look at, and it is only there
once the gain has been changed. Of sharded weights it is in the first shard. A whole model
(`.keras`) needs no note: its config has the position.
"""

from __future__ import annotations

import itertools
import json
import math
import numbers
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["gain_in", "note_gain"]

_ATTRIBUTE = "keras_regplus_gain"


def note_gain(filepath: Any, gain: float) -> None:
    """Write `gain` into the weights that were just saved, where they are on this machine."""
    path = Path(filepath)
    # Keras changes the ending of sharded weights, beside which an older file may lie.
    files = [each for each in (path, path.with_suffix(".json")) if each.is_file()]
    file = _file_with_note(max(files, key=lambda each: each.stat().st_mtime_ns, default=path))
    if file is not None:
        import h5py

        with h5py.File(file, "a") as opened:
            opened.attrs[_ATTRIBUTE] = gain


def gain_in(filepath: Any) -> float | None:
    """The gain of the training that saved this file, or None if the file does not say.

    Raises:
        ValueError: If what was noted is no gain: the file is damaged.
    """
    path = Path(filepath)
    noted = _gain_of_model(path) if path.suffix == ".keras" else _note_in(_file_with_note(path))
    if noted is None:
        return None
    if not (np.isscalar(noted) and isinstance(noted, numbers.Real) and 0 <= noted < math.inf):
        raise ValueError(f"it must be a finite number of at least 0, got {noted!r}")
    return float(noted)


def _note_in(file: Path | None) -> Any:
    if file is None:
        return None
    import h5py

    with h5py.File(file, "r") as opened:
        return opened.attrs.get(_ATTRIBUTE)


def _file_with_note(path: Path) -> Path | None:
    """The HDF5 file that can have a note, if it is on this machine."""
    if path.name.endswith(".weights.json") and path.is_file():
        # One entry of the index is the name of a file, or a list of names.
        entries = json.loads(path.read_text())["weight_map"].values()
        names = (entry if isinstance(entry, list) else [entry] for entry in entries)
        path = path.with_name(min(itertools.chain.from_iterable(names)))
    return path if path.name.endswith(".weights.h5") and path.is_file() else None


def _gain_of_model(path: Path) -> Any:
    """The gain at which the scheduled parts of a whole model were saved."""
    if not path.is_file():
        return None
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    return next((position.get("gain") for position in _positions(config)), None)


def _positions(config: Any) -> Iterator[dict[str, Any]]:
    """Every position in the config of a model, as scheduled parts write it."""
    children = config.values() if isinstance(config, dict) else config
    if isinstance(config, dict) and "gain" in (config.get("position") or {}):
        yield config["position"]
    if isinstance(config, (dict, list)):
        for child in children:
            yield from _positions(child)
