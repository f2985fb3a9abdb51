"""What a detector may be told, checked, and its sample of the training data, measured."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from keras_regplus._checks import error_text
from keras_regplus.callbacks.actions import Action
from keras_regplus.clock.clock import weights_safe_on_error

__all__ = ["checked_actions", "checked_monitors", "checked_path", "checked_probe", "measured"]

_OWNER = "OverfittingDetector"


def checked_monitors(monitor: Any) -> str | list[str] | None:
    """The name or names without their `val_`, or None."""
    if isinstance(monitor, (list, tuple)) and monitor:
        names = [_checked_name(name, monitor) for name in monitor]
        return list(dict.fromkeys(names))
    return None if monitor is None else _checked_name(monitor, monitor)


def checked_actions(action: Any) -> list[Any]:
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


def measured(model: Any, probe: Any) -> dict[str, Any]:
    """The metrics of `model` on the sample, as at inference."""
    names = ("x", "y", "sample_weight")
    arguments: dict[str, Any] = {"x": probe}
    if isinstance(probe, tuple):
        arguments = dict(zip(names, probe, strict=False))
    with weights_safe_on_error(model):
        return dict(model.evaluate(**arguments, verbose=0, return_dict=True))


def _checked_name(name: Any, monitor: Any) -> str:
    rule = "the name of a metric, a list of names, or None"
    advice = "Use a name such as 'loss' or 'accuracy'."
    if not isinstance(name, str):
        raise TypeError(error_text(_OWNER, "monitor", rule, monitor, advice))
    bare = name.removeprefix("val_")
    if not bare:
        raise ValueError(error_text(_OWNER, "monitor", rule, monitor, advice))
    return bare
