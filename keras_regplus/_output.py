"""How the package prints: a character that a stream lacks never costs the text.

On Windows and in containers a stream may know only cp1252 or ASCII.
"""

from __future__ import annotations

import sys
from typing import IO

__all__ = ["can_show", "counted", "printable", "write"]


def write(text: str, stream: IO[str] | None = None, *, end: str = "\n", flush: bool = True) -> None:
    """Print it to a stream, or to the current `sys.stdout`."""
    stream = sys.stdout if stream is None else stream
    try:
        print(text, end=end, file=stream, flush=flush)
    except UnicodeEncodeError:
        # A stream that does not tell its encoding has just shown that it is a narrow one.
        escaped = _escaped(text, getattr(stream, "encoding", None) or "ascii")
        print(escaped, end=end, file=stream, flush=flush)


def can_show(text: str, stream: IO[str] | None = None) -> bool:
    """Whether a stream, or the current `sys.stdout`, has all these characters."""
    return printable(text, stream) == text


def printable(text: str, stream: IO[str] | None = None) -> str:
    """The text with escapes for what a stream, or the current `sys.stdout`, cannot show."""
    stream = sys.stdout if stream is None else stream
    return _escaped(text, getattr(stream, "encoding", None) or "utf-8")


def _escaped(text: str, encoding: str) -> str:
    try:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:
        return text.encode("ascii", "backslashreplace").decode("ascii")


def counted(number: int, noun: str) -> str:
    """`"1 epoch"`, `"2 epochs"`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
