"""Whether the compiled step follows each schedule: run it and see."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from keras_regplus.clock import step_context, traces, wiring
from keras_regplus.clock.clock import Clock, Position, temporary_variable
from keras_regplus.clock.compiled_functions import compiled_functions, forget_traces
from keras_regplus.clock.model_parts import Site, scheduled_sites
from keras_regplus.clock.scheduled import factor_in
from keras_regplus.schedules.units import end_of, unit_of

__all__ = ["PartCheck", "Verification", "verify"]

CheckVerdict = Literal[
    "exact", "frozen", "wrong", "never computed", "not in the loss", "not observable"
]

_SET_BY_FIT = ("history", "stop_training")
_WITHOUT_END = 1000  # how far to look at a schedule that has no end and no period


@dataclass(frozen=True)
class PartCheck:
    """The outcome of `RegularizationScheduler.verify` for one penalty or layer.

    Use it to see which part is not exact, and by how much.

    Attributes:
        path: Where the part is, as in the logs.
        verdict: `"exact"`; `"frozen"`, where the schedule moves and the computed value does
            not, or a function that was compiled before computes it unseen; `"wrong"`, where
            it moves in another way; `"never computed"`; `"not in the loss"`, where a penalty
            is computed and the step's outcome is the same without it; or `"not observable"`.
        times: The moments at which the step was run, as (step, epoch).
        measured: The penalty or rate that the compiled step computed at each moment.
        expected: The value that it should have computed.

    Example:
        >>> from keras_regplus.callbacks.regularization_scheduler import PartCheck
        >>> print(PartCheck("net/dense/kernel", "frozen", ((0, 0),), (0.5,), (0.0,)))
        net/dense/kernel: frozen (0.5 for 0 at step 0, epoch 0)
    """

    path: str
    verdict: CheckVerdict
    times: tuple[tuple[int, int], ...]
    measured: tuple[float, ...]
    expected: tuple[float, ...]

    def __str__(self) -> str:
        text = f"{self.path}: {self.verdict}"
        if self.verdict not in ("frozen", "wrong") or not self.measured:
            return text
        rows = zip(self.times, self.measured, self.expected, strict=True)
        moments = (f"{got:.6g} for {due:.6g} at step {s}, epoch {e}" for (s, e), got, due in rows)
        return f"{text} ({'; '.join(moments)})"


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
            _Probe(site, Position(*moment, clock.gain), float(np.max(each)))
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


class _Probe(keras.regularizers.Regularizer):
    """Takes the place of a scheduled part, and keeps the values that it computes in a step.

    Each is to be compared with the value at a fixed moment, `reference`, at which the
    schedule times the gain is `factor`.
    """

    def __init__(self, site: Site, reference: Position, factor: float):
        self.site = site
        self._factor = factor
        self.computed = False
        self.scale: Callable[[], Any] | None = None
        self._original = getattr(site.owner, site.name)
        values = {**reference._asdict(), "rate_offset": 0.0}
        self._at_reference = values.__getitem__
        self._reference: float | None = None
        self._variable = traces.variable_of_inner_graphs("probe", [np.nan, np.nan], "float32")
        self._stored: list[float] = [np.nan, np.nan]
        self._values: list[list[float]] = []
        self._noted: list[float] = []
        self._is_half = False

    def __call__(self, x: Any) -> Any:
        value = self._original(x)
        context = step_context.current_context()
        if context is None or context.note is None:
            return value
        self.computed = True
        self._is_half = "float16" in str(getattr(x, "dtype", ""))
        reference = self._referred(x)
        pair = [ops.stop_gradient(ops.cast(each, "float32")) for each in (value, reference)]
        traces.leave(pair, self._store, self._variable)
        return value if self.scale is None else value * ops.cast(self.scale(), value.dtype)

    def _referred(self, x: Any) -> Any:
        if self.site.part is self.site.owner:
            return x * self._factor  # a rate
        if self._reference is not None:
            return self._reference
        with step_context.entered(step_context.StepContext(self._at_reference)):
            return self._original(x)

    def refer(self) -> None:
        """Compute the reference of a weight, outside of any step and compiled function."""
        if isinstance(self.site.owner, keras.Variable):
            context = step_context.StepContext(self._at_reference)
            with traces.nothing_compiled(), step_context.entered(context):
                self._reference = _number(self._original(self.site.owner))

    def _store(self, value: Any, reference: Any) -> None:
        self._stored = [_number(value), _number(reference)]

    def end_run(self, clock: Clock) -> None:
        """Take what a run has left, and be ready for another."""
        traces.wait_for_effects()
        if self._variable is not None:
            # A function of the user's may keep a trace that writes to it.
            clock.kept_alive[id(self._variable)] = self._variable
            self._stored = [float(each) for each in ops.convert_to_numpy(self._variable)]
            self._variable.assign([np.nan, np.nan])
        self._values.append(self._stored)
        self._stored = [np.nan, np.nan]
        part = self.site.part
        uses = clock.observations.uses()
        noted = [uses.get((id(part), base, False)) for base in part._strengths().values()]
        self._noted.append(noted[0][-1] if noted and noted[0] else np.nan)

    def check(self, moments: Sequence[tuple[int, int]], factors: np.ndarray) -> PartCheck:
        measured, references = np.array(self._values).T
        highest = np.max(factors)
        expected = references * factors / highest if highest else np.zeros_like(factors)
        if np.isnan(measured).all() and not np.isnan(self._noted).any():
            # In a function that an earlier step compiled, which has no probe.
            measured = np.array(self._noted)
            expected = next(iter(self.site.part._strengths().values())) * factors
        verdict = self._verdict(measured, expected)
        seen = verdict not in ("never computed", "not observable") and not np.isnan(measured).all()
        return PartCheck(
            self.site.path,
            verdict,
            tuple(moments),
            tuple(measured.tolist()) if seen else (),
            tuple(expected.tolist()) if seen else (),
        )

    def _verdict(self, measured: np.ndarray, expected: np.ndarray) -> CheckVerdict:
        if np.isnan(measured).any():
            if not self.computed:
                return "never computed"
            return "frozen" if np.isnan(measured).all() else "not observable"
        tolerance = 1e-2 if self._is_half else 1e-5
        slack = 0.1 * tolerance * float(np.max(np.abs(expected)))
        if np.allclose(measured, expected, rtol=tolerance, atol=slack):
            return "exact"
        return "frozen" if np.ptp(measured) <= slack else "wrong"


def _with_unused(
    run: _Run, probes: Sequence[_Probe], checks: Sequence[PartCheck]
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
        factors.append(_number(factor_in(context, part.schedule)))
    return np.array(factors)


def _number(value: Any) -> float:
    return float(ops.convert_to_numpy(value))


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
def _in_place(probes: Sequence[_Probe]) -> Iterator[None]:
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
