"""Histories in CSV and JSON files."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from typing import Any

from keras_regplus.histories.epochs import History, from_table
from keras_regplus.histories.metric_names import direction_of_name

__all__ = ["NoHistoryError", "read_table"]

# As many characters tell what a file is, without reading one that is large and something else.
_BEGINNING = 2**14
_JSON_LISTS = re.compile(r'\s*\{\s*"[^"]*"\s*:\s*\[')
_DELIMITERS = ",;\t"


class NoHistoryError(ValueError):
    """The file can be read, and holds something else than a training."""


def read_table(path: str) -> History:
    """The history in a CSV file, or in a JSON file that holds an object of lists."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        beginning = file.read(_BEGINNING)
        file.seek(0)
        if beginning.lstrip().startswith("{"):
            if not _JSON_LISTS.match(beginning):
                raise NoHistoryError("it holds no JSON object of lists")
            columns = _json_columns(file.read())
        else:
            header = beginning.partition("\n")[0]
            _check_names(header.split(_delimiter(header)))
            columns = _csv_columns(file, _delimiter(header))
    _check_names(columns)
    return from_table(columns)


def _check_names(names: Iterable[str]) -> None:
    words = [name.strip().strip('"').lower() for name in names]
    if not any(word == "epoch" or direction_of_name(word) != "unknown" for word in words):
        raise NoHistoryError("it names no epochs, no loss and no metric")


def _json_columns(text: str) -> dict[str, list[Any]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no valid JSON ({error})") from None
    return {name: values for name, values in content.items() if isinstance(values, list)}


def _csv_columns(lines: Iterable[str], delimiter: str) -> dict[str, list[Any]]:
    try:
        rows = csv.reader(lines, delimiter=delimiter)
        names = next(rows)
        # A training that was killed may leave half a row.
        cells = [row + [None] * (len(names) - len(row)) for row in rows if row]
    except csv.Error as error:
        raise ValueError(f"it is no CSV file ({error})") from None
    return {name: [row[place] for row in cells] for place, name in enumerate(names)}


def _delimiter(header: str) -> str:
    return max(_DELIMITERS, key=header.count)
