"""What the package says to mistakes that many people make: it names the right call."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from keras_regplus._checks import error_text

__all__ = ["TF_KERAS", "belongs_to_tf_keras", "did_you_mean", "explains"]

TF_KERAS = (
    "the model must be one of Keras 3, got one of `tf_keras`. Import `keras`, not `tf_keras`, "
    "everywhere, and do not set TF_USE_LEGACY_KERAS."
)

_Function = TypeVar("_Function", bound=Callable[..., Any])


def belongs_to_tf_keras(cls: type) -> bool:
    """Whether a class comes from Keras 2, under one of its names."""
    old = ("tf_keras.", "tensorflow.python.keras.")
    return any(base.__module__.startswith(old) for base in cls.__mro__)


def explains(owner: str, **advice: str) -> Callable[[_Function], _Function]:
    """Have a function say what to do about keywords that users of other tools try.

    `advice` has a sentence for each keyword that the function does not have.
    """

    def decorate(function: _Function) -> _Function:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            for name, sentence in advice.items():
                if name in kwargs:
                    rule = "left out, since there is no such argument"
                    raise TypeError(error_text(owner, name, rule, kwargs[name], sentence))
            return function(*args, **kwargs)

        return run  # type: ignore[return-value]

    return decorate


def did_you_mean(names: Iterable[str], known: Iterable[str], *, likeness: float = 0.6) -> str:
    """A question that offers the `known` names most like each of `names`; empty without any.

    `likeness` is what `difflib` counts from 0 to 1, here without regard to case.
    """
    in_lower_case = {each.lower(): each for each in known}
    close = [
        in_lower_case[each]
        for name in names
        for each in difflib.get_close_matches(name.lower(), in_lower_case, 2, likeness)
    ]
    offered = " or ".join(f"`{each}`" for each in dict.fromkeys(close))
    return f"Did you mean {offered}?" if offered else ""
