"""Whatever a stream can show, the text arrives there."""

from __future__ import annotations

import ast
import io
import sys
from pathlib import Path

import pytest

import keras_regplus
from keras_regplus._output import can_show, counted, printable, write
from keras_regplus.command._demo_output import print_where_to_look

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


def test_the_demo_names_a_folder_that_the_terminal_cannot_show(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252", newline="\n")
    monkeypatch.setattr(sys, "stdout", stream)
    print_where_to_look(Path("größe→/curves.png"), Path("logs"), 1.0)
    assert b"gr\xf6\xdfe\\u2192" in stream.buffer.getvalue()


def test_nothing_but_the_demo_prints_on_its_own():
    package = Path(keras_regplus.__file__).parent
    printing = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print"
    }
    # Its own prints are of texts that are ASCII whatever the user does.
    assert printing <= {"_output.py", "command/demo.py", "command/_demo_output.py"}


def test_one_is_singular():
    assert [counted(number, "epoch") for number in range(3)] == ["0 epochs", "1 epoch", "2 epochs"]
