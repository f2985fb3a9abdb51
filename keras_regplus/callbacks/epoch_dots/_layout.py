"""How `EpochDots` arranges dots and reports in lines."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["ClassicLayout", "WrappedLayout"]


_INDENT = "  "

# Blanks after a comma, outside of brackets: a list of numbers is one value.
_GAP = re.compile(r"(?<=,)( +)(?![^\[]*\])")


class ClassicLayout:
    """The layout of the published class: a report stands between two newlines.

    A line that a terminal cannot show is broken between its values.
    """

    def __init__(self, terminal_width: Callable[[], int | None]) -> None:
        self._terminal_width = terminal_width

    def text(self, epoch: int, report: str, dot: str, is_open: bool) -> str:
        return ("\n" + self.line(report) if report else "") + dot

    def line(self, text: str) -> str:
        width = self._terminal_width()
        is_too_long = width is not None and len(text) > width
        return _wrapped(text, width, _INDENT) if width and is_too_long else f"{text}\n"


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
        return _wrapped(text, self._width(), " " * (self._digits + 1))

    def _start_line(self, epoch: int) -> str:
        start = f"{epoch:>{self._digits}} "
        room = self._width() - len(start)
        # Whole tens are counted at a glance.
        self._room = room - room % 10 if room > 10 else max(room, 1)
        return start


def _wrapped(text: str, width: int, indent: str) -> str:
    """The text in lines of at most `width` characters, where its values are short enough."""
    pieces = iter(_GAP.split(text.rstrip(" ,")))
    lines = [next(pieces)]
    for gap, piece in zip(pieces, pieces, strict=True):
        if len(lines[-1] + gap + piece) <= width:
            lines[-1] += gap + piece
        else:
            lines.append(indent + piece)
    return "\n".join(lines) + "\n"
