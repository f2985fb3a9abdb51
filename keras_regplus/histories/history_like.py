"""The types of what stands for the history of a training."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

__all__ = ["DataFrame", "HistoryLike", "KerasHistory"]


class KerasHistory(Protocol):
    """A `keras.callbacks.History`, as `fit` returns it, or what looks like one.

    Where it has `epoch`, a list of the numbers of the epochs, these count.
    """

    @property
    def history(self) -> Mapping[str, Collection[float | None]]:
        """Name to one value for each epoch."""
        ...


class DataFrame(Protocol):
    """A table of pandas or polars, with a column for each metric."""

    @property
    def columns(self) -> Iterable[Any]:
        """The names of the columns."""
        ...

    def __getitem__(self, name: Any, /) -> Any:
        """The column of that name."""
        ...


HistoryLike = (
    KerasHistory | Mapping[str, Collection[float | None]] | DataFrame | str | os.PathLike[str]
)
"""What is taken for the history of one training: a `keras.callbacks.History`; a dict or a
DataFrame (pandas or polars) of name to values, one for each epoch; or a path, which
`read_history` reads."""
