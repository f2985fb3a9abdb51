"""How dots and reports are laid out in lines."""

from __future__ import annotations

import textwrap

__all__ = ["ClassicLayout", "Records", "Wrapped"]


class ClassicLayout:
    """As the published class writes: a report stands between two newlines."""

    has_dots = True

    def text(self, epoch: int, report: str, dot: str, is_open: bool, width: int) -> str:
        return (f"\n{report}\n" if report else "") + dot

    def line(self, text: str, width: int) -> str:
        return f"{text}\n"


class Records:
    """A line for each report and nothing else, for machines."""

    has_dots = False

    def text(self, epoch: int, report: str, dot: str, is_open: bool, width: int) -> str:
        return f"{report}\n"

    def line(self, text: str, width: int) -> str:
        return f"{text}\n"


class Wrapped:
    """Lines of dots that end before the width, each with the number of its first epoch."""

    has_dots = True

    def __init__(self, epochs: int | None) -> None:
        self._digits = len(str(max((epochs or 10_000) - 1, 0)))
        self._room = 0

    def text(self, epoch: int, report: str, dot: str, is_open: bool, width: int) -> str:
        parts = []
        if is_open and (report or self._room < 1):
            parts.append("\n")
            is_open = False
        if report:
            parts.append(self.line(report, width))
        if dot:
            if not is_open:
                parts.append(self._begin(epoch, width))
            parts.append(dot)
            self._room -= 1
        return "".join(parts)

    def line(self, text: str, width: int) -> str:
        lines = textwrap.wrap(
            text.rstrip(" ,"),
            width,
            subsequent_indent=" " * (self._digits + 1),
            break_long_words=False,
            break_on_hyphens=False,
        )
        return "\n".join(lines) + "\n"

    def _begin(self, epoch: int, width: int) -> str:
        start = f"{epoch:>{self._digits}} "
        room = width - len(start)
        # Whole tens are counted at a glance.
        self._room = room - room % 10 if room > 10 else max(room, 1)
        return start
