"""Where a training is: how steps are counted and how the count reaches a compiled step.

The truth for steps is the optimizer's own count (`updates.py`), read inside the step;
nothing here counts batches. `wiring.py` makes a clock part of its model, and
`docs/architecture.md` tells the whole story.

Private names of Keras used here, tried with 3.12.4 and 3.15.1: `Trainer._jax_state`,
`Trainer._jax_state_synced`. `tests/grid/test_clock.py` fails when one moves.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_regplus._warnings import OneTimeWarnings, warn
from keras_regplus.clock import traces
from keras_regplus.clock.observations import Observations, UsedByNow
from keras_regplus.clock.step_context import StepContext, current_context, runs_eagerly_on_torch
from keras_regplus.clock.updates import assign_updates, has_trained, updates_finished
from keras_regplus.clock.variables import hidden_variable, on_jax
from keras_regplus.clock.weight_notes import gain_in, note_gain

__all__ = ["Clock", "Position"]


# What `clock_state` holds, in this order.
_STATE_FIELDS = ("epoch", "gain", "rate_offset")
# On JAX the step follows in two parts, as float32 ends with 2**24, and what is observed.
_MOST_BY_NOW = 16  # a function made anew in each step must not pile up
_STEP_PARTS = 2**16


class Position(NamedTuple):
    """A moment of a training, as plain numbers."""

    step: int
    epoch: int
    gain: float


class Clock:
    """Step, epoch and gain of one model in training, and what is added to its rates.

    Created by `attach`, kept for the life of the model, never part of its weights.
    All but the step live in `clock_state`, a variable, so that a change reaches a compiled
    step without compiling again; the step is read from the optimizer.
    """

    def __init__(self, model: keras.Model, epoch: int = 0, gain: float = 1.0, strengths: int = 0):
        self._model = weakref.ref(model)
        self.epoch = epoch
        self.gain = gain
        self.rate_offset = 0.0
        self._gain_was_set = gain != 1.0
        self._epoch_base = 0
        self._epoch_running = self._epoch_finished = False
        self._validation_due = False
        self._epoch_is_told = self._in_batch = False
        self._evaluations = 0
        self._warnings = OneTimeWarnings("RegularizationScheduler")
        self.asked_by_now: dict[Any, UsedByNow] = {}
        """What `now` was asked for in steps of the model, by schedule."""
        self.epoch_was_asked = False
        self.kept_alive: dict[int, Any] = {}
        """Variables that a trace of a user's function may go on writing to."""
        self.loss_parts: Any = None  # kept here for a second `fit`, made by the callback
        self._epoch_listener: weakref.WeakMethod | None = None
        # JAX gives a test step no optimizer state, so a copy of the step rides in the model's own.
        self._step_for_tests = 0
        state = self._state_values()
        self.observations = Observations(strengths, start=len(state) if on_jax() else 0)
        observed = self.observations.initial_values()
        if on_jax():
            # Each variable more in a model's state costs a small step some microseconds.
            state = [*state, *observed]
        self.clock_state = hidden_variable(
            model, "clock_state", state, "float32", aggregation="only_first_replica"
        )
        self.observations.variable = (
            self.clock_state
            if on_jax()
            else hidden_variable(
                model,
                "observed",
                observed,
                "float32",
                aggregation="sum",
                synchronization="on_read",
            )
        )
        # What a function compiled inside a TensorFlow step reads: it may outlive the optimizer.
        self._step_inside = traces.variable_of_inner_graphs("step", 0, "int")

    @property
    def model(self) -> keras.Model | None:
        return self._model()

    @property
    def used(self) -> bool:
        """Whether a training step has computed something scheduled that can have an effect."""
        parts = [part() for part in self.observations.parts.values()]
        if self.loss_parts is not None and self.loss_parts.penalties_are_unused:
            parts = [p for p in parts if not isinstance(p, keras.regularizers.Regularizer)]
        return bool(self.asked_by_now) or any(part is not None for part in parts)

    def used_by_now(self, schedule: Any) -> UsedByNow | None:
        """The part that stands for a `schedule`; None for more than can be observed."""
        if schedule not in self.asked_by_now and len(self.asked_by_now) < _MOST_BY_NOW:
            self.asked_by_now[schedule] = UsedByNow(schedule)
        return self.asked_by_now.get(schedule)

    def position(self) -> Position:
        """Where the training is, read on the host."""
        return Position(self._host_step(), self.epoch, self.gain)

    def context(self) -> StepContext:
        """The context of a TensorFlow or torch step: values are read when they are asked for."""
        trace = traces.trace_of(None)
        if self._step_inside is not None:
            step = _value(updates_finished(self._require_model()))
            self._step_inside.assign(ops.cast(step, self._step_inside.dtype))

        def value_of(name: str) -> Any:
            if name == "step":
                if traces.in_inner_graph(trace):
                    return ops.convert_to_tensor(self._step_inside)
                return _value(updates_finished(self._require_model()))
            if runs_eagerly_on_torch():
                return getattr(self, name)
            return ops.convert_to_tensor(self.clock_state)[_STATE_FIELDS.index(name)]

        return StepContext(value_of, self, trace)

    def eager_context(self) -> StepContext:
        """The context of a read outside any step, `model.losses` for one."""
        values = {**self.position()._asdict(), "rate_offset": self.rate_offset}
        return StepContext(values.__getitem__, self)

    def jax_context(self, state: Any, training: bool) -> StepContext:
        """The context of a JAX step, whose values are all in its argument `state`."""
        model = self._require_model()
        clock_state = state[1][self._place_in_state()]
        if training:
            step = _updates_in(model, state[2])
        else:
            first = len(_STATE_FIELDS)
            high, low = (ops.cast(clock_state[first + part], "int32") for part in (0, 1))
            step = _STEP_PARTS * high + low
        values = {name: clock_state[place] for place, name in enumerate(_STATE_FIELDS)}
        trace = traces.trace_of(clock_state)
        return StepContext({"step": step, **values}.__getitem__, self, trace)

    def after_jax_step(self, state: Any, context: StepContext) -> Any:
        """The state that a JAX training step returns, with what was observed in it."""
        place = self._place_in_state()
        non_trainable = list(state[1])
        non_trainable[place] = self.observations.step_done_in(non_trainable[place], context)
        return state[0], non_trainable, *state[2:]

    def _place_in_state(self) -> int:
        variables = self._require_model().non_trainable_variables
        return next(i for i, v in enumerate(variables) if v is self.clock_state)

    def set_gain(self, gain: float) -> None:
        """Change every strength of the model from the next step on, without compiling."""
        model = self._require_model()
        if on_jax():
            model.jax_state_sync()
        self.gain = float(gain)
        self._gain_was_set = True
        self._write_state()

    def set_rate_offset(self, offset: float) -> None:
        """Add so much to every dropout rate of the model from the next step on.

        Not saved with the position: at inference rates do not count.
        """
        if on_jax():
            self._require_model().jax_state_sync()
        self.rate_offset = float(offset)
        self._write_state()

    def save_gain(self, filepath: Any) -> None:
        """Note the gain in a weights file, which would lose it."""
        if not self._gain_was_set:
            return
        try:
            note_gain(filepath, self.gain)
        except Exception as error:
            warn(
                f"RegularizationScheduler: the gain {self.gain:g} could not be noted in the "
                f"weights file {str(filepath)!r} ({error!r}). The weights are saved; a training "
                "that resumes from this file begins with a gain of 1."
            )

    def load_gain(self, filepath: Any) -> None:
        """Go on with the gain that was noted in a weights file, if any."""
        try:
            gain = gain_in(filepath)
        except Exception as error:
            warn(
                f"RegularizationScheduler: the gain noted in the weights file {str(filepath)!r} "
                f"cannot be used ({error}). The weights are loaded; the gain stays {self.gain:g}."
            )
            return
        if gain is not None:
            self.set_gain(gain)

    def move_to(self, step: int, epoch: int) -> None:
        """Put the model at a moment of a training; only within a `state_restored`."""
        assign_updates(self._require_model(), step)
        self.epoch = epoch
        self._write_state()

    @contextlib.contextmanager
    def state_restored(self) -> Iterator[None]:
        """Put all that a training step changes back in the end."""
        model = self._require_model()
        variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
        before = [(variable, ops.copy(variable.value)) for variable in variables]
        epoch = self.epoch
        try:
            yield
        finally:
            for variable, value in before:
                variable.assign(value)
            self.epoch = epoch
            self._write_state()

    def begin_epoch(self, epoch: int, first: bool) -> None:
        """Note that `fit` begins its epoch number `epoch`, the `first` one of that call."""
        if first:
            continues = epoch == 0 and has_trained(self._require_model().optimizer)
            self._epoch_base = self.epoch if continues else 0
        self.epoch = self._epoch_base + epoch
        self._write_state()
        self._epoch_running, self._epoch_finished = True, False

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Note that a user's own loop trains on a batch, maybe inside an `at`."""
        self._begin_batch()
        self._in_batch = True
        try:
            yield
        finally:
            self._in_batch = False
        self._warn_of_untold_epoch()

    def _begin_batch(self) -> None:
        context = current_context()
        given = {} if context is None or context.given is None else context.given
        if given.get("epoch") is not None:
            self._epoch_is_told = True
            epoch = int(ops.convert_to_numpy(given["epoch"]))
            if epoch != self.epoch:
                self.epoch = epoch
                self._write_state()
        step = given.get("step")
        if step is not None and int(ops.convert_to_numpy(step)) != self._host_step():
            self._warnings.warn(
                f"`at(step={step})` around `train_on_batch` has no effect on the model "
                f"{self._require_model().name!r}, whose optimizer has made {self._host_step()} "
                "updates: its steps are counted by the optimizer. Take `step` out.",
                cause="step",
            )

    def _warn_of_untold_epoch(self) -> None:
        if self.epoch_was_asked and not (self._epoch_running or self._epoch_is_told):
            self._warnings.warn(
                f"a schedule of the model {self._require_model().name!r} counts epochs, and "
                f"nothing says where the epochs of this loop begin, so it stays at epoch "
                f"{self.epoch}. Put `with keras_regplus.at(epoch=...):` around `train_on_batch`, "
                "or call the callback's `on_epoch_begin` and `on_epoch_end`, as "
                "`keras.callbacks.CallbackList` does.",
                cause="epoch",
            )

    def begin_validation(self) -> None:
        """Note that callbacks of a `fit` see an evaluation begin."""
        self._validation_due = self._epoch_finished and self._evaluations == 1

    def end_epoch(self) -> None:
        """Note that callbacks see an epoch end, one of `fit` or of a loop that calls them."""
        if self._epoch_running:  # else `fit` has asked for its logs
            self.epoch += 1
            self._write_state()
        self.forget_epoch()

    def forget_epoch(self) -> None:
        """Note that no epoch is under way: it has ended, or its `fit` has raised."""
        self._epoch_running = self._epoch_finished = self._validation_due = False

    def forget_epoch_of_fit(self) -> None:
        """Note that a `fit` begins; `train_on_batch` makes a function as well, in any epoch."""
        if not self._in_batch:
            self.forget_epoch()

    def epoch_logs(self, logs: Any) -> Any:
        """Pass on what `fit` made the logs of an epoch, or of its validation, from.

        An epoch counts as finished from here on, so that its validation sees the
        strength of the next training step. Logs of other calls pass through untouched.
        """
        if not self._evaluations:  # else only `fit` asks, with the callback or without
            watched, self._epoch_running = self._epoch_running, False
            self._epoch_finished = watched
            self.epoch += 1
            self._write_state()
            return self._extended(logs, "train") if watched else logs
        if self._validation_due and self._evaluations == 1:
            self._validation_due = False
            return self._extended(logs, "validation")
        return logs

    def on_epoch_logs(self, listener: Callable[[dict[str, Any], str], None]) -> None:
        """Have the method `listener` called with the logs to add to, and their phase.

        Held weakly: a callback holds its model, which must not live on for us.
        """
        self._epoch_listener = weakref.WeakMethod(listener)

    def _extended(self, logs: Any, phase: str) -> Any:
        listener = self._epoch_listener() if self._epoch_listener is not None else None
        if listener is None:
            return logs
        logs = dict(logs)
        listener(logs, phase)
        return logs

    def refresh(self) -> None:
        """Bring the copy of the step that a JAX test step reads up to date."""
        if on_jax():
            self._step_for_tests = self._host_step()
            self._write_state()

    @contextlib.contextmanager
    def evaluation(self) -> Iterator[None]:
        self._evaluations += 1
        try:
            yield
        finally:
            self._evaluations -= 1

    def _write_state(self) -> None:
        state = ops.convert_to_tensor(self._state_values(), "float32")
        if on_jax():
            state = ops.concatenate([state, self.observations.read()])
        self.clock_state.assign(state)

    def _state_values(self) -> list[float]:
        """What `clock_state` holds."""
        values = [float(self.epoch), self.gain, self.rate_offset]
        if on_jax():
            values += map(float, divmod(self._step_for_tests, _STEP_PARTS))
        return values

    def _host_step(self) -> int:
        model = self._require_model()
        if getattr(model, "optimizer", None) is None:
            return 0
        state = getattr(model, "_jax_state", None) or {}
        pending = state.get("optimizer_variables") if on_jax() else None
        # In the middle of an epoch Keras has emptied the variables on JAX.
        if pending and not model._jax_state_synced:
            return int(ops.convert_to_numpy(_updates_in(model, pending)))
        return int(ops.convert_to_numpy(updates_finished(model)))

    def _require_model(self) -> keras.Model:
        model = self.model
        if model is None:
            raise ReferenceError("The model of this clock is gone.")
        return model


def _updates_in(model: keras.Model, values: Any) -> Any:
    """The updates finished according to these `values` of the optimizer's variables."""
    mapping = list(zip(model.optimizer.variables, values, strict=True))
    with keras.StatelessScope(mapping, initialize_variables=False):
        return ops.convert_to_tensor(updates_finished(model))


def _value(number: Any) -> Any:
    # With gradient accumulation the property is computed, else it is the variable itself.
    return number.value if isinstance(number, keras.Variable) else number
