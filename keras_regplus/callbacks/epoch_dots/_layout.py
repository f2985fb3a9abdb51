"""How `EpochDots` arranges dots and reports in lines."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

__all__ = ["ClassicLayout", "WrappedLayout"]


class ClassicLayout:
    """The layout of the published class: a report stands between two newlines."""

    def text(self, epoch: int, report: str, dot: str, is_open: bool) -> str:
        return (f"\n{report}\n" if report else "") + dot

    def line(self, text: str) -> str:
        return f"{text}\n"


class WrappedLayout:
    """Lines end before the width; a line of dots begins with the number of its first epoch."""

    def __init__(self, epochs: int | None, width: Callable[[], int]) -> None:
        self._digits = len(str(max((epochs or 10_000) - 1, 0)))
        self._width = width
        self._room = 0

    def text(self, epoch: int, report: str, dot: str, is_open: bool) -> str:
        breaks = is_open and bool(report or self._room < 1)
        text = "\n" if breaks else ""
        if report:
            text += self.line(report)
        if dot:
            if breaks or not is_open:
                text += self._start_line(epoch)
            self._room -= 1
        return text + dot

    def line(self, text: str) -> str:
        lines = textwrap.wrap(
            text.rstrip(" ,"),
            self._width(),
            subsequent_indent=" " * (self._digits + 1),
            break_long_words=False,
            break_on_hyphens=False,
        )
        return "\n".join(lines) + "\n"

    def _start_line(self, epoch: int) -> str:
        start = f"{epoch:>{self._digits}} "
        room = self._width() - len(start)
        # Whole tens are counted at a glance.
        self._room = room - room % 10 if room > 10 else max(room, 1)
        return start
