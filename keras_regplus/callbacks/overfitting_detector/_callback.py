"""Says while it trains whether a model overfits, and acts on it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_regplus._checks import boolean, count, one_of
from keras_regplus._warnings import warn
from keras_regplus.callbacks._chief import is_chief
from keras_regplus.callbacks.actions import Action
from keras_regplus.callbacks.overfitting_detector._arguments import (
    checked_actions,
    checked_monitors,
    checked_path,
    checked_probe,
    measured,
)
from keras_regplus.callbacks.overfitting_detector._best_weights import BestWeights
from keras_regplus.callbacks.overfitting_detector._metric_watch import Watch, combined
from keras_regplus.callbacks.overfitting_detector._state_file import StateFile
from keras_regplus.diagnosis import Diagnosis
from keras_regplus.diagnosis.criteria import checked_criterion
from keras_regplus.diagnosis.report import report

__all__ = ["OverfittingDetector"]

_OWNER = "OverfittingDetector"
_SCORE = "overfitting_score"


class OverfittingDetector(keras.callbacks.Callback):
    """Compares a training metric with its `val_` twin and says whether the model overfits.

    Use it wherever `EarlyStopping` would do: it looks at both curves and at their
    noise, so a noisy epoch is no overfitting, and a plateau seldom is. The
    criterion is that of `keras_regplus.diagnosis.TrendTracker`, whose docstring
    says what it does badly.

    After each epoch `detector.diagnosis` holds a `Diagnosis`, and `logs` gets
    `overfitting_score`, from 0 to 1: half the rise of validation above its best
    over the rise that is called overfitting, so above 0.5 it overfits. Callbacks
    that come later in the list see the key, and so does the history that `fit`
    returns. Epochs count from 0, as `fit` hands them to callbacks. In epochs
    without validation (`validation_freq`) the last verdict stands.

    In a second `fit` it begins anew; with `initial_epoch` where the last one has ended
    it goes on. Of several processes each decides by its own logs: on JAX Keras gives all
    of them the same, on torch it does not reduce them.

    Args:
        monitor: Name of the training metric; a leading `val_` is dropped. None
            takes `data_loss`, the loss without penalties, where
            `RegularizationScheduler` provides it, and `loss` otherwise. A list of
            names watches each. Defaults to None.
        mode: `"min"`, `"max"` or `"auto"`: as the metric says where Keras knows
            it, else by its name. Defaults to `"auto"`.
        action: What to do about overfitting. `"warn"` says it. `"stop"` also ends
            the training, once `should_stop` is true. An object of
            `keras_regplus.callbacks.actions` changes the running training. A callable
            `(detector, diagnosis)` is called each time that the verdict becomes
            `"overfitting"`. If one raises, a warning says so and training goes on. A
            list does several. Defaults to `"warn"`.
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
            the training metric. That one is a mean over an epoch in which the weights
            changed, with dropout on; this one can be compared with validation. It costs
            an `evaluate` on the sample an epoch, in which penalties count, so without
            `monitor` the metric is `loss`. Defaults to None, no sample.
        best_by: The best epoch is that of the best single validation value, `"raw"`,
            or, so that a lucky value does not win, of the best mean over the last tenth
            of the epochs and at least 3, `"smooth"`. Defaults to `"raw"`.
        best_weights: Where the best weights are kept, in host `"memory"` or on `"disk"`,
            in a temporary file. Defaults to `"memory"`.
        state_file: Path of a JSON file, written after each epoch, with which a training
            that was killed goes on as if nothing had happened: beside `BackupAndRestore`
            by the same `fit` once more, or with a model of your own and `initial_epoch`.
            The best weights are kept in a `.weights.h5` file beside it, whatever
            `best_weights` says. Both are removed when a training ends. A file that does
            not fit is set aside with a warning. Writing takes some milliseconds an epoch,
            until it is safe on the disk. Defaults to None, no file.
        verbose: 0 is silent, 1 says when the model begins to overfit, when
            training is stopped and what is restored, 2 says each change of the
            verdict. Defaults to 1.

    Attributes:
        diagnosis: The last `Diagnosis`; of several metrics the one that decided.
        diagnoses: The last `Diagnosis` of each metric, by name.
        history: What was seen of the first metric: lists `"epoch"`, `"train"`, `"val"`.
        stopped_epoch: The epoch that was stopped after, or None.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is out of range, or, when training begins, if
            the direction of a compiled metric cannot be known and `mode` is `"auto"`.

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

    def __init__(
        self,
        monitor: str | Sequence[str] | None = None,
        mode: str = "auto",
        action: Any = "warn",
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
        *,
        criterion: Any = None,
        combine: str = "any",
        train_probe: Any = None,
        best_by: str = "raw",
        best_weights: str = "memory",
        state_file: Any = None,
        verbose: int = 1,
    ) -> None:
        super().__init__()
        self.monitor = checked_monitors(monitor)
        self.mode = _choice("mode", mode, ("auto", "min", "max"))
        self.action = action
        self._actions = checked_actions(action)
        advice = "Use True to restore them."
        self.restore_best_weights = boolean(
            _OWNER, "restore_best_weights", restore_best_weights, advice=advice
        )
        advice = "Use 0 for no warm-up."
        self.start_from_epoch = count(
            _OWNER, "start_from_epoch", start_from_epoch, minimum=0, advice=advice
        )
        self.criterion = checked_criterion(_OWNER, criterion)
        self.combine = _choice("combine", combine, ("any", "all"))
        self.train_probe = checked_probe(train_probe)
        self.best_by = _choice("best_by", best_by, ("raw", "smooth"))
        self.best_weights = _choice("best_weights", best_weights, ("memory", "disk"))
        self.state_file = checked_path(state_file)
        self.verbose = _choice("verbose", verbose, (0, 1, 2))
        self._warned: set[str] = set()
        self._earlier: tuple[dict[str, Any], BestWeights] | None = None
        self._begin()

    def _begin(self) -> None:
        """Forget everything about an earlier training."""
        names = self.monitor if isinstance(self.monitor, list) else [self.monitor]
        self._watches = [Watch(name, self.mode, self.criterion) for name in names]
        if self.model is not None:
            for watch in self._watches:
                watch.begin(self.model)
        self.diagnosis = self._watches[0].diagnosis
        self.stopped_epoch: int | None = None
        self._warned.clear()
        self._written: float | None = None
        self._file = StateFile(self.state_file) if self.state_file is not None else None
        path = self._file.weights_path if self._file and self.restore_best_weights else None
        self._best = BestWeights(self.best_weights, path)
        self._is_first_epoch = True
        self._snapshots: list[dict[str, Any]] = []
        for action in self._actions:
            if isinstance(action, Action):
                action.begin()

    @property
    def history(self) -> dict[str, list[Any]]:
        return self._watches[0].history

    @property
    def diagnoses(self) -> dict[str, Diagnosis]:
        return {self._name_of(watch): watch.diagnosis for watch in self._watches}

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        for action in self._actions:
            if isinstance(action, Action):
                action.set_model(model)

    def on_train_begin(self, logs: Any = None) -> None:
        self._earlier = (self._state(), self._best) if self.history["epoch"] else None
        self._begin()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._is_first_epoch:
            self._is_first_epoch = False
            if epoch > 0:
                self._go_on(epoch)
            self._earlier = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not isinstance(logs, dict) or not logs or all(watch.idle for watch in self._watches):
            return
        seen = self._measured(logs)
        readable = [watch for watch in self._watches if watch.reads(seen)]
        if not readable:
            return
        if epoch >= self.start_from_epoch:
            judged = [watch for watch in readable if watch.take(epoch, seen)]
            if judged:
                self._judged(epoch, judged[0])
        self._write_score(logs)

    def on_train_end(self, logs: Any = None) -> None:
        epoch = self._best.epoch
        if self.restore_best_weights and self._best.restore(self.model):
            self._say(1, f"the weights of epoch {epoch} are restored.")
        self._best.forget(self.model)
        if self._file is not None and is_chief(self.model):
            self._file.remove()

    def report(self) -> str:
        """The verdict, its reason, both curves in small, and what to try next, as text.

        One block for each metric that is watched.
        """
        blocks = []
        for watch in self._watches:
            train, val = watch.history["train"], watch.history["val"]
            steps = (self.params or {}).get("steps")
            blocks.append(report(self._name_of(watch), watch.diagnosis, train, val, steps))
        return "\n\n".join(blocks)

    def plot(self, ax: Any = None) -> Any:
        """Draw both curves with best epoch, onset and stop; of several metrics the first.

        Args:
            ax: The matplotlib Axes to draw on. Defaults to None, pyplot's current one.

        Returns:
            The Axes.

        Raises:
            ImportError: If matplotlib is not installed and no `ax` is given.
            ValueError: If nothing has been seen yet.
        """
        from keras_regplus.plots import plot_diagnosis

        first = self._watches[0]
        seen = first.history
        return plot_diagnosis(
            seen["train"],
            seen["val"],
            first.diagnosis,
            epochs=seen["epoch"],
            stopped_epoch=self.stopped_epoch,
            metric=self._name_of(first),
            ax=ax,
        )

    def _judged(self, epoch: int, first: Watch) -> None:
        before = self.diagnosis.verdict
        self.diagnosis = combined(self._watches, self.combine)
        cost = first.cost(smooth=self.best_by == "smooth")
        self._best.update_if_better(self.model, epoch, cost, copy=self.restore_best_weights)
        self._act(epoch, before)
        self._note_state(epoch)

    def _measured(self, logs: dict[str, Any]) -> dict[str, Any]:
        """The logs, with what the sample of the training data gives in place of the training's."""
        if self.train_probe is None:
            return logs
        try:
            probed = measured(self.model, self.train_probe)
        except Exception as error:
            self._warn_once(
                "probe",
                f"{_OWNER}: `train_probe` could not be evaluated ({error!r}). "
                "The metrics of the training are taken instead.",
            )
            return logs
        validation = {key: value for key, value in logs.items() if str(key).startswith("val_")}
        return {**validation, **probed}

    def _act(self, epoch: int, before: str) -> None:
        verdict = self.diagnosis.verdict
        entered = verdict == "overfitting" != before
        if verdict != before:
            said = f"after epoch {epoch}: {verdict}. {self.diagnosis.reason}"
            self._say(1 if entered else 2, said)
        for action in self._actions:
            if action == "stop":
                self._stop(epoch)
            elif isinstance(action, Action) or (entered and callable(action)):
                self._try(action, epoch)

    def _stop(self, epoch: int) -> None:
        if self.diagnosis.should_stop:
            self.model.stop_training = True
            self.stopped_epoch = epoch
            self._say(1, f"training is stopped after epoch {epoch}. {self.diagnosis.reason}")

    def _try(self, action: Action | Callable[..., Any], epoch: int) -> None:
        try:
            if isinstance(action, Action):
                said = action.update(self.model, epoch, self.diagnosis)
                if said:
                    self._say(1, f"after epoch {epoch}: {said}.")
            else:
                action(self, self.diagnosis)
        except Exception as error:
            self._warn_once(
                f"action {id(action)}",
                f"{_OWNER}: `action` must not raise, got {error!r}. Training goes on without it.",
            )

    def _write_score(self, logs: dict[str, Any]) -> None:
        # Our own value may be there still where somebody hands over one dict again and again.
        if logs.get(_SCORE, self._written) is self._written:
            self._written = logs[_SCORE] = self.diagnosis.score
            return
        self._warn_once(
            "score",
            f"{_OWNER}: `logs` holds {_SCORE!r} already, and that value is kept. "
            "Rename the metric of that name, or use one detector for each training.",
        )

    def _note_state(self, epoch: int) -> None:
        actions = [a.state() if isinstance(a, Action) else None for a in self._actions]
        # Two epochs, because a backup of the model may be one behind.
        self._snapshots = [*self._snapshots[-1:], {"epoch": epoch, "actions": actions}]
        if self._file is not None and is_chief(self.model):
            self._file.write({**self._identity(), **self._state()})

    def _state(self) -> dict[str, Any]:
        return {
            "watched": [watch.state() for watch in self._watches],
            "best": {"epoch": self._best.epoch, "cost": self._best.cost},
            "snapshots": self._snapshots,
        }

    def _go_on(self, epoch: int) -> None:
        """Go on where this object, or an earlier process, has ended."""
        state, best = self._earlier or (None, None)
        if state is None or state["watched"][0]["history"]["epoch"][-1] != epoch - 1:
            best = None
            state = self._file.read(**self._identity()) if self._file is not None else None
        if state is None:
            return
        try:
            self._replay(state, epoch)
            copy = self.restore_best_weights
            self._best = self._best.resume(self.model, state["best"], best, copy=copy)
        except Exception as error:
            self._begin()
            self._is_first_epoch = False
            warn(f"{_OWNER}: what is known from before cannot be used ({error!r}).")

    def _replay(self, state: dict[str, Any], epoch: int) -> None:
        for watch, kept in zip(self._watches, state["watched"], strict=True):
            watch.replay(kept, epoch)
        self.diagnosis = combined(self._watches, self.combine)
        earlier = [snapshot for snapshot in state["snapshots"] if snapshot["epoch"] < epoch]
        if earlier:
            self._snapshots = earlier
            for action, kept in zip(self._actions, earlier[-1]["actions"], strict=True):
                if isinstance(action, Action):
                    action.restore(self.model, kept)
        self._say(1, f"goes on at epoch {epoch} with what is known from before.")

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a state to fit."""
        shapes = [list(weight.shape) for weight in getattr(self.model, "weights", [])]
        names = [watch.monitor for watch in self._watches]
        return {"monitor": names, "mode": self.mode, "weights": shapes}

    def _name_of(self, watch: Watch) -> str:
        return watch.name or watch.monitor or "loss"

    def _warn_once(self, cause: str, message: str) -> None:
        if cause not in self._warned:
            self._warned.add(cause)
            warn(message)

    def _say(self, level: int, text: str) -> None:
        if self.verbose >= level and is_chief(self.model):
            # The newline comes first: a progress bar or a row of dots may be open.
            with contextlib.suppress(OSError, ValueError):
                print(f"\n{_OWNER}: {text}", flush=True)


def _choice(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    return one_of(_OWNER, name, value, allowed, advice=_ADVICE[name])


_ADVICE = {
    "mode": "Use 'min' for losses and 'max' for accuracies.",
    "combine": "Use 'any' to act on the first metric that overfits.",
    "best_by": "Use 'raw' for the best single value.",
    "best_weights": "Use 'memory' unless they are too large.",
    "verbose": "Use 0 for silence.",
}
