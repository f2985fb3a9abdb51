"""The logs of an epoch as scalars for TensorBoard."""

from __future__ import annotations

from typing import Any

from keras_regplus.callbacks._log_values import as_float

__all__ = ["scalars_of_epoch", "scalars_of_schedules"]

# The entries of `RegularizationScheduler` in the logs, without the losses.
_SCHEDULED = ("strength/", "rate/", "penalty/")


def scalars_of_epoch(logs: dict[str, Any], learning_rate: Any) -> dict[str, dict[str, float]]:
    """Tag and value by run, as `keras.callbacks.TensorBoard` names them."""
    runs: dict[str, dict[str, float]] = {"train": {}, "validation": {}}
    for key, value in {"learning_rate": learning_rate, **_numbers(logs)}.items():
        run = "validation" if key.startswith("val_") else "train"
        number = as_float(value)
        if number is not None:
            runs[run][f"epoch_{key.removeprefix('val_')}"] = number
    return {run: scalars for run, scalars in runs.items() if scalars}


def scalars_of_schedules(logs: dict[str, Any]) -> dict[str, float]:
    """Strengths, rates and penalties, under the names that they have in the logs."""
    numbers = _numbers(logs)
    return {
        key: value
        for key, value in numbers.items()
        if key == "penalty" or key.startswith(_SCHEDULED)
    }


def _numbers(logs: dict[str, Any]) -> dict[str, float]:
    numbers = {str(key): as_float(value) for key, value in logs.items()}
    return {key: value for key, value in numbers.items() if value is not None}
