"""Where a training is: how steps are counted and how the count reaches a compiled step.

The truth for steps is the property `model.optimizer.iterations`, read inside the
step; nothing here counts batches. `docs/architecture.md` tells the whole story.

Private names of Keras used here, tried with 3.12.4 and 3.15.1: `Layer._flatten_layers`,
`Layer._seed_generators`, `Layer._trainable_variables`,
`Layer._non_trainable_variables`, `Trainer._get_metrics_result_or_logs`,
`Trainer._jax_state`, `Trainer._jax_state_synced`, `Optimizer._iterations`.
`tests/grid/test_clock.py` fails when one moves.
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_regplus._weight_notes import gain_in, note_gain
from keras_regplus.frames import Frame, on_top, runs_eagerly_on_torch

__all__ = ["Clock", "Position", "attach", "hidden_variable", "scheduled_parts", "wrap"]


class Site(NamedTuple):
    """Where a scheduled object sits: what asks it, under which attribute."""

    path: str
    part: Any
    owner: Any
    name: str


class Position(NamedTuple):
    """A moment of a training, as plain numbers."""

    step: int
    epoch: int
    gain: float


class Clock:
    """Step, epoch and gain of one model in training.

    Created by `attach`, kept for the life of the model, never part of its weights.
    Epoch and gain live in `dial`, a variable, so that a change reaches a compiled
    step without compiling again; the step is read from the optimizer.
    """

    def __init__(self, model: keras.Model, epoch: int = 0, gain: float = 1.0):
        self._model = weakref.ref(model)
        self.epoch = epoch
        self.gain = gain
        self._gain_was_set = gain != 1.0
        self._epoch_base = 0
        self._epoch_running = self._epoch_finished = False
        self._validation_due = False
        self._evaluations = 0
        self.used = False
        self.loss_parts: Any = None  # kept here for a second `fit`, made by the callback
        self._on_epoch_logs: weakref.WeakMethod | None = None
        self.dial = hidden_variable(
            model, "dial", [float(epoch), gain], "float32", aggregation="only_first_replica"
        )
        # JAX gives a test step no optimizer state, so the step rides in the model's own.
        self._step = hidden_variable(model, "step", 0, "int32") if _on_jax() else None

    @property
    def model(self) -> keras.Model | None:
        return self._model()

    def position(self) -> Position:
        """Where the training is, read on the host."""
        return Position(self._host_step(), self.epoch, self.gain)

    def frame(self) -> Frame:
        """The frame for a TensorFlow or torch step: values are read when they are asked for."""

        def read(name: str) -> Any:
            if name == "step":
                return _value(self._require_model().optimizer.iterations)
            if runs_eagerly_on_torch():
                return self.epoch if name == "epoch" else self.gain
            return ops.convert_to_tensor(self.dial)[("epoch", "gain").index(name)]

        return Frame(read, self)

    def eager_frame(self) -> Frame:
        """The frame for a read outside any step, `model.losses` for one."""
        return Frame(self.position()._asdict().__getitem__, self)

    def jax_frame(self, state: Any, training: bool) -> Frame:
        """The frame for a JAX step, whose values are all in its argument `state`."""
        model = self._require_model()
        values = dict(zip(map(id, model.non_trainable_variables), state[1], strict=False))
        dial = values[id(self.dial)]
        step = _iterations_in(model.optimizer, state[2]) if training else values[id(self._step)]
        return Frame({"step": step, "epoch": dial[0], "gain": dial[1]}.__getitem__, self)

    def set_gain(self, gain: float) -> None:
        """Change every strength of the model from the next step on, without compiling."""
        model = self._require_model()
        if _on_jax():
            model.jax_state_sync()
        self.gain = float(gain)
        self._gain_was_set = True
        self._set_dial()

    def note_in(self, filepath: Any) -> None:
        """Leave in a weights file what it would lose."""
        if self._gain_was_set:
            with contextlib.suppress(Exception):  # the weights are saved all the same
                note_gain(filepath, self.gain)

    def take_from(self, filepath: Any) -> None:
        """Take on what was left in a weights file."""
        with contextlib.suppress(Exception):
            gain = gain_in(filepath)
            if gain is not None:
                self.set_gain(gain)

    def move_to(self, step: int, epoch: int) -> None:
        """Put the model at a moment of a training; only within a `rehearsal`."""
        optimizer = _counting(self._require_model().optimizer)
        optimizer._iterations.assign(step * (optimizer.gradient_accumulation_steps or 1))
        self.epoch = epoch
        self._set_dial()

    @contextlib.contextmanager
    def rehearsal(self) -> Iterator[None]:
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
            self._set_dial()

    def begin_epoch(self, epoch: int, first: bool) -> None:
        """Note that `fit` begins its epoch number `epoch`, the `first` one of that call."""
        if first:
            goes_on = epoch == 0 and _has_trained(self._require_model().optimizer)
            self._epoch_base = self.epoch if goes_on else 0
        self.epoch = self._epoch_base + epoch
        self._set_dial()
        self._epoch_running, self._epoch_finished = True, False

    def begin_validation(self) -> None:
        """Note that callbacks of a `fit` see an evaluation begin."""
        self._validation_due = self._epoch_finished and self._evaluations == 1

    def forget_epoch(self) -> None:
        """Note that no epoch is under way: it has ended, or its `fit` has raised."""
        self._epoch_running = self._epoch_finished = self._validation_due = False

    def epoch_logs(self, logs: Any) -> Any:
        """Pass on what `fit` made the logs of an epoch, or of its validation, from.

        An epoch counts as finished from here on, so that its validation sees the
        strength of the next training step. Logs of other calls pass through untouched.
        """
        if not self._evaluations:  # else only `fit` asks, with the callback or without
            watched, self._epoch_running = self._epoch_running, False
            self._epoch_finished = watched
            self.epoch += 1
            self._set_dial()
            return self._extended(logs, "train") if watched else logs
        if self._validation_due and self._evaluations == 1:
            self._validation_due = False
            return self._extended(logs, "validation")
        return logs

    def tell_epoch_logs(self, listener: Callable[[dict[str, Any], str], None]) -> None:
        """Have the method `listener` called with the logs to add to, and their phase.

        Held weakly: a callback holds its model, which must not live on for us.
        """
        self._on_epoch_logs = weakref.WeakMethod(listener)

    def _extended(self, logs: Any, phase: str) -> Any:
        listener = self._on_epoch_logs() if self._on_epoch_logs is not None else None
        if listener is None:
            return logs
        logs = dict(logs)
        listener(logs, phase)
        return logs

    def refresh(self) -> None:
        """Bring the copy of the step that a JAX test step reads up to date."""
        if self._step is not None:
            # A buffer that two variables share would be donated twice.
            self._step.assign(ops.copy(ops.convert_to_tensor(self._host_step(), dtype="int32")))

    @contextlib.contextmanager
    def evaluation(self) -> Iterator[None]:
        self._evaluations += 1
        try:
            yield
        finally:
            self._evaluations -= 1

    def _set_dial(self) -> None:
        self.dial.assign([float(self.epoch), self.gain])

    def _host_step(self) -> int:
        model = self._require_model()
        optimizer = getattr(model, "optimizer", None)
        if optimizer is None:
            return 0
        state = getattr(model, "_jax_state", None) or {}
        pending = state.get("optimizer_variables") if _on_jax() else None
        # In the middle of an epoch Keras has emptied the variables on JAX.
        if pending and not model._jax_state_synced:
            return int(ops.convert_to_numpy(_iterations_in(optimizer, pending)))
        return int(ops.convert_to_numpy(optimizer.iterations))

    def _require_model(self) -> keras.Model:
        model = self.model
        if model is None:
            raise ReferenceError("The model of this clock is gone.")
        return model


_clocks: weakref.WeakKeyDictionary[keras.Model, Clock] = weakref.WeakKeyDictionary()


def attach(model: keras.Model) -> Clock:
    """The clock of `model`, made and wired up where it has none.

    Idempotent, never undone: a later `fit` without the callback goes on along the
    schedule, and a `fit` that raised leaves nothing to clean up.
    """
    _refuse_what_cannot_be_exact(model)
    clock = _clocks.get(model)
    parts = [part for _, part in scheduled_parts(model)]
    if clock is None:
        clock = _clocks[model] = Clock(model, *_adopted(model, parts))
        # Functions traced before know no clock.
        model.train_function = model.test_function = model.predict_function = None
    for part in parts:
        part._bind_clock(clock)
    _wrap_steps(model, clock)
    return clock


def scheduled_parts(model: keras.Model) -> Iterator[tuple[str, Any]]:
    """Every scheduled object of `model` that can be found, with the path of its owner.

    What is not found, a regularizer inside a user's own one for instance, is as
    exact as the rest: a step's frame is what counts.
    """
    for site in scheduled_sites(model):
        yield site.path, site.part


def scheduled_sites(model: keras.Model) -> Iterator[Site]:
    """Where every scheduled object of `model` sits that can be found."""
    for layer in model._flatten_layers():
        path = layer.path or layer.name
        # A layer asks itself.
        found = [Site(path, layer, layer, "_now")]
        activity = layer.activity_regularizer
        found.append(Site(f"{path}/activity", activity, layer, "activity_regularizer"))
        for variable in layer._trainable_variables + layer._non_trainable_variables:
            regularizer = getattr(variable, "regularizer", None)
            found.append(Site(variable.path, regularizer, variable, "regularizer"))
        yield from (site for site in found if hasattr(site.part, "_bind_clock"))


def hidden_variable(
    model: keras.Model, name: str, value: Any, dtype: str, **kwargs: Any
) -> keras.Variable:
    """A variable that a compiled step can read and write, and that is no weight.

    On JAX it has to ride in the model's non-trainable state; the list of seed
    generators is state that is in no weight file and in no count of weights.
    """
    with contextlib.ExitStack() as stack:
        if keras.backend.backend() == "tensorflow":
            stack.enter_context(model.distribute_strategy.scope())
        variable = keras.Variable(
            value,
            dtype=dtype,
            trainable=False,
            autocast=False,
            name=f"{model.name}_regplus_{name}",
            **kwargs,
        )
    if _on_jax():
        model._seed_generators.append(_Rider(variable))
    return variable


@contextlib.contextmanager
def passing_variable(
    model: keras.Model, name: str, value: Any, dtype: str
) -> Iterator[keras.Variable]:
    """A `hidden_variable` for a while, the same on all replicas."""
    variable = hidden_variable(model, name, value, dtype, aggregation="only_first_replica")
    try:
        yield variable
    finally:
        if _on_jax():
            model._seed_generators.pop()


class _Rider:
    """Looks like a seed generator to a layer: something with a `state`."""

    def __init__(self, state: keras.Variable):
        self.state = state


def wrap(model: keras.Model, name: str, make: Callable[[Callable], Callable]) -> None:
    """Replace `model.name` by `make(model.name)`, once, out of sight of Keras's trackers."""
    original = getattr(model, name)
    marks: frozenset = getattr(original, "_regplus_marks", frozenset())
    mark = make.__qualname__
    if mark in marks:
        return

    def put() -> None:
        wrapper = functools.wraps(original)(make(original))
        wrapper._regplus_marks = marks | {mark}  # type: ignore[attr-defined]
        # With the identity, because who wraps this in turn may copy its attributes.
        wrapper._regplus_renewal = id(wrapper), put  # type: ignore[attr-defined]
        object.__setattr__(model, name, wrapper)

    put()


def _renew(model: keras.Model, name: str) -> None:
    """Give a wrapped method a new identity, as a bound method of Keras's has at each access.

    JAX keeps what it compiled by the function's identity, so a recompiled model would
    go on with the step that it had before.
    """
    method = getattr(model, name)
    identity, put = getattr(method, "_regplus_renewal", (None, None))
    if put is not None and identity == id(method):
        put()


def _wrap_steps(model: keras.Model, clock: Clock) -> None:
    def train_step(original: Callable) -> Callable:
        return _stepping(original, clock, training=True)

    def test_step(original: Callable) -> Callable:
        return _stepping(original, clock, training=False)

    def evaluate(original: Callable) -> Callable:
        def run(*args: Any, **kwargs: Any) -> Any:
            with clock.evaluation():
                return original(*args, **kwargs)

        return run

    def make_train_function(original: Callable) -> Callable:
        def run(*args: Any, **kwargs: Any) -> Any:
            clock.forget_epoch()
            _renew(model, "train_step")
            return original(*args, **kwargs)

        return run

    def make_test_function(original: Callable) -> Callable:
        def run(*args: Any, **kwargs: Any) -> Any:
            clock.refresh()
            _renew(model, "test_step")
            return original(*args, **kwargs)

        return run

    def epoch_logs(original: Callable) -> Callable:
        def run(*args: Any, **kwargs: Any) -> Any:
            return clock.epoch_logs(original(*args, **kwargs))

        return run

    def save_weights(original: Callable) -> Callable:
        def run(filepath: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(filepath, *args, **kwargs)
            clock.note_in(filepath)
            return result

        return run

    def load_weights(original: Callable) -> Callable:
        def run(filepath: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(filepath, *args, **kwargs)
            clock.take_from(filepath)
            return result

        return run

    wrap(model, "save_weights", save_weights)
    wrap(model, "load_weights", load_weights)
    wrap(model, "train_step", train_step)
    wrap(model, "test_step", test_step)
    wrap(model, "evaluate", evaluate)
    wrap(model, "make_train_function", make_train_function)
    wrap(model, "make_test_function", make_test_function)
    wrap(model, "_get_metrics_result_or_logs", epoch_logs)


def _stepping(original: Callable, clock: Clock, training: bool) -> Callable:
    def frame(arguments: tuple[Any, ...]) -> Frame:
        return clock.jax_frame(arguments[0], training) if _on_jax() else clock.frame()

    def run(*args: Any, **kwargs: Any) -> Any:
        with on_top(frame(args)):
            return original(*args, **kwargs)

    return run


def _refuse_what_cannot_be_exact(model: keras.Model) -> None:
    if getattr(keras.config, "is_nnx_enabled", lambda: False)():
        raise ValueError(
            "RegularizationScheduler: Keras's NNX mode must be off, got "
            "`keras.config.is_nnx_enabled()` True: its compiled step passes a model's own "
            "`train_step` by. Turn it off before Keras is imported."
        )
    if getattr(model, "optimizer", None) is None:
        raise ValueError(
            "RegularizationScheduler: the model must be compiled with an optimizer, got none: "
            "steps are counted by it. Call `model.compile(optimizer=...)`, or use "
            "`keras_regplus.at(step=...)` inside a training step of your own."
        )


def _adopted(model: keras.Model, parts: list[Any]) -> tuple[int, float]:
    """Epoch and gain for a new clock: those that were saved, where the optimizer came along."""
    saved = [part._position for part in parts if part._position is not None]
    if saved and _has_trained(model.optimizer):
        return saved[0].epoch, saved[0].gain
    return 0, 1.0


def _has_trained(optimizer: Any) -> bool:
    return int(ops.convert_to_numpy(_counting(optimizer)._iterations)) > 0


def _counting(optimizer: Any) -> Any:
    # The outer counter of a LossScaleOptimizer stays at 0.
    return getattr(optimizer, "inner_optimizer", optimizer)


def _iterations_in(optimizer: Any, values: Any) -> Any:
    mapping = list(zip(optimizer.variables, values, strict=True))
    with keras.StatelessScope(mapping, initialize_variables=False):
        return ops.convert_to_tensor(optimizer.iterations)


def _value(number: Any) -> Any:
    # With gradient accumulation the property is computed, else it is the variable itself.
    return number.value if isinstance(number, keras.Variable) else number


def _on_jax() -> bool:
    return keras.backend.backend() == "jax"
