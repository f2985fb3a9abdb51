"""What a detector knows, in a file that outlives its process."""

from __future__ import annotations

import contextlib
import json
import math
import os
from pathlib import Path
from typing import Any

from keras_regplus._checks import error_text
from keras_regplus._warnings import warn

__all__ = ["StateFile"]

_VERSION = 1


class StateFile:
    """Reads and writes one JSON object, as a whole or not at all."""

    def __init__(self, path: Any) -> None:
        self.path = Path(path)
        self._has_failed = False

    @property
    def weights_path(self) -> Path:
        """Where the best weights live, beside the state."""
        return self.path.with_suffix(".weights.h5")

    def write(self, state: dict[str, Any]) -> None:
        """Replace the file; one warning where that is not possible."""
        if self._has_failed:
            return
        try:
            # In one piece: `json.dump` to a file takes the slow way, part by part.
            text = json.dumps({"version": _VERSION, **_encoded(state)}, allow_nan=False)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = self.path.with_name(f"{self.path.name}.unfinished")
            with unfinished.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, self.path)
        except (OSError, TypeError, ValueError) as error:
            self._has_failed = True
            warn(
                f"OverfittingDetector: the state could not be written ({error!r}). "
                "Training continues, but after a crash it could not be resumed. Choose a "
                "`state_file` in a folder that can be written."
            )

    def read(self, **expected: Any) -> dict[str, Any] | None:
        """The state that was written, or None; what does not fit is set aside with a warning."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            self._set_aside(f"readable ({error!r})")
            return None
        try:
            state = json.loads(text)
            actual = {"version": state["version"], **{key: state[key] for key in expected}}
        except (ValueError, TypeError, KeyError):
            self._set_aside("a whole JSON object with all its parts")
            return None
        for key, value in {"version": _VERSION, **expected}.items():
            if actual[key] != value:
                self._set_aside(f"of the same {key} ({value!r} now, {actual[key]!r} then)")
                return None
        return _decoded(state)

    def remove(self) -> None:
        """Take the file away: its training is finished."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _set_aside(self, rule: str) -> None:
        aside = self.path.with_name(f"{self.path.name}.set-aside")
        with contextlib.suppress(OSError):
            os.replace(self.path, aside)
        advice = (
            f"It is now named {aside.name!r}, and the detector starts anew. Give each training a "
            "`state_file` of its own, and resume with the same model and arguments."
        )
        warn(error_text("OverfittingDetector", "state_file", rule, str(self.path), advice))


def _encoded(value: Any) -> Any:
    """JSON has no word for what is not finite."""
    if isinstance(value, dict):
        return {key: _encoded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_encoded(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    return value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"float"}:
            return float(value["float"])
        return {key: _decoded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value
