"""Histograms of all weights for TensorBoard, on any backend."""

from __future__ import annotations

import itertools
import os
import re
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np

from keras_regplus._checks import complain, count
from keras_regplus._warnings import warn
from keras_regplus.callbacks._chief import is_chief
from keras_regplus.histograms import EventWriter, Histogram, histogram

__all__ = ["WeightHistogram"]

Filter = tuple[re.Pattern[str], ...] | Callable[[str], bool]

# What is copied for the writing thread at most; weights beyond it are counted at once.
_SNAPSHOT_BYTES = 256 * 2**20


class WeightHistogram(keras.callbacks.Callback):
    """Writes histograms of the model's weights for TensorBoard.

    Use it to see each weight move, on any backend, without TensorFlow: weights
    of nested models and those that a subclassed model owns included. The
    training thread copies the weights; counting and writing is done by another
    thread. The counts are exact, and values that are NaN or infinite are left
    out of them.

    The step of a record is the number of epochs finished: the initial weights
    are at 0, those after the first epoch at 1 (`keras.callbacks.TensorBoard`
    calls them 0). A further `fit` of the same model with the same callback goes
    on from there, and `initial_epoch` above 0 is taken as it is. Each `fit` also
    records the weights it starts from. On TensorFlow a model that is not built
    yet has none: give it a `keras.Input`, or call it once.

    The tag of a weight is `<path>/histogram`, as Keras writes it, and the files
    go to `<log_dir>/weights`, where they are not in the way of Keras's. Names
    that Keras numbers by itself (`sequential_1`) differ from run to run: name
    the model and its layers to compare runs.

    A folder that cannot be written costs one warning, never the training. Of
    several training processes only the chief writes. A `log_dir` belongs to one
    `WeightHistogram` at a time.

    Args:
        log_dir: Local folder of the logs, made if it is missing. Defaults to
            `"logs"`.
        histogram_freq: Epochs from record to record, at least 1. Defaults to 1.
        include: Which weights to record: a regular expression that is searched
            for in the path of the weight, a list of them, any of which will do,
            or a function of the path. Defaults to None: all.
        exclude: Which of these to leave out, in the same form. Defaults to
            None: none.
        buckets: Number of buckets, at least 1. Defaults to 30.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: A count is below 1, `log_dir` is empty or a URL, or a regular
            expression is invalid.

    Example:
        >>> import os, tempfile
        >>> import keras, numpy as np
        >>> import keras_regplus as kr
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile("sgd", loss="mse")
        >>> x, y = np.ones((4, 2)), np.ones((4, 1))
        >>> with tempfile.TemporaryDirectory() as logs:
        ...     histograms = kr.callbacks.WeightHistogram(logs, include="kernel")
        ...     history = model.fit(x, y, epochs=2, verbose=0, callbacks=[histograms])
        ...     os.listdir(logs)
        ['weights']

        Then look at them with `tensorboard --logdir logs`.

    References:
        - `keras.callbacks.TensorBoard`, whose histograms have the same tags and form.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 1,
        *,
        include: str | Iterable[str] | Callable[[str], bool] | None = None,
        exclude: str | Iterable[str] | Callable[[str], bool] | None = None,
        buckets: int = 30,
    ):
        super().__init__()
        self.log_dir = _checked_folder(log_dir)
        self.histogram_freq = count(
            "WeightHistogram",
            "histogram_freq",
            histogram_freq,
            advice="Use 1 for a record after each epoch.",
        )
        self.include = include
        self.exclude = exclude
        self.buckets = count(
            "WeightHistogram", "buckets", buckets, advice="Use 30, as TensorBoard does."
        )
        self._included = _checked_filter("include", include)
        self._excluded = _checked_filter("exclude", exclude)
        self._writer: EventWriter | None = None
        self._last_model: weakref.ref[Any] | None = None
        self._writes = False
        self._problem: str | None = None
        self._has_warned = False
        self._is_first_epoch = True
        self._epochs_finished = 0
        self._steps_before = 0
        self._recorded_step = -1

    def set_model(self, model: Any) -> None:
        if self._last_model is not None and self._last_model() is not model:
            self._epochs_finished = 0
            self._recorded_step = -1
        self._last_model = weakref.ref(model)
        super().set_model(model)

    def on_train_begin(self, logs: Any = None) -> None:
        # A `fit` that raised has not closed its file.
        self._close()
        self._is_first_epoch = True
        self._problem = None
        self._has_warned = False
        self._writes = is_chief(self.model)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._is_first_epoch:
            self._is_first_epoch = False
            self._steps_before = 0 if epoch else self._epochs_finished
            self._record(self._steps_before + epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._epochs_finished = self._steps_before + epoch + 1
        if self._epochs_finished % self.histogram_freq == 0:
            self._record(self._epochs_finished)

    def on_train_end(self, logs: Any = None) -> None:
        self._close()

    def __getstate__(self) -> dict[str, Any]:
        # A thread, its file and the model in training belong to this very object.
        return {**self.__dict__, "_writer": None, "_last_model": None}

    def _record(self, step: int) -> None:
        if not self._writes or step == self._recorded_step:
            return
        self._recorded_step = step
        try:
            self._hand_over(step)
        except Exception as error:
            # Whatever went wrong, it is no reason to end a training.
            self._note(f"a record is missing ({_text(error)})")
        self._report()

    def _hand_over(self, step: int) -> None:
        if self._writer is None:
            self._writer = EventWriter(self._folder())
        # One record at a time: where counting is slower than training, copies would pile up.
        if not self._writer.wait():
            raise TimeoutError("the one before it is still being written")
        self._writer.add(step, _counted(list(self._snapshot()), self.buckets))

    def _snapshot(self) -> Iterator[tuple[str, np.ndarray | Histogram]]:
        """Each tag with a copy of its weight, or with its histogram where copies are too large."""
        room = _SNAPSHOT_BYTES
        for tag, weight in self._selected_weights():
            values = self._copy(weight)
            if values is not None and values.nbytes <= room:
                room -= values.nbytes
                yield tag, values
            elif values is not None:
                yield tag, histogram(values, self.buckets)

    def _selected_weights(self) -> list[tuple[str, Any]]:
        tagged = _tagged(self.model.weights)
        selected = [(tag, weight) for tag, weight in tagged if self._is_selected(weight.path)]
        # A model that is not built has only some of its weights, if any.
        if tagged and not selected and self.model.built:
            self._note("`include` and `exclude` leave no weight of the model")
        return selected

    def _is_selected(self, path: str) -> bool:
        included = self._included is None or _matches(self._included, path)
        return included and not (self._excluded is not None and _matches(self._excluded, path))

    def _copy(self, weight: Any) -> np.ndarray | None:
        try:
            values = keras.ops.convert_to_numpy(weight.value)
            if not np.can_cast(values.dtype, np.float64, "same_kind"):
                raise TypeError(f"{values.dtype} values are no real numbers")
        except Exception as error:
            self._note(f"`{weight.path}` cannot be read ({_text(error)})")
            return None
        # A view of the weight would go on changing while it is counted.
        return np.require(values, requirements=["OWNDATA"])

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._report()
            self._writer = None

    def _folder(self) -> str:
        return os.path.join(self.log_dir, "weights")

    def _note(self, problem: str) -> None:
        self._problem = self._problem or problem

    def _report(self) -> None:
        """Warn of the first problem of this training, once and outside of any `except`."""
        if self._writer is not None and self._writer.error is not None:
            self._note(f"could not write to {self._folder()!r} ({_text(self._writer.error)})")
        if self._problem and not self._has_warned:
            self._has_warned = True
            rest = "Histograms may be missing; the training goes on."
            warn(f"WeightHistogram: {self._problem}. {rest}")


def _counted(
    snapshot: list[tuple[str, np.ndarray | Histogram]], buckets: int
) -> Iterator[tuple[str, Histogram]]:
    """The snapshot with all weights counted, lazily: the thread that iterates does the work."""
    for tag, values in snapshot:
        yield tag, values if isinstance(values, Histogram) else histogram(values, buckets)


def _tagged(weights: Iterable[Any]) -> list[tuple[str, Any]]:
    """Each weight with a tag that no other has; equal paths are numbered in their order."""
    tagged: dict[str, Any] = {}
    for weight in weights:
        name = weight.path.replace(":", "_")
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        candidates = (f"{each}/histogram" for each in itertools.chain([name], numbered))
        tagged[next(tag for tag in candidates if tag not in tagged)] = weight
    return list(tagged.items())


def _matches(rule: Filter, path: str) -> bool:
    if callable(rule):
        return bool(rule(path))
    return any(pattern.search(path) for pattern in rule)


def _checked_folder(log_dir: Any) -> str:
    problem = ("log_dir", "the path of a local folder", log_dir, 'Use a path such as "logs".')
    path = os.fspath(log_dir) if isinstance(log_dir, os.PathLike) else log_dir
    if not isinstance(path, str):
        raise TypeError(complain("WeightHistogram", *problem))
    if not path or "://" in path:
        raise ValueError(complain("WeightHistogram", *problem))
    return path


def _checked_filter(name: str, value: Any) -> Filter | None:
    if value is None or callable(value):
        return value
    rule = "a regular expression, a list of them, a function of the path, or None"
    problem = complain("WeightHistogram", name, rule, value, 'Use a string such as "kernel$".')
    try:
        patterns = [value] if isinstance(value, str | re.Pattern) else list(value)
        compiled = tuple(re.compile(pattern) for pattern in patterns)
    except TypeError as error:
        raise TypeError(problem) from error
    except re.error as error:
        raise ValueError(problem) from error
    if any(not isinstance(pattern.pattern, str) for pattern in compiled):
        raise TypeError(problem)
    return compiled


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
