"""Whether the compiled step follows each schedule: run it and see."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_regplus.callbacks.regularization_scheduler._probe import PartCheck, Probe
from keras_regplus.clock import step_context, traces, wiring
from keras_regplus.clock.clock import Clock, Position
from keras_regplus.clock.compiled_functions import compiled_functions, forget_traces
from keras_regplus.clock.model_parts import Site, scheduled_sites
from keras_regplus.clock.scheduled import factor_in
from keras_regplus.clock.variables import number_of, temporary_variable
from keras_regplus.schedules.units import end_of, unit_of

__all__ = ["PartCheck", "Verification", "verify"]

_SET_BY_FIT = ("history", "stop_training")
_WITHOUT_END = 1000  # how far to look at a schedule that has no end and no period


@dataclass(frozen=True)
class Verification:
    """The outcome of `RegularizationScheduler.verify`; it prints as a line for each part.

    Use it in a test of your own model: `assert scheduler.verify(model, x, y).exact`.

    Attributes:
        parts: A `PartCheck` for each part of the model that has a schedule and is trained.

    Example:
        >>> from keras_regplus.callbacks.regularization_scheduler import PartCheck, Verification
        >>> part = PartCheck("net/dense/kernel", "exact", ((0, 0),), (0.5,), (0.5,))
        >>> Verification((part,)).exact
        True
    """

    parts: tuple[PartCheck, ...]

    @property
    def exact(self) -> bool:
        """Whether every part is exact."""
        return all(part.verdict == "exact" for part in self.parts)

    def __str__(self) -> str:
        return "\n".join(map(str, self.parts)) or "Nothing scheduled was found in this model."


def verify(model: keras.Model, x: Any, y: Any, sample_weight: Any) -> Verification:
    """Train on a batch at chosen moments of each schedule, and restore the model."""
    clock = wiring.attach(model)
    _make_ready(model, clock, x)
    sites = [site for site in scheduled_sites(model) if _is_followed(model, site)]
    moments = _moments(clock, [site.part for site in sites])
    run = _Run(model, clock, (x, y, sample_weight))
    with clock.state_restored(), _kept_as_it_is(model):
        factors = [_factors(site.part, clock, moments) for site in sites]
        last = [moments[int(np.argmax(each))] for each in factors]
        probes = [
            Probe(site, Position(*moment, clock.gain), float(np.max(each)))
            for site, moment, each in zip(sites, last, factors, strict=True)
        ]
        _fill_zeros(model)
        for probe in probes:
            probe.refer()
        with _in_place(probes):
            for moment in moments:
                run.at(moment)
                for probe in probes:
                    probe.end_run(clock)
            if not all(probe.computed for probe in probes):
                run.uncompiled(moments[-1])
        checks = [probe.check(moments, each) for probe, each in zip(probes, factors, strict=True)]
        if _has_own_step(model):
            checks = list(_with_unused(run, probes, checks))
    return Verification(tuple(checks))


class _Run:
    """Trains a model on one batch, as `fit` does, and puts all that changes back."""

    def __init__(self, model: keras.Model, clock: Clock, batch: tuple[Any, Any, Any]):
        self.model, self.clock = model, clock
        self._x, self._y, self._sample_weight = batch

    def at(
        self,
        moment: tuple[int, int],
        variable: keras.Variable | None = None,
        value: Any = None,
    ) -> list[np.ndarray]:
        """Train at (step, epoch); what the step has changed, and the loss that it returned.

        Meanwhile `variable` has the `value`.
        """
        with self.clock.state_restored(), traces.same_random_numbers():
            self.clock.move_to(*moment)
            if variable is not None:
                variable.assign(value)
            started = getattr(self.model, "_initial_epoch", None) or 0
            history = self.model.fit(
                self._x,
                self._y,
                sample_weight=self._sample_weight,
                batch_size=keras.tree.flatten(self._x)[0].shape[0],
                epochs=started + 1,
                shuffle=False,
                verbose=0,
            )
            changed = [*self.model.trainable_variables, *self.model.optimizer.variables]
            loss = np.array([values for _, values in sorted(history.history.items())])
            return [loss, *(ops.convert_to_numpy(each) for each in changed)]

    def uncompiled(self, moment: tuple[int, int]) -> None:
        """Train with all compiled functions run as plain Python, as far as that goes."""
        model, eager = self.model, self.model.run_eagerly
        with warnings.catch_warnings(), traces.nothing_compiled():
            warnings.simplefilter("ignore")
            model.run_eagerly, model.train_function = True, None
            # What fails here has been seen to run, and what is unseen stays so.
            with contextlib.suppress(Exception):
                self.at(moment)
        model.run_eagerly, model.train_function = eager, None


def _with_unused(
    run: _Run, probes: Sequence[Probe], checks: Sequence[PartCheck]
) -> Iterator[PartCheck]:
    """The checks, where a penalty that makes no difference is not in the loss."""
    with contextlib.ExitStack() as stack:
        scales = stack.enter_context(
            temporary_variable(run.model, "scales", np.ones(len(probes)), "float32")
        )
        run.clock.kept_alive[id(scales)] = scales
        for i, probe in enumerate(probes):
            probe.scale = functools.partial(_item, scales, i)
        stack.enter_context(_in_place(probes))
        run.model.train_function = None
        for i, (probe, check) in enumerate(zip(probes, checks, strict=True)):
            penalty = isinstance(probe.site.part, keras.regularizers.Regularizer)
            if check.verdict != "exact" or not penalty:
                yield check
                continue
            moment = check.times[int(np.argmax(check.expected))]
            with_it = run.at(moment)
            without = run.at(moment, scales, 1.0 - np.eye(len(probes), dtype="float32")[i])
            if all(map(np.array_equal, with_it, without)):
                check = dataclasses.replace(check, verdict="not in the loss")
            yield check


def _is_followed(model: keras.Model, site: Site) -> bool:
    """Whether a part has a schedule, and is trained: a frozen weight has no penalty."""
    trainable = set(map(id, model.trainable_variables))
    frozen = isinstance(site.owner, keras.Variable) and id(site.owner) not in trainable
    return site.part.schedule is not None and not frozen


def _factors(part: Any, clock: Clock, moments: Sequence[tuple[int, int]]) -> np.ndarray:
    """Schedule times gain at each moment, computed outside of any step."""
    factors = []
    for step, epoch in moments:
        values = {"step": step, "epoch": epoch, "gain": clock.gain}
        context = step_context.StepContext(values.__getitem__)
        factors.append(number_of(factor_in(context, part.schedule)))
    return np.array(factors)


def _item(variable: keras.Variable, place: int) -> Any:
    return ops.convert_to_tensor(variable)[place]


def _fill_zeros(model: keras.Model) -> None:
    """At any strength the penalty of zeros is 0, which would show nothing."""
    for weight in model.trainable_variables:
        if getattr(weight, "regularizer", None) is not None:
            values = ops.convert_to_numpy(weight)
            if not np.any(values):
                weight.assign(np.ones_like(values))


def _make_ready(model: keras.Model, clock: Clock, x: Any) -> None:
    """Create all variables, so that all can be restored."""
    if not model.built:
        with step_context.entered(clock.eager_context()):
            model.predict_on_batch(x)
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def _moments(clock: Clock, parts: Iterable[Any]) -> list[tuple[int, int]]:
    """The current moment, and start, middle and end of each schedule, as (step, epoch)."""
    step, epoch, _ = clock.position()
    moments = {(step, epoch)}
    for part in parts:
        end = end_of(part.schedule) or getattr(part.schedule, "duration", None) or _WITHOUT_END
        for t in (0, end // 2, end):
            moments.add((step, t) if unit_of(part.schedule) == "epoch" else (t, epoch))
    return sorted(moments)


def _has_own_step(model: keras.Model) -> bool:
    """Whether the model's user wrote what decides about its penalties."""
    return any(
        getattr(inspect.unwrap(getattr(model, name)), "__func__", None)
        is not getattr(keras.Model, name)
        for name in ("train_step", "compute_loss")
    )


@contextlib.contextmanager
def _kept_as_it_is(model: keras.Model) -> Iterator[None]:
    """Train in between on functions of its own, and put back what `fit` sets."""
    functions = model.train_function, model.steps_per_execution
    attributes = {name: vars(model)[name] for name in _SET_BY_FIT if name in vars(model)}
    model.train_function, model.steps_per_execution = None, 1
    try:
        yield
    finally:
        model.train_function, model.steps_per_execution = functions
        for name, value in attributes.items():
            setattr(model, name, value)
        forget_traces(compiled_functions(model))


@contextlib.contextmanager
def _in_place(probes: Sequence[Probe]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for probe in probes:
            stack.enter_context(_attribute(probe.site.owner, probe.site.name, probe))
        yield


@contextlib.contextmanager
def _attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Give `owner` an attribute for a while, out of sight of Keras's trackers."""
    own = vars(owner).get(name)
    before = getattr(owner, name)
    object.__setattr__(owner, name, value)
    try:
        yield
    finally:
        if own is None and isinstance(getattr(type(owner), name, None), FunctionType):
            object.__delattr__(owner, name)
        else:
            object.__setattr__(owner, name, before)
