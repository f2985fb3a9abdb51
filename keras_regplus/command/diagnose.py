"""`python -m keras_regplus diagnose`: which trainings on a disk overfit, and since when."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace

from keras_regplus._output import write
from keras_regplus.command import _diagnose_output as output
from keras_regplus.command._diagnose_output import Row
from keras_regplus.diagnosis import VERDICTS
from keras_regplus.diagnosis.criteria import judged
from keras_regplus.histories.epochs import History
from keras_regplus.histories.metric_choice import choose_metric, direction, metrics_with_twin
from keras_regplus.histories.runs import NoHistoryError, RunFiles, find_runs, read_run

__all__ = ["add_parser"]

_PROGRAM = "python -m keras_regplus diagnose"
_CRITERIA = ("trend", "gl", "pq", "up")
_EXAMPLES = f"""\
examples:
  {_PROGRAM} logs
  {_PROGRAM} run_1.csv run_2.csv --metric accuracy
  {_PROGRAM} logs --plot curves.png
  {_PROGRAM} logs --json > verdicts.json
  {_PROGRAM} log.csv --fail-on overfitting,diverging

A PATH is a file (of CSVLogger; a history as JSON; TensorBoard events) or a
folder, in which all such files are found. Epochs count from 0.

exit code: 0; 1 if a run has a verdict of --fail-on; 2 if nothing could be diagnosed.
"""


class DiagnoseError(Exception):
    """Something that the user can mend; the message is one line for stderr."""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add `diagnose` to the commands."""
    parser = commands.add_parser(
        "diagnose",
        help="say which trainings overfit, from their logs",
        description="Read the logs of trainings, by Keras, torch or Lightning, and say which\n"
        "of them overfit and since when.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_run)
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", type=_path, help="file or folder to read"
    )
    parser.add_argument(
        "--metric",
        metavar="NAME",
        help="metric to judge by, as Keras names it (default: data_loss if every epoch has it, "
        "else loss, else the first that has a validation twin)",
    )
    parser.add_argument(
        "--mode",
        choices=("auto", "min", "max"),
        default="auto",
        help="which way the metric is better (default: as its name says)",
    )
    parser.add_argument(
        "--criterion",
        choices=_CRITERIA,
        default="trend",
        help="what decides (default: %(default)s)",
    )
    parser.add_argument("--plot", metavar="FILE.png", help="draw the curves into this file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument(
        "--fail-on",
        metavar="VERDICT",
        action="extend",
        type=_verdicts,
        default=[],
        help="exit with 1 if a run has this verdict; several with commas or by repeating",
    )


def _path(text: str) -> str:
    if not text:
        # An unset variable of the shell would otherwise stand for the current folder.
        raise argparse.ArgumentTypeError("must be a file or a folder, got ''")
    return os.path.normpath(text)


def _verdicts(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in VERDICTS]
    if unknown:
        allowed = ", ".join(VERDICTS)
        raise argparse.ArgumentTypeError(f"must be among {allowed}, got {unknown[0]!r}")
    return names


def _run(arguments: argparse.Namespace) -> int:
    try:
        return _diagnose(arguments)
    except DiagnoseError as error:
        _print_error(str(error))
        return 2


def _diagnose(arguments: argparse.Namespace) -> int:
    unreadable: dict[str, str] = {}
    runs = _runs(arguments.paths, unreadable)
    rows = list(_rows(_with_progress(runs), arguments, unreadable))
    for path, reason in unreadable.items():
        _print_error(f"{path}: {reason}")
    if not rows:
        raise DiagnoseError(
            "there is no training in the given paths. Name files or folders of TensorBoard "
            "events, CSV logs or JSON histories."
        )
    output.write(output.as_json(rows, unreadable) if arguments.json else output.as_table(rows))
    if arguments.plot is not None:
        _draw(rows, arguments.plot)
    if not any(row.diagnosis for row in rows):
        raise DiagnoseError("no run could be diagnosed. The last column says why.")
    return int(any(row.verdict in arguments.fail_on for row in rows))


def _runs(paths: Iterable[str], unreadable: dict[str, str]) -> list[RunFiles]:
    runs: dict[str, RunFiles] = {}
    for path in paths:
        try:
            runs.update((run.path, run) for run in find_runs(path))
        except OSError as error:
            unreadable[path] = _reason(error)
    return list(runs.values())


def _with_progress(runs: list[RunFiles]) -> Iterable[RunFiles]:
    """The runs, with a bar while they are worked on, if somebody is watching."""
    if not sys.stderr.isatty():
        return runs
    from rich.console import Console
    from rich.progress import track

    return track(runs, "Reading", console=Console(stderr=True), transient=True)


def _rows(
    runs: Iterable[RunFiles], arguments: argparse.Namespace, unreadable: dict[str, str]
) -> Iterator[Row]:
    for run in runs:
        try:
            history = read_run(run)
        except NoHistoryError as error:
            # A folder holds all kinds of files; one that was named was meant.
            if run.path in arguments.paths:
                unreadable[run.path] = _reason(error)
        except (OSError, ValueError) as error:
            unreadable[getattr(error, "filename", None) or run.path] = _reason(error)
        else:
            name = _name(run.path, arguments.paths)
            yield _diagnosed(Row(name, run.path, history), arguments)


def _name(path: str, given: list[str]) -> str:
    """The path as it was given, without the folder that all have in common."""
    if len(given) > 1 or path == given[0]:
        return path
    return os.path.relpath(path, given[0])


def _diagnosed(row: Row, arguments: argparse.Namespace) -> Row:
    metric = choose_metric(row.history, arguments.metric)
    if metric is None:
        return replace(row, reason=_no_metric(row.history, arguments.metric))
    mode = direction(metric, arguments.mode)
    if mode == "unknown":
        return replace(row, metric=metric, reason=f"Say with --mode which way {metric} is better.")
    curves = row.history[metric], row.history[f"val_{metric}"]
    diagnosis = judged(*curves, mode=mode, criterion=arguments.criterion)
    return replace(row, metric=metric, mode=mode, diagnosis=diagnosis, reason=diagnosis.reason)


def _no_metric(history: History, wanted: str | None) -> str:
    pairs = ", ".join(metrics_with_twin(history))
    if not pairs:
        return f"There are no validation values, only {', '.join(history)}."
    if wanted is None:
        return f"Name a metric with --metric; there are {pairs}."
    return f"{wanted} has no validation values; these have: {pairs}."


def _draw(rows: list[Row], path: str) -> None:
    try:
        left_out = output.draw(rows, path)
    except ImportError as error:
        raise DiagnoseError(str(error)) from None
    except (OSError, ValueError) as error:
        raise DiagnoseError(f"cannot draw into {path!r}: {_reason(error)}") from None
    if left_out:
        _print_error(f"{path} shows the first runs; {left_out} are left out.")


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text if text.endswith(".") else f"{text}."


def _print_error(message: str) -> None:
    write(output.in_one_line(f"{_PROGRAM}: {message}", sys.stderr), sys.stderr)
