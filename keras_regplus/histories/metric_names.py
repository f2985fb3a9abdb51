"""What the name of a metric says: which way is better, and whether it is of validation."""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["Direction", "direction_of_name", "keras_name", "split_of_folder"]

Direction = Literal["min", "max", "unknown"]

_FALLING = re.compile(
    r"\b(loss|error|mse|mae|mape|msle|rmse|crossentropy|entropy|hinge|divergence|perplexity"
    r"|penalty|deviance)\b"
)
_RISING = re.compile(
    r"\b(accuracy|acc|auc|precision|recall|f1|fbeta|iou|dice|r2|similarity|sensitivity"
    r"|specificity)\b"
)

# Where a run has several, the first is the one that was looked at while training.
_VALIDATION = ("val", "valid", "validation", "eval", "dev", "test")
_SPLIT = "|".join(("train", "training", *_VALIDATION))
_AT_AN_END = re.compile(rf"(?:({_SPLIT})[/_. -])?(.*?)(?:[/_. -]({_SPLIT}))?", re.I | re.S)
_FOLDER = re.compile(rf"(?:(.*)_)?({_SPLIT})", re.I | re.S)


def direction_of_name(name: str) -> Direction:
    """`"min"`, `"max"`, or `"unknown"` where the words of the name say nothing, or both."""
    # An underscore is a letter to \b, and so is the number that Keras adds to a second metric.
    words = re.sub(r"_\d*", " ", name.lower())
    falls, rises = bool(_FALLING.search(words)), bool(_RISING.search(words))
    if falls == rises:
        return "unknown"
    return "min" if falls else "max"


def keras_name(name: str, folder_split: str = "") -> tuple[str, int]:
    """The name as Keras writes it, with `val_` for validation, and its rank among equals.

    `train_loss`, `loss/train`, `train/loss_epoch` and a `loss` in a folder `train` all are
    `loss`. Where several are the same, the lowest rank is meant.
    """
    stem = name.removesuffix("_epoch")
    match = _AT_AN_END.fullmatch(stem)
    assert match is not None
    before, rest, after = match.groups()
    split = (before or after or folder_split).lower()
    # Lightning adds `_epoch` to means over an epoch where it logs single batches, too.
    rank = -1 if stem != name else 0
    if split not in _VALIDATION:
        return rest, rank
    return f"val_{rest}", rank + 2 * _VALIDATION.index(split)


def split_of_folder(name: str) -> tuple[str, str] | None:
    """Prefix and split of a folder that holds one split of a run: `train`, `loss_val`."""
    match = _FOLDER.fullmatch(name)
    return (match[1] or "", match[2].lower()) if match else None
