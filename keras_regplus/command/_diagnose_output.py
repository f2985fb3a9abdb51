"""The runs that `diagnose` looked at, as a table, as JSON and as a picture."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from keras_regplus import _output
from keras_regplus.diagnosis import VERDICTS, Diagnosis
from keras_regplus.histories.epochs import History, has_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.console import Console
    from rich.table import Table

__all__ = ["Row", "as_json", "as_table", "draw", "in_one_line", "write"]


_STYLES = {"overfitting": "red", "diverging": "red", "healthy": "green"}
# Other programs read piped output, and want one line for each run.
_PIPED_WIDTH = 10_000
# A narrower terminal shows the reason below each run, over the whole width.
_WIDE_TERMINAL = 120
# Longer names are broken, so that a row fits into 80 columns.
_WIDEST_NAME = 40
# Nobody could read more panels.
_MOST_PANELS, _PANELS_A_LINE = 30, 3


@dataclass(frozen=True)
class Row:
    """One run and its diagnosis; where there is none, the reason says why."""

    run: str
    path: str
    history: History
    metric: str | None = None
    mode: str | None = None
    diagnosis: Diagnosis | None = None
    reason: str = ""

    @property
    def verdict(self) -> str:
        return self.diagnosis.verdict if self.diagnosis else "-"

    @property
    def epochs(self) -> int:
        """How many epochs have a value."""
        return sum(has_number(values) for values in zip(*self.history.values(), strict=True))


def as_json(rows: Sequence[Row], unreadable: Mapping[str, str]) -> str:
    """One document with everything about the runs and the unreadable files."""
    document = {
        "runs": [_json_object(row) for row in rows],
        "unreadable": [{"path": path, "reason": why} for path, why in unreadable.items()],
    }
    return json.dumps(document, indent=2)


def _json_object(row: Row) -> dict[str, Any]:
    run = {"run": row.run, "path": row.path, "metric": row.metric, "mode": row.mode}
    diagnosis = json.loads(row.diagnosis.to_json()) if row.diagnosis else {"verdict": None}
    return {**run, "epochs": row.epochs, **diagnosis, "reason": row.reason}


def as_table(rows: Sequence[Row]) -> str:
    """A table for a person, and where it is piped a line for each run."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    with console.capture() as captured:
        _print_rows(console, rows)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    return "\n".join([*lines, "", *map(_shown, _summary(rows))])


def _print_rows(console: Console, rows: Sequence[Row]) -> None:
    from rich.padding import Padding

    width = min(max(len(_shown(row.run)) for row in rows), _WIDEST_NAME)
    if console.width >= _WIDE_TERMINAL:
        table = _table(width, "reason")
        for row in rows:
            table.add_row(*_cells(row), _shown(row.reason), style=_STYLES.get(row.verdict))
        console.print(table)
        return
    console.print(_table(width))
    for row in rows:
        table = _table(width, show_header=False)
        table.add_row(*_cells(row), style=_STYLES.get(row.verdict))
        console.print(table, Padding(_shown(row.reason), (0, 0, 0, 4)))


def _table(width: int, *more: str, show_header: bool = True) -> Table:
    """An empty table; the widths of its columns do not depend on what is in it."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=show_header)
    table.add_column("run", width=width, overflow="fold")
    for header in ("epochs", "best", "onset"):
        table.add_column(header, width=6, justify="right", no_wrap=True)
    table.add_column("verdict", width=max(map(len, VERDICTS)), no_wrap=True)
    for header in more:
        table.add_column(header, overflow="fold")
    return table


def _cells(row: Row) -> list[str]:
    diagnosis = row.diagnosis or Diagnosis("undecided")
    best, onset = _number(diagnosis.best_epoch), _number(diagnosis.onset_epoch)
    return [_shown(row.run), str(row.epochs), best, onset, row.verdict]


def _number(epoch: int | None) -> str:
    return "-" if epoch is None else str(epoch)


def _summary(rows: Sequence[Row]) -> list[str]:
    verdicts = Counter(row.verdict if row.diagnosis else "not diagnosed" for row in rows)
    metrics = Counter(str(row.metric).lower() for row in rows if row.diagnosis)
    lines = [f"{_output.counted(len(rows), 'run')}: {_counts(verdicts)}."]
    if metrics:
        by = _counts(metrics) if len(metrics) > 1 else next(iter(metrics))
        lines.append(f"Judged by {by}. Epochs count from 0.")
    return lines


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counter.most_common())


def in_one_line(text: str, stream: TextIO) -> str:
    """The text with escapes for what would break a line: names of files may hold anything."""
    escaped = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
    return _output.printable(escaped, stream)


def _shown(text: str) -> str:
    return in_one_line(text, sys.stdout)


def write(text: str) -> None:
    """Print it; a reader such as `head` that has seen enough is no error."""
    with contextlib.suppress(BrokenPipeError):
        _output.write(text)
        return
    # What is left in the buffer would fail once more when the interpreter ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def draw(rows: Iterable[Row], path: str) -> int:
    """Draw the curves of each run, and return how many runs found no room."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("matplotlib is missing. Run `pip install matplotlib`.") from error
    drawable = [row for row in rows if row.diagnosis]
    shown = drawable[:_MOST_PANELS]
    if not shown:
        return 0
    columns = min(len(shown), _PANELS_A_LINE)
    lines = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(4.5 * columns, 3 * lines), layout="constrained")
    for place, row in enumerate(shown, start=1):
        _draw_run(figure.add_subplot(lines, columns, place), row)
    figure.savefig(path, dpi=150)
    return len(drawable) - len(shown)


def _draw_run(ax: Axes, row: Row) -> None:
    from keras_regplus.plots import plot_diagnosis

    metric, diagnosis = str(row.metric), row.diagnosis or Diagnosis("undecided")
    train, val = row.history[metric], row.history[f"val_{metric}"]
    plot_diagnosis(train, val, diagnosis, metric=metric, ax=ax)
    # Names may hold a $, with which matplotlib begins a formula.
    ax.set_title(f"{row.run}: {row.verdict}", fontsize="medium", parse_math=False)
    ax.legend(fontsize="small")
