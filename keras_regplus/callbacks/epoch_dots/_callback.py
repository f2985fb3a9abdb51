"""A dot for each epoch and a full report now and then."""

from __future__ import annotations

import atexit
import logging
import os
import re
import time
import weakref
from collections.abc import Iterable
from typing import IO, Any

import keras

from keras_regplus._checks import boolean, count, error_text, finite_number
from keras_regplus.callbacks._chief import is_chief
from keras_regplus.callbacks.epoch_dots._layout import ClassicLayout, Records, Wrapped
from keras_regplus.callbacks.epoch_dots._output import Output
from keras_regplus.callbacks.epoch_dots._placement import PlacementWarnings
from keras_regplus.callbacks.epoch_dots._progress import Stopwatch, Summary
from keras_regplus.callbacks.epoch_dots._report import Report, legend, line_of_json, line_of_text
from keras_regplus.callbacks.epoch_dots._values import checked_metrics, chosen

__all__ = ["EpochDots"]

_OWNER = "EpochDots"

# A `fit` that raises never reaches `on_train_end`: what it left open waits here
# for the next training or for the interpreter's exit.
_with_open_line: weakref.WeakSet[EpochDots] = weakref.WeakSet()


class EpochDots(keras.callbacks.Callback):
    """Prints a dot for each epoch, and all metrics every `report_every` epochs.

    Use it with `verbose=0` for trainings of hundreds of short epochs, where a
    line for each epoch is too much and silence is too little. With a detector
    the dots say what it sees: `.` healthy or too early to say, `~` stagnating,
    `-` plateau, `!` overfitting, `x` diverging; a line at the beginning says so,
    too, and reports show the verdict, the best epoch and the gap. The detector
    goes before this callback in the list, or the dots lag one epoch behind it.

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
        metrics: Which metrics a report shows, and in which order: a name, a regular
            expression that must match the whole name, or a list of them. Defaults to
            None: all, sorted by name.
        digits: Significant digits of each number, at least 1, so that `1e-06` is
            not `0.0000`. Defaults to None: four decimals.
        report_seconds: A report comes after the first epoch, and then as soon as so
            many seconds have passed since the last one, at least 0, whatever
            `report_every` says. Defaults to None: reports come by epochs.
        times: Whether reports show the time since the training began and, from its
            epochs so far, the time until all are done. Defaults to False.
        summary: Whether a training ends with its first, its best and its last
            epoch. The best is that of the lowest `val_loss`, of `val_data_loss` where
            there is one, and without validation of `data_loss` or `loss`. Defaults to
            False.
        wrap: Whether lines end at the width of the terminal, or at 100 characters
            where there is none, and each line of dots begins with the number of its
            first epoch. Defaults to False: only reports end a line of dots.
        json_lines: Whether each report is a line with a JSON object, for machines,
            with `null` for NaN and infinity. There are no dots then. Defaults to False.
        file: A stream of text, or the path of a file that is appended to and made
            with its folders where it is missing. Defaults to None: the `sys.stdout` of
            the moment.
        logger: A `logging.Logger` that gets each report at level INFO. There are no
            dots then. Not beside `file`. Defaults to None.

    Raises:
        TypeError: An argument is of the wrong kind, or the detector has no `diagnosis`.
        ValueError: A number is out of range, a pattern is no regular expression, `file`
            is a folder, or both `file` and `logger` are given.

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

    def __init__(
        self,
        report_every: int = 100,
        dot_every: int = 1,
        *,
        detector: Any = None,
        metrics: str | re.Pattern[str] | Iterable[str | re.Pattern[str]] | None = None,
        digits: int | None = None,
        report_seconds: float | None = None,
        times: bool = False,
        summary: bool = False,
        wrap: bool = False,
        json_lines: bool = False,
        file: IO[str] | str | os.PathLike[str] | None = None,
        logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
    ) -> None:
        super().__init__()
        advice = "Use 100 for a report every 100 epochs."
        self.report_every = count(_OWNER, "report_every", report_every, advice=advice)
        advice = "Use 1 for a dot after each epoch."
        self.dot_every = count(_OWNER, "dot_every", dot_every, advice=advice)
        self.detector = _checked_detector(detector)
        self.metrics = metrics
        self._patterns = checked_metrics(metrics)
        advice = "Use 4, or None for four decimals."
        self.digits = None if digits is None else count(_OWNER, "digits", digits, advice=advice)
        self.report_seconds = _checked_seconds(report_seconds)
        self.times = boolean(_OWNER, "times", times, advice="Use True to see them.")
        self.summary = boolean(_OWNER, "summary", summary, advice="Use True to get one.")
        self.wrap = boolean(_OWNER, "wrap", wrap, advice="Use True to wrap lines.")
        self.json_lines = boolean(_OWNER, "json_lines", json_lines, advice="Use True for JSON.")
        self._output = Output(file, logger)
        self._neighbours = PlacementWarnings(self.detector)
        self._has_legend = False
        self._begin()

    @property
    def file(self) -> Any:
        return self._output.file

    @property
    def logger(self) -> Any:
        return self._output.logger

    def _begin(self) -> None:
        """Forget everything about an earlier training."""
        self._epochs: int | None = (self.params or {}).get("epochs")
        self._seen = Summary() if self.summary else None
        self._clock = Stopwatch() if self.times else None
        self._last_report: float | None = None
        if self.json_lines or self.logger is not None:
            self._layout: Any = Records()
        else:
            self._layout = Wrapped(self._epochs) if self.wrap else ClassicLayout()

    def on_train_begin(self, logs: Any = None) -> None:
        self._finish_line()
        self._begin()
        if is_chief(self.model):
            verbose = (self.params or {}).get("verbose")
            self._neighbours.begin(self.model, verbose, self._output.shares_with_keras())

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._seen is not None:
            self._seen.take(epoch, logs)
        if self._clock is not None:
            self._clock.take(epoch)
        if self.detector is not None and is_chief(self.model):
            self._neighbours.end_of_epoch(epoch)
        reports = self._is_due(epoch)
        dots = self._layout.has_dots and epoch % self.dot_every == 0
        if (reports or dots) and is_chief(self.model):
            self._show(epoch, self._report(epoch, logs) if reports else "", dots)

    def on_train_end(self, logs: Any = None) -> None:
        self._finish_line()
        if self._seen is not None and is_chief(self.model):
            for report in self._seen.reports(self._patterns):
                self._output.write(self._layout.line(self._line(report), self._output.width()))
        self._output.close()

    def _is_due(self, epoch: int) -> bool:
        if self.report_seconds is None:
            return epoch % self.report_every == 0
        now = time.monotonic()
        if self._last_report is not None and now - self._last_report < self.report_seconds:
            return False
        self._last_report = now
        return True

    def _report(self, epoch: int, logs: Any) -> str:
        clock = self._clock
        report = Report(
            epoch,
            metrics=chosen(logs, self._patterns),
            diagnosis=getattr(self.detector, "diagnosis", None),
            elapsed=clock.elapsed() if clock else None,
            left=clock.left(epoch, self._epochs) if clock else None,
        )
        return self._line(report)

    def _line(self, report: Report) -> str:
        return line_of_json(report) if self.json_lines else line_of_text(report, self.digits)

    def _show(self, epoch: int, report: str, dots: bool) -> None:
        width = self._output.width() if self.wrap else 0
        is_open = self in _with_open_line
        text = self._layout.text(epoch, report, self._dot() if dots else "", is_open, width)
        self._output.write(self._legend(width) + text)
        self._remember_line(is_open=dots)

    def _dot(self) -> str:
        return str(getattr(getattr(self.detector, "diagnosis", None), "dot", "."))

    def _legend(self, width: int) -> str:
        if self._has_legend or not self._layout.has_dots:
            return ""
        self._has_legend = True
        text = legend(getattr(self.detector, "diagnosis", None))
        return self._layout.line(text, width) if text else ""

    def _remember_line(self, is_open: bool) -> None:
        if is_open:
            _with_open_line.add(self)
        else:
            _with_open_line.discard(self)

    def _finish_line(self) -> None:
        if self in _with_open_line:
            self._output.write("\n")
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
    raise TypeError(error_text(_OWNER, "detector", rule, detector, advice))


def _checked_seconds(seconds: Any) -> float | None:
    if seconds is None:
        return None
    advice = "Use 60 for a report every minute."
    return finite_number(_OWNER, "report_seconds", seconds, minimum=0, advice=advice)
