"""A diagnosis as text: two small curves, the sentence, what to try next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_regplus._output import can_show, printable
from keras_regplus.diagnosis.verdicts import Diagnosis, Verdict
from keras_regplus.histories.epochs import has_number

__all__ = ["is_best_after_onset", "report", "sparkline"]

# The heights that a terminal can show, and what stands for them where it lacks them.
_BLOCKS, _ASCII_BLOCKS = "▁▂▃▄▅▆▇█", "_.:-=+*#"
_COLUMNS = 48
_LABEL = 11
_BEST, _ONSET, _BOTH = "^", "!", "*"
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
_STOP = "stop, and keep the weights of the best epoch"
_VALIDATE = "validation, which is missing: without its values there is no verdict"


def report(
    name: str,
    diagnosis: Diagnosis,
    train: Sequence[float | None],
    val: Sequence[float | None],
    steps: int | None = None,
    epochs: Sequence[int] | None = None,
) -> str:
    """Several lines for a terminal, without a newline at the end.

    `steps` are those of an epoch, where they are known; `epochs` are those of the values,
    from 0 on where they are not given. The text has no character that `sys.stdout` lacks.
    """
    lines = [f"{name} and val_{name}: {diagnosis.verdict}", diagnosis.reason]
    lines += [
        f"{label:<{_LABEL}}{sparkline(curve)}  {_from_to(curve)}"
        for label, curve in (("training", train), ("validation", val))
    ]
    lines += _landmarks(diagnosis, range(len(val)) if epochs is None else epochs)
    lines.append(f"Next: {_next(diagnosis, train, val)}.")
    noise = diagnosis.noise or 0.0
    if noise > _NOISY:
        scatter = f"{100 * noise:.0f} %"
        lines.append(
            f"Single validation values scatter by {scatter}: a larger set would tell more."
        )
    if steps == 1:
        lines.append("An epoch is a single step here: smaller batches would learn more in each.")
    return printable("\n".join(lines))


def sparkline(values: Sequence[float | None]) -> str:
    """One character for each of at most 48 stretches of epochs, a blank where nothing is known.

    Its heights go from the curve's own lowest values to its own highest.
    """
    numbers = np.array([np.nan if value is None else value for value in values], dtype=float)
    numbers[~np.isfinite(numbers)] = np.nan
    blocks = _BLOCKS if can_show(_BLOCKS) else _ASCII_BLOCKS
    low, high = _ends(numbers)
    return "".join(_block(numbers[part], low, high, blocks) for part in _stretches(len(values)))


def is_best_after_onset(diagnosis: Diagnosis) -> bool:
    """Whether the best single value lies in the stretch that is called overfitting."""
    best, onset = diagnosis.best_epoch, diagnosis.onset_epoch
    return best is not None and onset is not None and best >= onset


def _stretches(length: int) -> list[np.ndarray]:
    """The indices of the epochs that each character stands for."""
    return np.array_split(np.arange(length), max(min(_COLUMNS, length), 1))


def _block(values: np.ndarray, low: float, high: float, blocks: str) -> str:
    values = values[np.isfinite(values)]
    if not len(values):
        return " "
    share = (float(np.mean(values)) - low) / (high - low) if high > low else 0.0
    return blocks[int(np.clip(share * len(blocks), 0, len(blocks) - 1))]


def _ends(values: np.ndarray) -> tuple[float, float]:
    """The range drawn. Without the highest values: a first epoch would flatten all others."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 0.0
    low, high = np.quantile(known, (0.02, 0.98))
    return float(low), float(high)


def _from_to(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{known[0]:.4g} to {known[-1]:.4g}" if known else "nothing seen"


def _landmarks(diagnosis: Diagnosis, epochs: Sequence[int]) -> list[str]:
    """Marks below the validation curve, and the line that explains them."""
    if diagnosis.best_epoch is None or diagnosis.best_value is None:
        return []
    best, onset = (_column(at, epochs) for at in (diagnosis.best_epoch, diagnosis.onset_epoch))
    marks = (_BOTH, _BOTH) if best is not None and best == onset else (_BEST, _ONSET)
    line = [" "] * _COLUMNS
    for column, mark in zip((best, onset), marks, strict=True):
        if column is not None:
            line[column] = mark
    noun = "single validation value" if is_best_after_onset(diagnosis) else "validation"
    text = f"{marks[0]} best {noun} {diagnosis.best_value:.4g} at epoch {diagnosis.best_epoch}"
    if diagnosis.onset_epoch is not None:
        text += f", {marks[1]} overfitting since epoch {diagnosis.onset_epoch}"
    text += " (epochs count from 0; each curve has its own scale)."
    return [f"{'':{_LABEL}}{''.join(line)}".rstrip(), text]


def _column(epoch: int | None, epochs: Sequence[int]) -> int | None:
    """The character of a curve that stands for an epoch; None for one that was not seen."""
    known = list(epochs)
    if epoch not in known:
        return None
    index = known.index(epoch)
    return next(i for i, part in enumerate(_stretches(len(known))) if index in part)


def _next(diagnosis: Diagnosis, train: Sequence[float | None], val: Sequence[float | None]) -> str:
    if has_number(train) and not has_number(val):
        return _VALIDATE
    if diagnosis.should_stop and diagnosis.verdict not in ("overfitting", "diverging"):
        return _STOP
    return _NEXT[diagnosis.verdict]
