"""A warning points at the line of the user, whatever stands between it and us."""

from __future__ import annotations

import importlib.util
import sys
import warnings

import pytest

from keras_regplus import RegPlusWarning, _warnings
from keras_regplus._warnings import OneTimeWarnings, warn, warn_once

pytestmark = pytest.mark.same_on_all_backends


@pytest.fixture(autouse=True)
def _nothing_told_yet(monkeypatch):
    monkeypatch.setattr(_warnings, "_warned_of", set())


@pytest.fixture
def library(tmp_path):
    """Make a module of this name in this folder, which calls what it is given."""

    def make(name, *folders):
        folder = tmp_path.joinpath(*folders)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.py"
        path.write_text("def call(function):\n    return function()\n")
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return make


def caught(function):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", RegPlusWarning)
        function()
    return found


WAYS = {
    "warn": lambda: warn("message"),
    "once": lambda: warn_once("message", cause="cause"),
    "of an object": lambda: OneTimeWarnings("Owner").warn("message"),
}


def from_us(way):
    """Call as a callback of ours does, below Keras."""
    names = {"__name__": "keras_regplus.callbacks.any", "way": WAYS[way]}
    exec("def ours():\n    way()", names)
    # The lambdas above stand in this file, so `way` itself is moved into the package.
    code = WAYS[way].__code__
    names["way"] = type(WAYS[way])(code, {**vars(_warnings), "__name__": "keras_regplus.any"})
    return names["ours"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "between",
    [
        [],
        [("keras", "site-packages")],
        [("fake_tuner", "site-packages")],
        [("fake_tuner", "dist-packages", "deep")],
        [("keras", "site-packages"), ("fake_tuner", "site-packages")],
    ],
    ids=["nothing", "Keras", "a search", "a folder of Debian", "a search and Keras"],
)
def test_it_points_at_the_line_of_the_user(way, between, library):
    function = from_us(way)
    for name, *folders in between:
        function = _inside(library(name, *folders), function)
    (warning,) = caught(lambda: function())
    assert warning.filename == __file__


def _inside(module, function):
    # A method of the library's calls on, so no frame of this file stands in between.
    namespace = vars(module)
    namespace[f"_{id(function)}"] = function
    exec(compile(f"def run(): return call(_{id(function)})", module.__file__, "exec"), namespace)
    return namespace.pop("run")


def test_an_objective_of_the_user_is_closer_than_the_search(library):
    search = library("fake_tuner", "site-packages")
    ours = from_us("warn")

    def objective():
        ours()

    (warning,) = caught(lambda: search.call(objective))
    assert warning.lineno == objective.__code__.co_firstlineno + 1


def test_where_all_is_installed_the_line_is_the_closest_to_keras(library, monkeypatch):
    application = _inside(library("application", "site-packages"), from_us("warn"))
    monkeypatch.setattr(_warnings, "_INSTALLED", (*_warnings._INSTALLED, "/", "<", sys.prefix))
    (warning,) = caught(application)
    assert warning.filename.endswith("application.py")


def test_a_cause_is_told_once_a_line():
    def here(cause):
        return [str(each.message) for each in caught(lambda: warn_once(cause, cause))]

    def there(cause):
        return [str(each.message) for each in caught(lambda: warn_once(cause, cause))]

    assert [here("a"), here("a"), here("b"), there("a")] == [["a"], [], ["b"], ["a"]]
