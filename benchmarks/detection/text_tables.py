"""Rows of cells, the first of which is the head, as a table in a terminal or on a page."""

from __future__ import annotations


def as_text(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = ([cell.rjust(w) for cell, w in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(cells) for cells in aligned)


def as_markdown(rows: list[list[str]]) -> str:
    rows = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
