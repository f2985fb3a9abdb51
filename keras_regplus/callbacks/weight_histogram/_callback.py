"""Histograms of all weights for TensorBoard, on any backend."""

from __future__ import annotations

import itertools
import os
import posixpath
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_regplus._checks import boolean, count, error_text, one_of
from keras_regplus._warnings import OneTimeWarnings
from keras_regplus._weight_choice import Choice, checked_choice, is_chosen
from keras_regplus.callbacks._base import Callback
from keras_regplus.callbacks._chief import is_chief
from keras_regplus.callbacks.weight_histogram._names import tags_of_weights
from keras_regplus.callbacks.weight_histogram._records import Recorder
from keras_regplus.callbacks.weight_histogram._scalars import scalars_of_epoch, scalars_of_schedules
from keras_regplus.clock.model_parts import layers_of_weights
from keras_regplus.clock.updates import updates_finished
from keras_regplus.histograms import EventWriter
from keras_regplus.histograms.event_file import is_remote, remote_problem
from keras_regplus.histograms.statistics import STATISTICS
from keras_regplus.schedules import Unit

__all__ = ["WeightHistogram"]

_OWNER = "WeightHistogram"


class WeightHistogram(Callback):
    """Writes histograms of the model's weights for TensorBoard.

    Use it to watch how each weight changes, on any backend, without TensorFlow,
    including weights of nested models and those that a subclassed model owns. The
    training thread copies up to 256 MiB of weights, and counts any beyond that
    itself; another thread counts the copies and writes. The counts are exact.
    Values that are NaN or infinite are left out of them, and counted in a scalar
    `<path>/not_finite` from their first appearance on.

    The step of a record is the number of epochs finished: the initial weights
    are at 0, those after the first epoch at 1 (`keras.callbacks.TensorBoard`
    calls them 0). A second `fit` of the same model with the same callback
    continues the count, unless `initial_epoch` is above 0, which is used as it is. Each
    `fit` also records the weights it starts from. On TensorFlow a model that is not built
    yet has none: give it a `keras.Input`, or call it once.

    The tag of a weight is `<path>/histogram`, as Keras writes it, and the files
    go to `<log_dir>/weights`, apart from those of Keras. Names
    that Keras numbers by itself (`sequential_1`) differ from run to run: to compare runs,
    name the model and its layers, or leave out the name of the model
    (`model_name=False`). A record takes about 800 bytes for each histogram of
    30 buckets, and TensorBoard draws about 50 of the records.

    If a folder cannot be written, you get one warning and training continues. Of
    several training processes only the chief writes. A `log_dir` belongs to one
    `WeightHistogram` at a time.

    Args:
        log_dir: Folder of the logs, made if it is missing: local, or a URL that the
            file layer of the tensorboard package reaches (`s3://` with boto3 or
            s3fs, `gs://` with gcsfs). Most stores cannot append to a file, so there
            each record writes all of it again. Defaults to `"logs"`.
        histogram_freq: Epochs from record to record, at least 1. Defaults to 1.
        every_steps: Optimizer updates from record to record, at least 1, in place of
            epochs. This needs a batch hook, for which Keras turns off its
            asynchronous dispatch: each step then waits for its logs. Defaults to
            None.
        unit: What the records are numbered by: `"epoch"`, epochs finished, or
            `"step"`, optimizer updates finished. Defaults to None: `"step"` with
            `every_steps`, else `"epoch"`.
        include: Which weights to record: a regular expression that is searched
            for in the path of the weight, a class of layers (`keras.layers.LSTM` means all
            weights of its cell, too), a function of the path,
            or a list of these, one of which must match. Defaults to None: all.
        exclude: Which of these to leave out, in the same form. Defaults to
            None: none.
        buckets: Number of buckets, at least 1. Defaults to 30.
        scalars: What else to write of each weight, as scalars `<path>/<name>`: a list
            of `"mean"`, `"std"`, `"norm"`, `"zeros"` and `"near_zeros"` (the share of
            values that are 0, or below a hundredth of the root mean square), and
            `"update_ratio"` (the norm of the change since the last record over the
            norm before, for which the last copy is kept, too), or True for all of
            them. It also writes the strengths, rates and penalties that
            `RegularizationScheduler` has put into the logs. A weight of a million
            values or more on an accelerator is counted there, and has no scalars
            except `not_finite`; one beyond the 256 MiB has no `update_ratio`. Defaults
            to False.
        metrics: Whether to write the metrics of each epoch as well, with Keras's tags
            (`epoch_loss`) under `<log_dir>/train` and `<log_dir>/validation`.
            Leave it off if `keras.callbacks.TensorBoard` writes to the same folder.
            Defaults to False.
        sample_size: How many values to use of a weight that has more, at least 1, always
            at the same places; the description of the tag says so. Defaults to None: all
            values.
        model_name: Whether paths begin with the name of the model, as Keras's do.
            Defaults to True.

    Raises:
        TypeError: If `log_dir` is not a path, `histogram_freq`, `every_steps`, `buckets` or
            `sample_size` is not a number, `include` or `exclude` is not in one of its forms,
            `scalars` is not a list, or `metrics` or `model_name` is not a boolean.
        ValueError: If `histogram_freq`, `every_steps`, `buckets` or `sample_size` is not a
            whole number of at least 1, `log_dir` is empty or out of reach, `include` or
            `exclude` is not a valid regular expression, `scalars` has an unknown name, or
            `unit` is unknown, or `"epoch"` beside `every_steps`.

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
        - [Keras, `keras.callbacks.TensorBoard`](https://keras.io/api/callbacks/tensorboard/),
          whose histograms have the same tags and form.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 1,
        *,
        every_steps: int | None = None,
        unit: Unit | None = None,
        include: Choice | Iterable[Choice] | None = None,
        exclude: Choice | Iterable[Choice] | None = None,
        buckets: int = 30,
        scalars: bool | Iterable[str] = False,
        metrics: bool = False,
        sample_size: int | None = None,
        model_name: bool = True,
    ):
        super().__init__()
        self.log_dir = _checked_folder(log_dir)
        advice = "Use 1 for a record after each epoch."
        self.histogram_freq = count(_OWNER, "histogram_freq", histogram_freq, advice=advice)
        advice = "Use None for a record after each epoch."
        self.every_steps = _optional_count("every_steps", every_steps, advice)
        self.unit = _checked_unit(unit, self.every_steps)
        self.include, self.exclude = include, exclude
        self._included = checked_choice(_OWNER, "include", include)
        self._excluded = checked_choice(_OWNER, "exclude", exclude)
        self.buckets = count(_OWNER, "buckets", buckets, advice="Use 30, as TensorBoard does.")
        self.scalars = _checked_scalars(scalars)
        self.metrics = boolean(_OWNER, "metrics", metrics, advice="Use True to write them.")
        advice = "Use None to count all values."
        self.sample_size = _optional_count("sample_size", sample_size, advice)
        advice = "Use False to leave it out of the tags."
        self.model_name = boolean(_OWNER, "model_name", model_name, advice=advice)
        if self.every_steps is not None:
            # An attribute, since Keras checks whether a callback has a batch hook.
            self.on_train_batch_end = self._on_batch_end
        self._warnings = OneTimeWarnings(_OWNER)
        self._last_model: weakref.ref[Any] | None = None
        self._epochs_finished = 0
        self._recorded_step = -1
        self._begin()

    def _begin(self) -> None:
        self._writers: dict[str, EventWriter] = {}
        self._recorder: Recorder | None = None
        self._weights: list[Any] = []
        self._selected: list[tuple[str, Any]] = []
        self._is_first_epoch = True
        self._writes = False
        self._problem: str | None = None
        self._warnings.forget()
        self._steps_before = 0
        self._updates = 0
        self._batches = 0
        self._last_batch = -1

    def set_model(self, model: keras.Model) -> None:
        if self._last_model is not None and self._last_model() is not model:
            self._epochs_finished = 0
            self._recorded_step = -1
        self._last_model = weakref.ref(model)
        super().set_model(model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        # A `fit` that raised has not closed its files.
        self._close()
        self._begin()
        self._writes = is_chief(self.model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._last_batch = -1
        if self._is_first_epoch:
            self._is_first_epoch = False
            self._steps_before = 0 if epoch else self._epochs_finished
            self._epochs_finished = self._steps_before + epoch
            self._try(self._begin_records)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epochs_finished = self._steps_before + epoch + 1
        logs = logs if isinstance(logs, dict) else {}
        if self.every_steps is None and self._epochs_finished % self.histogram_freq == 0:
            self._try(self._record, logs)
        if self.metrics:
            self._try(self._write_metrics, logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._close()

    def __getstate__(self) -> dict[str, Any]:
        # Threads, their files and the model in training stay with this object.
        own: dict[str, Any] = {"_writers": {}, "_recorder": None, "_weights": [], "_selected": []}
        return {**self.__dict__, **own, "_last_model": None}

    def _on_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._batches += batch - self._last_batch
        self._last_batch = batch
        # The number of updates is on the device; it is fetched only when enough batches have
        # run for a record to be due.
        if self._updates + self._batches >= self._due():
            self._try(self._record_if_due)

    def _record_if_due(self) -> None:
        due = self._due()
        self._updates, self._batches = self._iterations(), 0
        if self._updates >= due:
            self._record({})

    def _due(self) -> int:
        """The number of updates of the next record."""
        every = self.every_steps or 1
        return self._updates - self._updates % every + every

    def _begin_records(self) -> None:
        if self.every_steps is not None:
            self._updates = self._iterations()
        self._record({})

    def _record(self, logs: dict[str, Any]) -> None:
        step = self._step_number()
        if step == self._recorded_step:
            return
        self._recorded_step = step
        extra = scalars_of_schedules(logs) if self.scalars else {}
        writer = self._writer("weights")
        # One record at a time: if counting is slower than training, copies would pile up.
        if not writer.wait():
            raise TimeoutError("the one before it is still being written")
        weights = self._selected_weights()
        if self._recorder is None:
            self._recorder = Recorder(self.buckets, self.scalars, self.sample_size)
        values = itertools.chain(self._recorder.record(weights), extra.items())
        for problem in self._recorder.problems:
            self._note(problem)
        writer.add(step, values, self._recorder.descriptions)

    def _write_metrics(self, logs: dict[str, Any]) -> None:
        rate = getattr(self.model.optimizer, "learning_rate", None)
        for run, scalars in scalars_of_epoch(logs, rate).items():
            self._writer(run).add(self._step_number(), scalars.items())

    def _try(self, work: Callable[..., None], *arguments: Any) -> None:
        """Do the work if this process writes; an error becomes a warning, and `fit` continues."""
        if not self._writes:
            return
        try:
            work(*arguments)
        except Exception as error:
            self._note(f"a record is missing ({_text(error)})")
        self._report()

    def _selected_weights(self) -> list[tuple[str, Any]]:
        weights = self.model.weights
        # A model rarely gets new weights, and to name them takes as long as to copy them.
        if not self._selected or list(map(id, weights)) != list(map(id, self._weights)):
            self._weights, self._selected = weights, self._chosen(weights)
        return self._selected

    def _chosen(self, weights: list[Any]) -> list[tuple[str, Any]]:
        layers, rules = layers_of_weights(self.model), (self._included, self._excluded)
        selected = [w for w in weights if is_chosen(w.path, layers[id(w)], *rules)]
        # A model that is not built has some of its weights at most.
        if weights and not selected and self.model.built:
            self._note(
                "`include` and `exclude` must leave some weights of the model, got none. Compare "
                "them with the `path` of each of `model.weights`"
            )
        # Numbered among all weights, so that a filter does not change names.
        prefix = "" if self.model_name else f"{self.model.name}/"
        tags = tags_of_weights(self.model, prefix)
        return [(tags[id(weight)], weight) for weight in selected]

    def _step_number(self) -> int:
        return self._iterations() if self.unit == "step" else self._epochs_finished

    def _iterations(self) -> int:
        try:
            updates = updates_finished(self.model)
        except ValueError:
            # Several optimizers make their updates at different times: count their batches.
            updates = self.model.optimizer.iterations
        return int(keras.ops.convert_to_numpy(updates))

    def _writer(self, run: str) -> EventWriter:
        if run not in self._writers:
            self._writers[run] = EventWriter(self._folder(run))
        return self._writers[run]

    def _folder(self, run: str) -> str:
        join = posixpath.join if is_remote(self.log_dir) else os.path.join
        return join(self.log_dir, run)

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._report()
        self._writers.clear()
        # Its buffers are as large as the weights.
        self._recorder = None
        self._weights, self._selected = [], []

    def _note(self, problem: str) -> None:
        self._problem = self._problem or problem

    def _report(self) -> None:
        """Warn of the first problem of this training, once and outside of any `except`."""
        for run, writer in self._writers.items():
            if writer.error is not None:
                folder = self._folder(run)
                self._note(
                    f"could not write to {folder!r} ({_text(writer.error)}). Make room on the "
                    "disk, or choose a `log_dir` that can be written"
                )
        if self._problem:
            rest = "Histograms may be missing; training continues."
            self._warnings.warn(f"{self._problem}. {rest}", cause="records")


def _checked_folder(log_dir: Any) -> str:
    rule = "the path of a folder"
    problem = ("log_dir", rule, log_dir, 'Use a path such as "logs".')
    path = os.fspath(log_dir) if isinstance(log_dir, os.PathLike) else log_dir
    if not isinstance(path, str):
        raise TypeError(error_text(_OWNER, *problem))
    if not path:
        raise ValueError(error_text(_OWNER, *problem))
    if is_remote(path) and (reason := remote_problem(path)):
        rule = f"a folder within reach of tensorboard's file layer ({reason})"
        advice = "Use a local path, or install the package for this store."
        raise ValueError(error_text(_OWNER, "log_dir", rule, path, advice))
    return path


def _optional_count(name: str, value: Any, advice: str) -> int | None:
    return None if value is None else count(_OWNER, name, value, advice=advice)


def _checked_unit(unit: Any, every_steps: int | None) -> Unit:
    if unit is None:
        return "epoch" if every_steps is None else "step"
    advice = "Use 'epoch' for records once an epoch."
    unit = one_of(_OWNER, "unit", unit, ("epoch", "step"), advice=advice)
    if unit == "epoch" and every_steps is not None:
        rule = "'step' where there may be several records an epoch (`every_steps`)"
        raise ValueError(error_text(_OWNER, "unit", rule, unit, "Leave it out."))
    return unit


def _checked_scalars(scalars: Any) -> tuple[str, ...]:
    if isinstance(scalars, bool):
        return STATISTICS if scalars else ()
    rule = f"True, False or a list of {', '.join(map(repr, STATISTICS))}"
    problem = error_text(_OWNER, "scalars", rule, scalars, "Use True for all of them.")
    if isinstance(scalars, str) or not isinstance(scalars, Iterable):
        raise TypeError(problem)
    wanted = tuple(scalars)
    if not all(isinstance(name, str) and name in STATISTICS for name in wanted):
        raise ValueError(problem)
    return wanted


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
