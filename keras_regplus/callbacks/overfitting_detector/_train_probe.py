"""A sample of the training data, evaluated in place of the training metrics."""

from __future__ import annotations

from typing import Any

from keras_regplus._warnings import OneTimeWarnings
from keras_regplus.clock.variables import weights_safe_on_error

__all__ = ["with_probe"]


def with_probe(
    logs: dict[str, Any], model: Any, probe: Any, warnings: OneTimeWarnings
) -> dict[str, Any]:
    """The logs, with the metrics of the sample in place of those of the training."""
    if probe is None:
        return logs
    try:
        probed = _evaluated(model, probe)
    except Exception as error:
        warnings.warn(
            f"`train_probe` could not be evaluated ({error!r}). "
            "The metrics of the training are taken instead. Pass what `model.evaluate` accepts: "
            "`(x, y)`, `(x, y, sample_weight)` or a dataset.",
            cause="train_probe",
        )
        return logs
    validation = {key: value for key, value in logs.items() if str(key).startswith("val_")}
    return {**validation, **probed}


def _evaluated(model: Any, probe: Any) -> dict[str, Any]:
    names = ("x", "y", "sample_weight")
    arguments: dict[str, Any] = {"x": probe}
    if isinstance(probe, tuple):
        arguments = dict(zip(names, probe, strict=False))
    with weights_safe_on_error(model):
        return dict(model.evaluate(**arguments, verbose=0, return_dict=True))
