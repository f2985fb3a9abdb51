"""The page about warnings has every warning of the package, and no other."""

from __future__ import annotations

import ast
import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import keras_regplus

pytestmark = pytest.mark.same_on_all_backends

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "messages.md"
PACKAGE = Path(keras_regplus.__file__).parent  # installed, or beside the tests
SOURCES = {
    path.relative_to(PACKAGE.parent).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(PACKAGE.rglob("*.py"))
}
# Where the functions live that issue what others have written.
MACHINERY = "keras_regplus/_warnings.py"

HOLE = "{}"  # stands for what is known only when the warning is issued
FEWEST_LETTERS = 12  # of what says which message it is

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Place(NamedTuple):
    """Where an expression stands: its file, its function, and what its arguments are, if known."""

    file: str
    function: Function | None
    arguments: dict[str, set[str]] | None = None


class Messages:
    """Reads from source code which texts its warnings can have."""

    def __init__(self, sources: dict[str, str]) -> None:
        self.calls: dict[str, list[tuple[ast.Call, Place]]] = defaultdict(list)
        self._functions: dict[str, list[tuple[Function, str]]] = defaultdict(list)
        self._values: dict[tuple[str, str], list[tuple[ast.expr, Place]]] = defaultdict(list)
        self._added: dict[str, list[tuple[ast.expr, Place]]] = defaultdict(list)
        for file, source in sources.items():
            self._index(ast.parse(source), Place(file, None))
        self._active: list[ast.expr] = []

    def all(self) -> Iterator[tuple[str, set[str]]]:
        """Each call that warns, as file and line, with the texts that it can issue."""
        for call, place in (*self.calls["warn"], *self.calls["warn_once"]):
            if place.file != MACHINERY:
                message = bound(call, ["message"])
                texts = self.texts(message["message"], place) if message else set()
                yield f"{place.file}:{call.lineno}", texts

    def texts(self, node: ast.expr, place: Place) -> set[str]:
        """What the text of an expression can be, with holes where only a training knows."""
        if node in self._active:  # a value that is made from itself
            return set()
        self._active.append(node)
        try:
            return self._of_expression(node, place)
        finally:
            self._active.pop()

    def _of_expression(self, node: ast.expr, place: Place) -> set[str]:
        match node:
            case ast.Constant(value=str(text)):
                return {text}
            case ast.Constant(value=None):
                return set()
            case ast.JoinedStr(values=parts):
                return self._joined(parts, place)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._joined([left, right], place)
            case ast.FormattedValue(value=value, conversion=-1):
                return self.texts(value, place)
            case ast.IfExp(body=one, orelse=other):
                return self._all_texts([one, other], place)
            case ast.BoolOp(values=values):
                return self._all_texts(values, place)
            case ast.Name(id=name):
                return self._of_name(name, place)
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                return self._of_values(self._values[place.file, name])
            case ast.Call():
                return self._of_call(node, place)
        return {HOLE}

    def _joined(self, parts: Iterable[ast.expr], place: Place) -> set[str]:
        choices = [self.texts(part, place) or {HOLE} for part in parts]
        return {"".join(choice) for choice in itertools.product(*choices)}

    def _all_texts(self, nodes: Iterable[ast.expr], place: Place) -> set[str]:
        return set().union(*(self.texts(node, place) for node in nodes))

    def _of_values(self, values: list[tuple[ast.expr, Place]]) -> set[str]:
        return set().union(*(self.texts(*value) for value in values)) if values else {HOLE}

    def _of_name(self, name: str, place: Place) -> set[str]:
        function = place.function
        if function is None:
            return self._of_values(self._values[place.file, name])
        if name in parameters(function):
            if place.arguments is not None:
                return place.arguments.get(name, {HOLE})
            return self._of_parameter(name, function, place.file)
        local = [
            text for node in ast.walk(function) for text in self._of_statement(name, node, place)
        ]
        return set(local) or self._of_values(self._values[place.file, name])

    def _of_statement(self, name: str, node: ast.AST, place: Place) -> set[str]:
        """What a statement assigns to a name, if that is what it does."""
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                return self.texts(value, place)
            case ast.NamedExpr(target=ast.Name(id=target), value=value) if target == name:
                return self.texts(value, place)
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                pairs = zip(targets, values, strict=True)
                return self._all_texts([v for t, v in pairs if is_name(t, name)], place)
            case ast.For(target=target, iter=iterated) if name in names_in(target):
                return self._of_items(iterated, place)
        return set()

    def _of_items(self, node: ast.expr, place: Place) -> set[str]:
        match node:
            case ast.Call(func=ast.Name(id="enumerate"), args=[items, *_]):
                return self._of_items(items, place)
            case ast.Attribute(attr=name):
                return self._of_values(self._added[name])
        return self.texts(node, place)

    def _of_parameter(self, name: str, function: Function, file: str) -> set[str]:
        """What the callers of a function pass to it."""
        return self._of_values(
            [
                (bound(call, parameters(function))[name], place)
                for call, place in nearest(self.calls[function.name], file)
                if name in bound(call, parameters(function))
            ],
        )

    def _of_call(self, call: ast.Call, place: Place) -> set[str]:
        """What the function that is called returns or yields."""
        texts: set[str] = set()
        for function, file in nearest(self._functions[name_of(call)], place.file):
            arguments = {
                name: self.texts(value, place)
                for name, value in bound(call, parameters(function)).items()
            }
            inside = Place(file, function, arguments)
            results = [
                node.value
                for node in ast.walk(function)
                if isinstance(node, ast.Return | ast.Yield) and node.value is not None
            ]
            texts |= self._all_texts(results, inside)
        return texts or {HOLE}

    def _index(self, node: ast.AST, place: Place) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._functions[node.name].append((node, place.file))
                place = Place(place.file, node)
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr=name), attr="append")):
                self._added[name].append((node.args[0], place))
            case ast.Call():
                self.calls[name_of(node)].append((node, place))
            case ast.Assign(targets=[ast.Name(id=name) | ast.Attribute(attr=name)], value=value):
                if place.function is None or isinstance(node.targets[0], ast.Attribute):
                    self._values[place.file, name].append((value, place))
        for child in ast.iter_child_nodes(node):
            self._index(child, place)


def nearest(found: list, file: str) -> list:
    """What stands in that file, or the only one elsewhere: other things share common names."""
    return [one for one in found if file_of(one[1]) == file] or (found if len(found) == 1 else [])


def file_of(where: Place | str) -> str:
    return where if isinstance(where, str) else where.file


def parameters(function: Function) -> list[str]:
    names = [one.arg for one in (*function.args.args, *function.args.kwonlyargs)]
    return [name for name in names if name != "self"]


def bound(call: ast.Call, names: Iterable[str]) -> dict[str, ast.expr]:
    """The expressions that a call passes, by parameter."""
    by_name = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    return dict(zip(names, call.args, strict=False)) | by_name


def name_of(call: ast.Call) -> str:
    return getattr(call.func, "id", None) or getattr(call.func, "attr", "")


def is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def names_in(node: ast.expr) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def is_telling(text: str) -> bool:
    return len(re.sub(r"[^a-z]", "", text.replace(HOLE, "").lower())) >= FEWEST_LETTERS


class Entry(NamedTuple):
    """An entry of the page: the words by which a reader finds it, and the rest."""

    words: str
    rest: str


# A code span with backticks in it has two around it, and a space.
ENTRY = re.compile(r"^- \*\*(?:`` (.+?) ``|`([^`]+)`)\*\*(.*)$", re.MULTILINE)


def entries_of(page: str) -> list[Entry]:
    return [Entry(words or plain, rest.strip()) for words, plain, rest in ENTRY.findall(page)]


def problems_of(messages: Messages, page: str) -> list[str]:
    """What the page lacks, and what it has in vain."""
    entries, issued = entries_of(page), list(messages.all())
    unreadable = [
        f"{where}: write the words of the warning so that a reader of the source finds them"
        for where, texts in issued
        if not texts or not all(map(is_telling, texts))
    ]
    missing = [
        f"{where}: no entry for {text!r}"
        for where, texts in issued
        for text in sorted(filter(is_telling, texts))
        if not any(entry.words in text for entry in entries)
    ]
    known = [text for _, texts in issued for text in texts]
    stale = [
        f"no warning has the words {entry.words!r}"
        for entry in entries
        if not any(entry.words in text for text in known)
    ]
    return unreadable + missing + stale


def test_the_page_has_every_warning_and_no_other():
    problems = problems_of(Messages(SOURCES), PAGE.read_text(encoding="utf-8"))
    assert not problems, "\n".join(problems)


def test_every_entry_has_words_to_find_it_by_a_cause_and_a_cure():
    page = PAGE.read_text(encoding="utf-8")
    assert len(entries_of(page)) == len(re.findall(r"^- ", page, re.MULTILINE))
    for words, rest in entries_of(page):
        cause, _, cure = rest.partition(" *What to do:* ")
        assert is_telling(words)
        assert cause.endswith((".", ":")) and cure.endswith("."), words


# Every way in which the package makes a message, in small.
WAYS = {
    "plain": 'warn("the first thing is wrong")',
    "keyword": 'self._warnings.warn(message="the first thing is wrong")',
    "f-string": 'warn(f"{owner}: the first thing is {x!r} wrong")',
    "parts": 'def f(x):\n    text = "the first thing "\n    warn(text + f"is wrong, got {x}")',
    "choice": 'warn("the first thing is wrong" if x else "the first thing is lost")',
    "function": 'def f():\n    return "the first thing is wrong"\nwarn(f())',
    "argument": 'def f(rule):\n    warn(f"{rule}. Mend it.")\nf("the first thing is wrong")',
    "constant": 'TEXT = "the first thing is wrong"\nwarn(TEXT)',
    "generator": 'def f():\n    yield "the first thing is wrong"\n'
    "def g():\n    for n, text in enumerate(f()):\n        warn(text)",
    "list": 'def f(self):\n    self.faults.append("the first thing is wrong")\n'
    "def g(self):\n    for fault in self.faults:\n        warn(fault)",
    "attribute": 'def f(self):\n    self.fault = self.fault or "the first thing is wrong"\n'
    "def g(self):\n    warn(self.fault)",
    "walrus": 'def f():\n    return "the first thing is wrong"\n'
    "def g():\n    if text := f():\n        warn(text)",
}


@pytest.mark.parametrize("source", WAYS.values(), ids=WAYS)
def test_a_warning_is_read_however_it_is_made(source):
    messages = Messages({"a.py": source})
    line = len(source.splitlines()[: source[: source.rindex("warn(")].count("\n") + 1])
    (problem,) = problems_of(messages, "")[:1]
    assert problem.startswith(f"a.py:{line}: no entry for ")
    assert "the first thing" in problem
    assert problems_of(messages, "- **`the first thing`** It broke. *What to do:* Mend it.") == []


@pytest.mark.parametrize(
    "source", ["warn(text)", "warn()", 'warn(f"{a}: {b}")', "def f(text):\n    warn(text)"]
)
def test_a_warning_whose_words_cannot_be_found_is_a_problem(source):
    (problem,) = problems_of(Messages({"a.py": source}), "")
    assert problem.startswith("a.py:") and "write the words" in problem


def test_an_entry_that_no_warning_has_is_a_problem():
    page = "- **`` `x` is a thing ``** So.\n- **`gone since long ago`** So.\n"
    messages = Messages({"a.py": 'warn("`x` is a thing that goes wrong")'})
    assert problems_of(messages, page) == ["no warning has the words 'gone since long ago'"]
