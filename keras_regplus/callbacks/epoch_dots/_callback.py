"""The callback that prints a dot for each epoch and a full report now and then."""

from __future__ import annotations

import atexit
import os
import re
import time
import weakref
from collections.abc import Iterable
from typing import IO, Any, Protocol

from keras_regplus._checks import boolean, count, error_text, finite_number
from keras_regplus.callbacks._base import Callback
from keras_regplus.callbacks._chief import is_chief
from keras_regplus.callbacks.epoch_dots._layout import ClassicLayout, WrappedLayout
from keras_regplus.callbacks.epoch_dots._missing import MissingMetrics
from keras_regplus.callbacks.epoch_dots._output import Output
from keras_regplus.callbacks.epoch_dots._placement import PlacementWarnings
from keras_regplus.callbacks.epoch_dots._progress import Stopwatch, Summary
from keras_regplus.callbacks.epoch_dots._report import diagnosis_texts, legend, report_line
from keras_regplus.callbacks.epoch_dots._values import checked_metrics, metric_texts

__all__ = ["EpochDots"]

_OWNER = "EpochDots"

# A `fit` that raises never reaches `on_train_end`: callbacks with an unfinished line wait
# here for the next training or for the interpreter's exit.
_with_open_line: weakref.WeakSet[EpochDots] = weakref.WeakSet()


class HasDiagnosis(Protocol):
    """An `OverfittingDetector`, or any object whose `diagnosis` is None or has a `dot`."""

    @property
    def diagnosis(self) -> object: ...


class EpochDots(Callback):
    """Prints a dot for each epoch, and all metrics every `report_every` epochs.

    Use it with `verbose=0` for trainings of hundreds of short epochs, where a line
    for each epoch is too much and silence is too little. With a detector each dot
    shows the verdict: `.` undecided or healthy, `~` stagnating, `-` plateau,
    `!` overfitting, `x` diverging. A legend comes once for all trainings on a
    screen, and reports show the verdict, the best epoch and the gap. Put the detector
    before this callback in the list; otherwise the dots lag one epoch behind it.

    Reports leave out what says nothing new: a `penalty` of 0, and a `data_loss` that
    equals the `loss` beside it. On a terminal a report that is too long for a line is
    broken between two metrics.

    Every training ends with a newline. After one that raised, it comes when the
    next training begins or the interpreter exits. Only the chief process prints.

    Args:
        report_every: Prints a report at epoch 0 and then every so many epochs, at
            least 1. Defaults to 100.
        dot_every: Prints a dot at epoch 0 and then every so many epochs, at least 1.
            Defaults to 1.
        detector: The `OverfittingDetector` whose verdict the dots show, or any
            object with a `diagnosis` that is None or has a `dot`. Defaults to
            None: every dot is a `.`.
        metrics: Which metrics a report shows, and in which order: a name, a regular
            expression that must match the whole name, or a list of these. You are
            warned if the training has none of them, or if one looks misspelt. What you
            name is never left out. Defaults to None: all metrics, sorted by name.
        digits: Significant digits of each number, at least 1: with 3, a millionth is
            `1e-06` and not `0.0000`. Defaults to None: four decimals, and three
            significant digits for what this package logs, such as `strength/...`,
            where it is less than 0.001.
        report_seconds: Prints a report after the first epoch and then after each
            epoch that ends at least so many seconds after the last report, at least
            0; `report_every` is ignored. Defaults to None: reports come by epochs.
        times: Whether reports show the time since the training began and an
            estimate of the time left. Defaults to False.
        summary: Whether a training ends with reports of its first, its best and its
            last epoch. The best epoch has the lowest `val_loss`, without validation
            the lowest `loss`; where a `RegularizationScheduler` logs `data_loss` in
            every epoch, and there is a penalty, that is compared. Defaults to False.
        wrap: Whether lines of dots, too, end at the width of the terminal, or at 100
            characters without a terminal, and each of them begins with the number of its
            first epoch. Defaults to False: only reports end a line of dots.
        file: A stream of text, or the path of a file to append to; a missing file
            is created with its folders. Defaults to None: the current `sys.stdout`.

    Raises:
        TypeError: If an argument has the wrong type (`times`, `summary` and `wrap` must be
            True or False), or `detector` has no `diagnosis`.
        ValueError: If `report_every`, `dot_every`, `digits` or `report_seconds` is out
            of range, `metrics` is empty or contains an invalid regular expression, or
            `file` is a folder.

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
        - [Overfit and underfit](https://www.tensorflow.org/tutorials/keras/overfit_and_underfit),
          the tutorial that uses `tensorflow_docs.modeling.EpochDots`: with the default
          arguments Keras's metrics are printed in the same way, apart from the newline at
          the end, and from lines that are too long for a terminal.
    """

    def __init__(
        self,
        report_every: int = 100,
        dot_every: int = 1,
        *,
        detector: HasDiagnosis | None = None,
        metrics: str | re.Pattern[str] | Iterable[str | re.Pattern[str]] | None = None,
        digits: int | None = None,
        report_seconds: float | None = None,
        times: bool = False,
        summary: bool = False,
        wrap: bool = False,
        file: IO[str] | str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        advice = "Use 100 for a report every 100 epochs."
        self.report_every = count(_OWNER, "report_every", report_every, advice=advice)
        advice = "Use 1 for a dot after each epoch."
        self.dot_every = count(_OWNER, "dot_every", dot_every, advice=advice)
        self.detector = _checked_detector(detector)
        self.metrics = metrics
        self._patterns = checked_metrics(metrics)
        self._missing = MissingMetrics(self._patterns)
        advice = "Use 4, or None for four decimals."
        self.digits = None if digits is None else count(_OWNER, "digits", digits, advice=advice)
        self.report_seconds = _checked_seconds(report_seconds)
        self.times = boolean(_OWNER, "times", times, advice="Use True to see them.")
        self.summary = boolean(_OWNER, "summary", summary, advice="Use True to get one.")
        self.wrap = boolean(_OWNER, "wrap", wrap, advice="Use True to wrap lines.")
        self._output = Output(file)
        self._placement = PlacementWarnings(self.detector)
        self._has_legend = False
        self._forget_training()

    @property
    def file(self) -> IO[str] | str | os.PathLike[str] | None:
        return self._output.file

    def _forget_training(self) -> None:
        epochs = (self.params or {}).get("epochs")
        self._summary = Summary() if self.summary else None
        self._stopwatch = Stopwatch(epochs) if self.times else None
        self._last_report: float | None = None
        self._layout = (
            WrappedLayout(epochs, self._output.width)
            if self.wrap
            else ClassicLayout(self._output.terminal_width)
        )

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._finish_line()
        self._forget_training()
        self._missing.start_training()
        if is_chief(self.model):
            verbose = (self.params or {}).get("verbose")
            self._placement.start_training(self.model, verbose, self._output.shares_with_keras())

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._summary is not None:
            self._summary.add(epoch, logs)
        if self._stopwatch is not None:
            self._stopwatch.end_epoch(epoch)
        if self.detector is not None and is_chief(self.model):
            self._placement.end_epoch(epoch)
        reports, dots = self._is_report_due(epoch), epoch % self.dot_every == 0
        if reports:
            self._last_report = time.monotonic()
        if (reports or dots) and is_chief(self.model):
            self._write(epoch, self._report(epoch, logs) if reports else "", dots)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._finish_line()
        if is_chief(self.model):
            self._missing.check(logs, is_over=True)
        if self._summary is not None and is_chief(self.model):
            for line in self._summary.lines(self._patterns, self.digits):
                self._output.write(self._layout.line(line))
        self._output.close()

    def _is_report_due(self, epoch: int) -> bool:
        if self.report_seconds is None:
            return epoch % self.report_every == 0
        last = self._last_report
        return last is None or time.monotonic() - last >= self.report_seconds

    def _report(self, epoch: int, logs: Any) -> str:
        self._missing.check(logs)
        texts = metric_texts(logs, self._patterns, self.digits)
        texts |= diagnosis_texts(self._diagnosis(), self.digits)
        if self._stopwatch is not None:
            texts |= self._stopwatch.texts(epoch)
        return report_line(epoch, texts)

    def _write(self, epoch: int, report: str, has_dot: bool) -> None:
        dot = str(getattr(self._diagnosis(), "dot", ".")) if has_dot else ""
        text = self._layout.text(epoch, report, dot, is_open=self in _with_open_line)
        if not self._has_legend:
            self._has_legend = True
            self._write_legend()
        self._output.write(text)
        if has_dot:
            _with_open_line.add(self)
        else:
            _with_open_line.discard(self)

    def _diagnosis(self) -> object:
        return getattr(self.detector, "diagnosis", None)

    def _write_legend(self) -> None:
        text = legend(self._diagnosis())
        if text:
            self._output.write_once(self._layout.line(text))

    def _finish_line(self) -> None:
        if self in _with_open_line:
            self._output.write("\n")
            _with_open_line.discard(self)


@atexit.register
def _finish_open_lines() -> None:
    for dots in list(_with_open_line):
        dots._finish_line()


def _checked_detector(detector: Any) -> HasDiagnosis | None:
    if detector is None or (hasattr(detector, "diagnosis") and not isinstance(detector, type)):
        return detector
    rule = "an OverfittingDetector or None"
    advice = "Use the detector that is also in the list of callbacks."
    raise TypeError(error_text(_OWNER, "detector", rule, detector, advice))


def _checked_seconds(seconds: Any) -> float | None:
    if seconds is None:
        return None
    advice = "Use 60 for a report every minute."
    return finite_number(_OWNER, "report_seconds", seconds, minimum=0, advice=advice)
