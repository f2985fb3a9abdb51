"""One report of `EpochDots` as a line of text."""

from __future__ import annotations

import numbers

from keras_regplus.callbacks.epoch_dots._values import text_of

__all__ = ["diagnosis_texts", "duration", "legend", "report_line"]


def report_line(epoch: int, texts: dict[str, str], title: str = "Epoch", best_by: str = "") -> str:
    """The line of the published class; `best_by` names the metric by which an epoch is best."""
    reason = f" ({best_by})" if best_by else ""
    values = "".join(f"{name}:{text},  " for name, text in texts.items())
    return f"{title}: {epoch:d}{reason}, {values}"


def diagnosis_texts(diagnosis: object, digits: int | None) -> dict[str, str]:
    """The verdict, the best epoch and the gap, as far as the diagnosis has them."""
    names = ("verdict", "best_epoch", "gap")
    values = {name: getattr(diagnosis, name, None) for name in names}
    return {
        name: str(value)
        if isinstance(value, numbers.Integral)
        else text_of(value, digits, precise=True)
        for name, value in values.items()
        if value is not None
    }


def legend(diagnosis: object) -> str:
    """What each dot means, for a diagnosis that has `DOTS`; otherwise nothing."""
    meanings: dict[str, list[str]] = {}
    dots = getattr(diagnosis, "DOTS", None)
    for verdict, dot in dots.items() if isinstance(dots, dict) else ():
        meanings.setdefault(str(dot), []).append(str(verdict))
    return ", ".join(f"{dot} {' or '.join(verdicts)}" for dot, verdicts in meanings.items())


def duration(seconds: float) -> str:
    """A time in its two largest units."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02d}h"
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{seconds:02d}s" if minutes else f"{seconds}s"
