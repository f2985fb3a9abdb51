"""The gain, noted in a weights file: `BackupAndRestore` keeps nothing else of a model.

It is an attribute of the HDF5 file, which Keras does not look at, and it is only there
once the gain has been changed.
"""

from __future__ import annotations

import math
import numbers
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["gain_in", "note_gain"]

_ATTRIBUTE = "keras_regplus_gain"


def note_gain(filepath: Any, gain: float) -> None:
    """Write `gain` into the weights file, where it is one file on this machine."""
    if _is_file(filepath):
        import h5py

        with h5py.File(filepath, "a") as file:
            file.attrs[_ATTRIBUTE] = gain


def gain_in(filepath: Any) -> float | None:
    """The gain that was noted in the weights file, or None.

    Raises:
        ValueError: If what was noted is no gain: the file is damaged.
    """
    if not _is_file(filepath):
        return None
    import h5py

    with h5py.File(filepath, "r") as file:
        if _ATTRIBUTE not in file.attrs:
            return None
        noted = file.attrs[_ATTRIBUTE]
    if not (np.isscalar(noted) and isinstance(noted, numbers.Real) and 0 <= noted < math.inf):
        raise ValueError(f"it must be a finite number of at least 0, got {noted!r}")
    return float(noted)


def _is_file(filepath: Any) -> bool:
    return str(filepath).endswith(".weights.h5") and Path(filepath).is_file()
