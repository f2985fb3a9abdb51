"""A dot for each epoch and a full report now and then."""

from __future__ import annotations

import atexit
import contextlib
import weakref
from typing import Any

import keras
import numpy as np

from keras_regplus._checks import complain, count
from keras_regplus.callbacks._chief import is_chief

__all__ = ["EpochDots"]

_LONGEST_TEXT = 60

# A `fit` that raises never reaches `on_train_end`: what it left open waits here
# for the next training or for the interpreter's exit.
_with_open_line: weakref.WeakSet[EpochDots] = weakref.WeakSet()


class EpochDots(keras.callbacks.Callback):
    """Prints a dot for each epoch, and all metrics every `report_every` epochs.

    Use it with `verbose=0` for trainings of hundreds of short epochs, where a
    line for each epoch is too much and silence is too little. With a detector
    the dots say what it sees: `.` healthy or too early to say, `~` stagnating,
    `-` plateau, `!` overfitting, `x` diverging. The detector goes before this
    callback in the list, or the dots lag one epoch behind it.

    A training always ends with a newline, also one that raised: then at the
    next training or at the interpreter's exit. Only the chief process prints.

    Args:
        report_every: A report comes at epoch 0 and every so many epochs, at
            least 1. Defaults to 100.
        dot_every: A dot comes at epoch 0 and every so many epochs, at least 1.
            Defaults to 1.
        detector: The `OverfittingDetector` whose verdict is the dot, or any
            object with a `diagnosis` that is None or has a `dot`. Defaults to
            None: every dot is a `.`.

    Raises:
        TypeError: A count is no number, or the detector has no `diagnosis`.
        ValueError: A count is below 1 or no whole number.

    Example:
        >>> import keras, numpy as np
        >>> import keras_regplus as kr
        >>> model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="zeros")])
        >>> model.compile(keras.optimizers.SGD(learning_rate=0.0), loss="mse")
        >>> dots = kr.callbacks.EpochDots(report_every=3)
        >>> x, y = np.ones((4, 2)), np.ones((4, 1))
        >>> history = model.fit(  # doctest: +NORMALIZE_WHITESPACE
        ...     x, y, epochs=5, verbose=0, callbacks=[dots]
        ... )
        <BLANKLINE>
        Epoch: 0, loss:1.0000,
        ...
        Epoch: 3, loss:1.0000,
        ..

    References:
        - `tensorflow_docs.modeling.EpochDots`, of the tutorial
          [Overfit and underfit](https://www.tensorflow.org/tutorials/keras/overfit_and_underfit):
          with the default arguments the output is the same, apart from the
          newline at the end.
    """

    def __init__(self, report_every: int = 100, dot_every: int = 1, *, detector: Any = None):
        super().__init__()
        self.report_every = count(
            "EpochDots",
            "report_every",
            report_every,
            advice="Use 100 for a report every 100 epochs.",
        )
        self.dot_every = count(
            "EpochDots", "dot_every", dot_every, advice="Use 1 for a dot after each epoch."
        )
        self.detector = _checked_detector(detector)

    def on_train_begin(self, logs: Any = None) -> None:
        self._finish_line()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        reports = epoch % self.report_every == 0
        dots = epoch % self.dot_every == 0
        if (reports or dots) and is_chief(self.model):
            _write((_report(epoch, logs) if reports else "") + (self._dot() if dots else ""))
            self._remember_line(is_open=dots)

    def on_train_end(self, logs: Any = None) -> None:
        self._finish_line()

    def _dot(self) -> str:
        return getattr(getattr(self.detector, "diagnosis", None), "dot", ".")

    def _remember_line(self, is_open: bool) -> None:
        if is_open:
            _with_open_line.add(self)
        else:
            _with_open_line.discard(self)

    def _finish_line(self) -> None:
        if self in _with_open_line:
            _write("\n")
            _with_open_line.discard(self)


@atexit.register
def _finish_open_lines() -> None:
    for dots in list(_with_open_line):
        dots._finish_line()


def _checked_detector(detector: Any) -> Any:
    if detector is None or (hasattr(detector, "diagnosis") and not isinstance(detector, type)):
        return detector
    rule = "an OverfittingDetector or None"
    advice = "Hand over the detector that also stands in the list of callbacks."
    raise TypeError(complain("EpochDots", "detector", rule, detector, advice))


def _write(text: str) -> None:
    # A closed pipe or an encoding that lacks a character is no reason to end a training.
    with contextlib.suppress(OSError, ValueError):
        print(text, end="", flush=True)


def _report(epoch: int, logs: Any) -> str:
    items = sorted((logs or {}).items(), key=lambda item: str(item[0]))
    values = "".join(f"{name}:{_value_text(value)},  " for name, value in items)
    return f"\nEpoch: {epoch:d}, {values}\n"


def _value_text(value: Any) -> str:
    # Logs may hold anything, and whatever it is must not end a training.
    for text_of in (_number_text, _array_text, _object_text):
        with contextlib.suppress(Exception):
            return text_of(value)
    return "?"


def _number_text(value: Any) -> str:
    return format(value, "0.4f")


def _array_text(value: Any) -> str:
    if not hasattr(value, "shape"):
        raise TypeError("not an array")
    array = keras.ops.convert_to_numpy(value)
    return _shortened(
        np.array2string(array, precision=4, floatmode="fixed", threshold=6, edgeitems=2)
    )


def _object_text(value: Any) -> str:
    return _shortened(str(value))


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_TEXT else line[: _LONGEST_TEXT - 3] + "..."
