"""Public parameters have real types, so that an editor and mypy can help."""

from __future__ import annotations

import importlib
import inspect
import types
import typing
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

MODULES = (
    "keras_regplus",
    "keras_regplus.callbacks",
    "keras_regplus.callbacks.actions",
    "keras_regplus.callbacks.regularization_scheduler",
    "keras_regplus.diagnosis",
    "keras_regplus.histograms",
    "keras_regplus.layers",
    "keras_regplus.plots",
    "keras_regplus.regularizers",
    "keras_regplus.schedules",
    "keras_regplus.testing",
)

FIT = "whatever `fit` and `evaluate` take, for which Keras has no type"
TENSOR = "a tensor of any backend, for which Keras has no type"

# Patterns of a name, a parameter, and why it may be Any.
MAY_BE_ANY = [
    ("at", "*", "a number or a traced scalar, for which Keras has no type"),
    ("callbacks.*.verify", "*", FIT),
    ("callbacks.OverfittingDetector.__init__", "train_probe", FIT),
    ("testing.frozen_fit", "*", FIT),
    ("schedules.*.__call__", "t", TENSOR),
    ("regularizers.*.__call__", "x", TENSOR),
    ("layers.*.call", "inputs", TENSOR),
    ("layers.*.compute_mask", "*", TENSOR),
    ("layers.*", "kwargs", "handed to `keras.layers.Layer`, which has no types"),
]


def public_functions() -> dict[str, Callable]:
    """Functions, constructors and methods by dotted name, those of our bases included."""
    functions = {}
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            path = f"{module.__name__}.{name}".removeprefix("keras_regplus.")
            thing = getattr(module, name)
            if inspect.isfunction(thing):
                functions[path] = thing
            elif inspect.isclass(thing):
                functions.update((f"{path}.{own}", method) for own, method in methods(thing))
    return functions


def methods(cls: type) -> Iterator[tuple[str, Callable]]:
    """The methods of ours that a user may call; what Keras defines is not ours to type."""
    for name, member in inspect.getmembers(cls):
        function = inspect.unwrap(getattr(member, "__func__", member))
        is_public = name in ("__init__", "__call__") or not name.startswith("_")
        if is_public and inspect.isfunction(function) and is_ours(function):
            yield name, function


def is_ours(function: Callable) -> bool:
    return function.__module__.partition(".")[0] == "keras_regplus"


def untyped(function: Callable) -> list[str]:
    """Parameters that are annotated `Any`, alone or beside None, or not at all."""
    # The package imports these for type checkers alone.
    drawn = {"Axes": Axes, "Figure": Figure}
    hints = typing.get_type_hints(function, localns=drawn)
    names = [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]
    return [name for name in names if is_any(hints.get(name, Any))]


def is_any(hint: Any) -> bool:
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return hint is Any or (is_union and any(map(is_any, typing.get_args(hint))))


def is_excused(path: str, parameter: str) -> bool:
    return any(fnmatch(path, name) and fnmatch(parameter, p) for name, p, _ in MAY_BE_ANY)


@pytest.mark.parametrize("path", public_functions())
def test_public_parameters_have_types(path):
    found = [name for name in untyped(public_functions()[path]) if not is_excused(path, name)]
    assert found == []


def test_no_excuse_is_out_of_date():
    excused = [
        [
            path
            for path, function in public_functions().items()
            for name in untyped(function)
            if fnmatch(path, pattern) and fnmatch(name, parameter)
        ]
        for pattern, parameter, _ in MAY_BE_ANY
    ]
    assert all(excused)


def typed(x: int, *, y: Any | None = None, z=1, values: dict[str, Any]) -> None: ...


def test_a_parameter_without_a_type_is_found():
    assert untyped(typed) == ["y", "z"]
