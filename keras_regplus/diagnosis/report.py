"""A diagnosis as text: two small curves, the sentence, what to try next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_regplus.diagnosis.verdicts import Diagnosis, Verdict

__all__ = ["report", "sparkline"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_COLUMNS = 48
# Where single validation values scatter more, noise hides much of what there is to see.
_NOISY = 0.05

_NEXT: dict[Verdict, str] = {
    "undecided": "train for more epochs",
    "healthy": "train for more epochs",
    "stagnating": "watch it: stronger regularization or more data now, before it turns",
    "plateau": "a smaller learning rate; a larger model or weaker regularization if training "
    "is not good enough either; else it is done",
    "overfitting": "keep the weights of the best epoch; more data, stronger regularization "
    "or a smaller model",
    "diverging": "a smaller learning rate or clipped gradients, and a look for NaN in the data",
}


def report(
    name: str,
    diagnosis: Diagnosis,
    train: Sequence[float | None],
    val: Sequence[float | None],
    steps: int | None = None,
) -> str:
    """Several lines for a terminal, without a newline at the end.

    `steps` are those of an epoch, where they are known.
    """
    lines = [f"{name}: {diagnosis.verdict}", diagnosis.reason]
    ends = _ends(*(_floats(curve) for curve in (train, val)))
    lines += [
        f"{label:<10} {sparkline(curve, ends)}  {_from_to(curve)}"
        for label, curve in (("training", train), ("validation", val))
    ]
    if diagnosis.best_epoch is not None:
        lines.append(_landmarks(diagnosis))
    lines.append(f"Next: {_NEXT[diagnosis.verdict]}.")
    noise = diagnosis.noise or 0.0
    if noise > _NOISY:
        scatter = f"{100 * noise:.0f} %"
        lines.append(
            f"Single validation values scatter by {scatter}: a larger set would tell more."
        )
    if steps == 1:
        lines.append("An epoch is a single step here: smaller batches would learn more in each.")
    return "\n".join(lines)


def sparkline(values: Sequence[float | None], ends: tuple[float, float]) -> str:
    """One character for each of at most 48 stretches of epochs, a blank where nothing is known."""
    low, high = ends
    parts = np.array_split(_floats(values), max(min(_COLUMNS, len(values)), 1))
    return "".join(_block(part[np.isfinite(part)], low, high) for part in parts)


def _block(values: np.ndarray, low: float, high: float) -> str:
    if not len(values):
        return " "
    share = (float(np.mean(values)) - low) / (high - low) if high > low else 0.0
    return _BLOCKS[int(np.clip(share * len(_BLOCKS), 0, len(_BLOCKS) - 1))]


def _ends(*curves: np.ndarray) -> tuple[float, float]:
    """The range drawn. Without the highest values: a first epoch would flatten all others."""
    together = np.concatenate(curves)
    together = together[np.isfinite(together)]
    if not len(together):
        return 0.0, 0.0
    low, high = np.quantile(together, (0.02, 0.98))
    return float(low), float(high)


def _floats(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _from_to(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{known[0]:.4g} to {known[-1]:.4g}" if known else "nothing seen"


def _landmarks(diagnosis: Diagnosis) -> str:
    text = f"Best validation {diagnosis.best_value:.4g} at epoch {diagnosis.best_epoch}"
    if diagnosis.onset_epoch is not None:
        text += f", overfitting since epoch {diagnosis.onset_epoch}"
    return f"{text} (epochs count from 0)."
