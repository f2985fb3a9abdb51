"""Says during training whether a model overfits, and acts on it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import keras

from keras_regplus._checks import boolean, checked_mode, count
from keras_regplus._hints import explains
from keras_regplus._output import write
from keras_regplus._warnings import OneTimeWarnings, warn
from keras_regplus.callbacks._base import Callback
from keras_regplus.callbacks._chief import is_chief
from keras_regplus.callbacks.overfitting_detector._action_runner import ActionRunner
from keras_regplus.callbacks.overfitting_detector._arguments import (
    SingleAction,
    checked_actions,
    checked_choice,
    checked_monitors,
    checked_path,
    checked_probe,
)
from keras_regplus.callbacks.overfitting_detector._best_weights import BestWeights
from keras_regplus.callbacks.overfitting_detector._continuation import Continuation, Earlier
from keras_regplus.callbacks.overfitting_detector._metric_watch import MetricWatch, combined
from keras_regplus.callbacks.overfitting_detector._score import ScoreWriter
from keras_regplus.callbacks.overfitting_detector._state_file import StateFile
from keras_regplus.callbacks.overfitting_detector._train_probe import with_probe
from keras_regplus.diagnosis import Diagnosis
from keras_regplus.diagnosis.criteria import Criterion, CriterionName, checked_criterion

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["OverfittingDetector"]

_OWNER = "OverfittingDetector"


class OverfittingDetector(Callback):
    """Compares a training metric with its `val_` twin and says whether the model overfits.

    Use it wherever `EarlyStopping` would do: it looks at both curves and at their
    noise, so it does not mistake a noisy epoch for overfitting, and a plateau seldom.
    The criterion is that of `keras_regplus.diagnosis.TrendTracker`, whose docstring
    says where it is weak.

    After each epoch `detector.diagnosis` holds a `Diagnosis`, and `logs` gets
    `overfitting_score`, from 0 to 1: half the rise of validation above its best
    over the rise that is called overfitting, so above 0.5 it overfits. Callbacks
    that come later in the list see the key (put a `CSVLogger` behind the detector), and
    so does the history that `fit` returns. Every epoch of a training that is watched has
    it; it is NaN once nothing can be watched any more. Epochs count from 0, as `fit`
    hands them to callbacks. In epochs without validation (`validation_freq`) the last
    verdict stands.

    A second `fit` starts anew, unless its `initial_epoch` is where the last one ended:
    then the detector continues. In a distributed training each process decides by its
    own logs: on JAX Keras gives all of them the same, on torch it does not reduce them.

    Args:
        monitor: Name of the training metric; a leading `val_` is dropped. None
            takes `data_loss`, the loss without penalties, where
            `RegularizationScheduler` provides it, and `loss` otherwise. If `data_loss`
            cannot be measured any more while `loss` is finite, you are warned, and
            `loss` is watched from there on, with nothing carried over. A list of names
            watches each. Defaults to None.
        mode: `"min"`, `"max"` or `"auto"`: as the metric says where Keras knows
            it, else by its name. Defaults to `"auto"`.
        action: What to do about overfitting. `"warn"` prints it. `"stop"` also ends
            the training, once `should_stop` is true. An object of
            `keras_regplus.callbacks.actions` changes the running training. A callable
            `(detector, diagnosis)` is called each time the verdict becomes
            `"overfitting"`. If one raises, you are warned and training continues. A
            list runs each of them. Defaults to `"warn"`.
        restore_best_weights: Whether the model gets the weights of its best epoch
            back when the training ends, stopped or not. They are copied only when a
            better epoch comes, and never on the accelerator. Of several metrics the
            first decides. Defaults to False.
        start_from_epoch: Epochs before this one are ignored, for trainings that
            begin with a warm-up; at least 0. Defaults to 0.
        criterion: `"trend"`, one of the classic ones `"gl"`, `"pq"` and `"up"` (see
            `keras_regplus.diagnosis`), or an object with `update(train, val)`, called with
            two floats after each epoch (None for a value that is missing), that returns
            an object with the attributes of a `Diagnosis`, `verdict` at least. Each
            training uses a fresh copy of it. Defaults to None, `"trend"`.
        combine: With a list in `monitor`: whether `"any"` of the metrics, or `"all"`, must
            say that the model overfits. Defaults to `"any"`.
        train_probe: A sample of the training data, `(x, y)`, `(x, y, sample_weight)`, a
            dataset or a `PyDataset`, that is evaluated at each epoch's end in place of
            the training metric. The training metric is a mean over an epoch in which the
            weights changed, with dropout on; the sample is measured as validation is. It
            costs one `evaluate` per epoch, which includes penalties, so without
            `monitor` the metric is `loss`. Defaults to None, no sample.
        best_by: The best epoch is that of the best single validation value, `"raw"`,
            or, so that a lucky value does not win, of the best mean over the last tenth
            of the epochs and at least 3, `"smooth"`. Defaults to `"raw"`.
        best_weights: Where the best weights are kept, in host `"memory"` or on `"disk"`,
            in a temporary file. Defaults to `"memory"`.
        state_file: Path of a `.json` file, written after each epoch, from which a training
            that was killed continues as if nothing had happened: run the same `fit` with
            `BackupAndRestore` again, or load your own model and pass `initial_epoch`.
            The best weights are kept in a `.weights.h5` file beside it, whatever
            `best_weights` says. Both are removed when a training ends. A file that does
            not fit is set aside with a warning. Writing takes some milliseconds per
            epoch, because it waits for the disk. Defaults to None, no file.
        verbose: 0 is silent. 1 prints when the model begins to overfit, when training is
            stopped or resumed, what an action did and which weights are restored. 2 also
            prints each change of the verdict. Defaults to 1.

    Attributes:
        diagnosis: The last `Diagnosis`; of several metrics the one that decided.
        diagnoses: The last `Diagnosis` of each metric, by name.
        history: What was seen of the first metric: lists `"epoch"`, `"train"`, `"val"`.
        stopped_epoch: The epoch after which training was stopped, or None.

    Raises:
        TypeError: If `monitor`, `action`, `restore_best_weights`, `start_from_epoch`,
            `criterion`, `train_probe` or `state_file` is of the wrong kind.
        ValueError: If `mode`, `combine`, `best_by`, `best_weights`, `verbose`, `action` or
            `criterion` is not one of its values, `start_from_epoch` is not a whole number
            of at least 0, `monitor` is an empty name, or `state_file` is not a local
            `.json` path. When training begins, if `mode` is `"auto"` and the direction
            of a compiled metric is not known.

    Example:
        >>> import keras, numpy as np
        >>> from keras_regplus.callbacks import OverfittingDetector
        >>> keras.utils.set_random_seed(0)
        >>> x, y = np.random.normal(size=(64, 20)), np.random.normal(size=(64, 1))
        >>> model = keras.Sequential([keras.layers.Dense(64, "relu"), keras.layers.Dense(1)])
        >>> model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse")
        >>> detector = OverfittingDetector(action="stop", restore_best_weights=True, verbose=0)
        >>> history = model.fit(x, y, validation_split=0.5, epochs=100, verbose=0,
        ...                     callbacks=[detector])
        >>> detector.diagnosis.verdict, len(history.epoch) < 100
        ('overfitting', True)
    """

    @explains(
        _OWNER,
        patience="It waits as long as the noise of the curves asks for: take it out, and use "
        "`start_from_epoch` to ignore the first epochs.",
        min_delta="It compares differences with the noise of the curves: take it out.",
        baseline="It compares a model with itself: take it out.",
    )
    def __init__(
        self,
        monitor: str | Sequence[str] | None = None,
        mode: Literal["auto", "min", "max"] = "auto",
        action: SingleAction | Sequence[SingleAction] = "warn",
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
        *,
        criterion: CriterionName | Criterion | None = None,
        combine: Literal["any", "all"] = "any",
        train_probe: Any = None,
        best_by: Literal["raw", "smooth"] = "raw",
        best_weights: Literal["memory", "disk"] = "memory",
        state_file: str | os.PathLike[str] | None = None,
        verbose: Literal[0, 1, 2] = 1,
    ) -> None:
        super().__init__()
        self.monitor = checked_monitors(monitor)
        self.mode = checked_mode(_OWNER, mode, auto=True)
        self.action = action
        self._actions = ActionRunner(checked_actions(action))
        advice = "Use True to restore them."
        self.restore_best_weights = boolean(
            _OWNER, "restore_best_weights", restore_best_weights, advice=advice
        )
        advice = "Use 0 for no warm-up."
        self.start_from_epoch = count(
            _OWNER, "start_from_epoch", start_from_epoch, minimum=0, advice=advice
        )
        self.criterion = checked_criterion(_OWNER, criterion)
        self.combine = checked_choice("combine", combine)
        self.train_probe = checked_probe(train_probe)
        self.best_by = checked_choice("best_by", best_by)
        self.best_weights = checked_choice("best_weights", best_weights)
        self.state_file = checked_path(state_file)
        self.verbose = checked_choice("verbose", verbose)
        self._warnings = OneTimeWarnings(_OWNER)
        self._begin()

    def _begin(self, earlier: Earlier | None = None) -> None:
        """Forget everything about the last training but what this one may continue."""
        names = self.monitor if isinstance(self.monitor, list) else [self.monitor]
        self._watches = [MetricWatch(name, self.mode, self.criterion) for name in names]
        if self.model is not None:
            for watch in self._watches:
                watch.begin(self.model)
        self.diagnosis = self._watches[0].diagnosis
        self.stopped_epoch: int | None = None
        self._warnings.forget()
        self._score = ScoreWriter(self._warnings)
        file = StateFile(self.state_file) if self.state_file is not None else None
        path = file.weights_path if file and self.restore_best_weights else None
        self._best = BestWeights(self.best_weights, path, copies=self.restore_best_weights)
        self._actions.begin()
        self._continuation = Continuation(self._watches, self._actions, self._best, file, earlier)
        self._is_first_epoch = True
        self._has_seen_epoch = False

    @property
    def history(self) -> dict[str, list[Any]]:
        return self._watches[0].history

    @property
    def diagnoses(self) -> dict[str, Diagnosis]:
        return {watch.label: watch.diagnosis for watch in self._watches}

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self._actions.set_model(model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._begin(self._continuation.leave())

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._is_first_epoch:
            self._is_first_epoch = False
            self._resume(epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._has_seen_epoch = True
        if isinstance(logs, dict) and logs:
            self._score.write(logs, self._score_of(epoch, logs))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        epoch = self._best.epoch
        if self.restore_best_weights and self._best.restore(self.model):
            self._print(1, f"the weights of epoch {epoch} are restored.")
        self._best.forget(self.model)
        self._continuation.finish(self.model)

    def report(self) -> str:
        """Describe each metric that is watched, in one block of text each.

        Use it after training: `print(detector.report())`. Where `sys.stdout` cannot show
        blocks, the text is ASCII; to write it into a file, open that with `encoding="utf-8"`.

        Returns:
            Which pair of metrics was judged and the verdict on it, its reason, both curves in
            small, each on a scale of its own, and what to try next; of several metrics a
            blank line apart.

        Raises:
            ValueError: If no epoch has ended yet.
        """
        if not self._has_seen_epoch:
            raise ValueError(_too_early("report", "Call `fit` first"))
        steps = (self.params or {}).get("steps")
        return "\n\n".join(watch.report(steps) for watch in self._watches)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw both curves with best epoch, onset and stop; of several metrics the first.

        Args:
            ax: The matplotlib Axes to draw on. Defaults to None, pyplot's current one.

        Returns:
            The Axes.

        Raises:
            ImportError: If matplotlib is not installed and no `ax` is given.
            ValueError: If no epoch with validation has been seen yet.
        """
        if not self.history["epoch"]:
            raise ValueError(_too_early("plot", "Call `fit` with validation data first"))
        return self._watches[0].plot(self.stopped_epoch, ax)

    def _resume(self, epoch: int) -> None:
        try:
            has_resumed = self._continuation.resume(self.model, epoch)
        except Exception as error:
            self._begin()
            self._is_first_epoch = False
            warn(
                f"{_OWNER}: the state of the earlier training cannot be used ({error!r}). "
                "The detector starts anew. To continue, train the same model with a detector that "
                "has the same arguments as then."
            )
            return
        if has_resumed:
            self.diagnosis = combined(self._watches, self.combine)
            self._print(1, f"resumes at epoch {epoch} with the state of the earlier training.")

    def _score_of(self, epoch: int, logs: dict[str, Any]) -> float | None:
        """Judge an epoch and act on it; None where nothing is watched."""
        if all(watch.is_idle for watch in self._watches):
            return None
        measured = with_probe(logs, self.model, self.train_probe, self._warnings)
        ready = [watch for watch in self._watches if watch.prepare(measured)]
        if not ready:
            self.diagnosis = combined(self._watches, self.combine)
        if ready and epoch >= self.start_from_epoch:
            judged = [watch for watch in ready if watch.observe(epoch, measured)]
            if judged:
                self._conclude(epoch, judged[0])
        return self.diagnosis.score if any(not watch.is_idle for watch in ready) else None

    def _conclude(self, epoch: int, first: MetricWatch) -> None:
        """Combine the verdicts on an epoch, and act; `first` decides which epoch is best."""
        before = self.diagnosis.verdict
        self.diagnosis = combined(self._watches, self.combine)
        cost = first.cost(smooth=self.best_by == "smooth")
        self._best.update_if_better(self.model, epoch, cost, first.label)
        verdict = self.diagnosis.verdict
        is_onset = verdict == "overfitting" != before
        if verdict != before:
            text = f"after epoch {epoch}: {verdict}. {self.diagnosis.reason}"
            self._print(1 if is_onset else 2, text)
        self._actions.run(self, epoch, is_onset, announce=lambda text: self._print(1, text))
        self._continuation.save(self.model, epoch)

    def _print(self, level: int, text: str) -> None:
        if self.verbose >= level and is_chief(self.model):
            # The newline comes first: a progress bar or a row of dots may be open.
            with contextlib.suppress(OSError, ValueError):
                write(f"\n{_OWNER}: {text}")


def _too_early(method: str, advice: str) -> str:
    return (
        f"{_OWNER}: `{method}()` must be called after a training that the detector has watched, "
        f"got no epoch to judge. {advice}, with the detector in its `callbacks`."
    )
