"""Whatever a stream can show, the text arrives there."""

from __future__ import annotations

import io
import sys

import pytest

from keras_regplus._output import can_show, counted, printable, write

pytestmark = pytest.mark.same_on_all_backends

TEXT = "é ▁ →"


class Silent(io.StringIO):
    """A strict stream that does not tell its encoding, as those of some tools."""

    encoding = None

    def write(self, text):
        text.encode("ascii")
        return super().write(text)


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", TEXT),
        ("cp1252", "é \\u2581 \\u2192"),
        ("ascii", "\\xe9 \\u2581 \\u2192"),
        # The terminals of old have blocks and no arrows.
        ("cp437", "é \\u2581 \\u2192"),
    ],
)
def test_what_an_encoding_lacks_is_escaped(monkeypatch, encoding, shown):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    assert printable(TEXT, stream) == shown
    assert can_show(TEXT, stream) == (shown == TEXT)
    write(TEXT, stream, end="!")
    monkeypatch.setattr(sys, "stdout", stream)
    assert printable(TEXT) == shown
    write(TEXT)
    assert stream.buffer.getvalue() == f"{shown}!{shown}\n".encode(encoding)


def test_a_stream_that_does_not_tell_its_encoding_is_tried_first():
    wide, strict = io.StringIO(), Silent()
    for stream in (wide, strict):
        write(TEXT, stream)
    assert wide.getvalue() == f"{TEXT}\n"
    assert strict.getvalue() == "\\xe9 \\u2581 \\u2192\n"


def test_an_encoding_that_python_does_not_know_is_taken_for_ascii():
    stream = Silent()
    stream.encoding = "nonsense"
    assert printable(TEXT, stream) == "\\xe9 \\u2581 \\u2192"


def test_without_a_stdout_nothing_is_printed(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    write(TEXT)
    assert can_show(TEXT)


def test_one_is_singular():
    assert [counted(number, "epoch") for number in range(3)] == ["0 epochs", "1 epoch", "2 epochs"]
