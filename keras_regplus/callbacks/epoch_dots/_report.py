"""What one report of `EpochDots` holds, and how it reads as a line of text or of JSON."""

from __future__ import annotations

import json
import numbers
from dataclasses import dataclass
from typing import Any

from keras_regplus.callbacks.epoch_dots._values import plain, text_of

__all__ = ["Report", "duration", "legend", "line_of_json", "line_of_text"]


@dataclass(frozen=True)
class Report:
    """An epoch with its metrics, and with the rest as far as it is asked for and known."""

    epoch: int
    metrics: dict[str, Any]
    diagnosis: Any = None
    elapsed: float | None = None
    left: float | None = None
    which: str | None = None
    """`"first"`, `"best"` or `"last"` in a summary."""
    best_by: str | None = None


def line_of_text(report: Report, digits: int | None) -> str:
    """The line of the published class, with more of the same form behind it."""
    values = {name: text_of(value, digits) for name, value in report.metrics.items()}
    values |= {name: _said(value, digits) for name, value in _verdict(report.diagnosis).items()}
    values |= {name: duration(seconds) for name, seconds in _times(report).items()}
    head = f"{report.which.title()} epoch" if report.which else "Epoch"
    by = f" ({report.best_by})" if report.best_by else ""
    return f"{head}: {report.epoch:d}{by}, " + "".join(
        f"{name}:{text},  " for name, text in values.items()
    )


def line_of_json(report: Report) -> str:
    """An object with the epoch and the metrics; a value that is not finite is null."""
    head: dict[str, Any] = {"which": report.which} if report.which else {}
    head |= {"epoch": int(report.epoch)} | ({"by": report.best_by} if report.best_by else {})
    head["metrics"] = {name: plain(value) for name, value in report.metrics.items()}
    if report.diagnosis is not None:
        said = _verdict(report.diagnosis)
        head["diagnosis"] = {name: plain(value) for name, value in said.items()}
    head |= {f"{name}_seconds": round(value, 3) for name, value in _times(report).items()}
    return json.dumps(head, allow_nan=False)


def legend(diagnosis: Any) -> str:
    """What each character means, of a diagnosis that has `DOTS`; else nothing."""
    meanings: dict[str, list[str]] = {}
    dots = getattr(diagnosis, "DOTS", None)
    for verdict, dot in dots.items() if isinstance(dots, dict) else ():
        meanings.setdefault(str(dot), []).append(str(verdict))
    return ", ".join(f"{dot} {' or '.join(verdicts)}" for dot, verdicts in meanings.items())


def duration(seconds: float) -> str:
    """A time in its two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    hours = whole // 3600
    return (
        f"{hours // 24}d{hours % 24:02d}h" if hours >= 24 else f"{hours}h{whole % 3600 // 60:02d}m"
    )


def _verdict(diagnosis: Any) -> dict[str, Any]:
    found = {name: getattr(diagnosis, name, None) for name in ("verdict", "best_epoch", "gap")}
    return {name: value for name, value in found.items() if value is not None}


def _said(value: Any, digits: int | None) -> str:
    return str(value) if isinstance(value, numbers.Integral) else text_of(value, digits)


def _times(report: Report) -> dict[str, float]:
    times = {"elapsed": report.elapsed, "left": report.left}
    return {name: seconds for name, seconds in times.items() if seconds is not None}
