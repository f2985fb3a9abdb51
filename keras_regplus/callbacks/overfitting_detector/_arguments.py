"""The arguments of a detector, checked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from keras_regplus._checks import error_text, one_of
from keras_regplus.callbacks.actions import Action
from keras_regplus.diagnosis import Diagnosis

if TYPE_CHECKING:
    from keras_regplus.callbacks.overfitting_detector._callback import OverfittingDetector

__all__ = [
    "SingleAction",
    "checked_actions",
    "checked_choice",
    "checked_monitors",
    "checked_path",
    "checked_probe",
]

_OWNER = "OverfittingDetector"

SingleAction: TypeAlias = (
    Literal["warn", "stop"] | Action | Callable[["OverfittingDetector", Diagnosis], Any]
)

# What each argument allows, and what to do about anything else.
_CHOICES: dict[str, tuple[tuple[Any, ...], str]] = {
    "combine": (("any", "all"), "Use 'any' to act on the first metric that overfits."),
    "best_by": (("raw", "smooth"), "Use 'raw' for the best single value."),
    "best_weights": (("memory", "disk"), "Use 'memory' unless they are too large."),
    "verbose": ((0, 1, 2), "Use 0 for silence."),
}


def checked_choice(name: str, value: Any) -> Any:
    """Return `value`, or raise if it is none of those that the argument allows."""
    allowed, advice = _CHOICES[name]
    return one_of(_OWNER, name, value, allowed, advice=advice)


def checked_monitors(monitor: Any) -> str | list[str] | None:
    """The name or names without their `val_`, or None."""
    if isinstance(monitor, (list, tuple)) and monitor:
        names = [_checked_name(name, monitor) for name in monitor]
        return list(dict.fromkeys(names))
    return None if monitor is None else _checked_name(monitor, monitor)


def checked_actions(action: Any) -> list[SingleAction]:
    """The actions as a list."""
    actions = list(action) if isinstance(action, (list, tuple)) else [action]
    for one in actions:
        if not (callable(one) or isinstance(one, Action) or one in ("warn", "stop")):
            rule = (
                "'warn', 'stop', an object of keras_regplus.callbacks.actions, a callable "
                "(detector, diagnosis), or a list of these"
            )
            error = ValueError if isinstance(one, str) else TypeError
            advice = "Use 'stop' to end the training."
            raise error(error_text(_OWNER, "action", rule, action, advice))
        if isinstance(one, type):
            advice = f"Use {one.__name__}()."
            raise TypeError(error_text(_OWNER, "action", "an object, not a class", one, advice))
    return actions


def checked_path(state_file: Any) -> Path | None:
    """The path of a JSON file, or None."""
    if state_file is None:
        return None
    rule, advice = "the path of a .json file or None", "Use a path such as 'run/detector.json'."
    if not isinstance(state_file, (str, os.PathLike)):
        raise TypeError(error_text(_OWNER, "state_file", rule, state_file, advice))
    path = Path(state_file)
    if path.suffix != ".json" or "://" in str(state_file):
        raise ValueError(error_text(_OWNER, "state_file", rule, str(state_file), advice))
    return path


def checked_probe(probe: Any) -> Any:
    """The sample as it was given, or an error where `evaluate` could never take it."""
    if probe is None or (isinstance(probe, tuple) and len(probe) in (2, 3)):
        return probe
    if isinstance(probe, (str, int, float, list, dict, tuple)):
        rule = "None, (x, y), (x, y, sample_weight) or a dataset"
        advice = "Use for example (x_train[:1000], y_train[:1000])."
        raise TypeError(error_text(_OWNER, "train_probe", rule, probe, advice))
    return probe


def _checked_name(name: Any, monitor: Any) -> str:
    rule = "the name of a metric, a list of names, or None"
    advice = "Use a name such as 'loss' or 'accuracy'."
    if not isinstance(name, str):
        raise TypeError(error_text(_OWNER, "monitor", rule, monitor, advice))
    bare = name.removeprefix("val_")
    if not bare:
        raise ValueError(error_text(_OWNER, "monitor", rule, monitor, advice))
    return bare
