"""Whether the compiled step follows each schedule: run it and see."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from keras_regplus.clock import step_context, wiring
from keras_regplus.clock.clock import Clock, temporary_variable
from keras_regplus.clock.model_parts import Site, scheduled_sites
from keras_regplus.clock.scheduled import factor_in
from keras_regplus.schedules.units import end_of, unit_of

__all__ = ["PartCheck", "Verification", "verify"]

CheckVerdict = Literal["exact", "constant", "wrong", "never computed", "not seen"]

_WITHOUT_END = 1000  # how far to look at a schedule that has no end and no period


@dataclass(frozen=True)
class PartCheck:
    """The outcome of `RegularizationScheduler.verify` for one penalty or layer.

    Use it to see which part is not exact, and by how much.

    Attributes:
        path: Where the part is, as in the logs.
        verdict: `"exact"`; `"constant"`, where the schedule moves and the computed value
            does not; `"wrong"`; `"never computed"`; or `"not seen"`, where the model's own
            `train_step` does not call `compute_loss`.
        times: The moments at which the step was run, as (step, epoch).
        measured: The penalty or rate that the compiled step computed at each moment.
        expected: The value that it should have computed.

    Example:
        >>> from keras_regplus.callbacks.regularization_scheduler import PartCheck
        >>> print(PartCheck("net/dense/kernel", "constant", ((0, 0),), (0.5,), (0.0,)))
        net/dense/kernel: constant (0.5 for 0 at step 0, epoch 0)
    """

    path: str
    verdict: CheckVerdict
    times: tuple[tuple[int, int], ...]
    measured: tuple[float, ...]
    expected: tuple[float, ...]

    def __str__(self) -> str:
        text = f"{self.path}: {self.verdict}"
        if self.verdict not in ("constant", "wrong"):
            return text
        rows = zip(self.times, self.measured, self.expected, strict=True)
        moments = (f"{got:.6g} for {due:.6g} at step {s}, epoch {e}" for (s, e), got, due in rows)
        return f"{text} ({'; '.join(moments)})"


@dataclass(frozen=True)
class Verification:
    """The outcome of `RegularizationScheduler.verify`; it prints as a line for each part.

    Use it in a test of your own model: `assert scheduler.verify(model, x, y).exact`.

    Attributes:
        parts: A `PartCheck` for each scheduled part of the model.

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
    """Run the compiled step at chosen moments of each schedule, and restore the model."""
    clock = wiring.attach(model)
    _make_ready(model, clock, x)
    probes = [_Probe(site) for site in scheduled_sites(model)]
    moments = _moments(clock, [probe.site.part for probe in probes])
    with clock.state_restored(), _probing(model, probes) as values:
        for moment in moments:
            with clock.state_restored():
                clock.move_to(*moment)
                values.assign(np.full(len(probes), np.nan))
                for probe in probes:
                    probe.expect(clock)
                model.train_on_batch(x, y, sample_weight)
                for probe, value in zip(probes, ops.convert_to_numpy(values), strict=True):
                    probe.measured.append(float(value))
    return Verification(tuple(probe.check(moments) for probe in probes))


class _Probe(keras.regularizers.Regularizer):
    """Takes the place of a scheduled part, and keeps the value that it computes in a step."""

    def __init__(self, site: Site):
        self.site = site
        self.measured: list[float] = []
        self._outside: list[float] = []
        self._factors: list[float] = []
        self._original = getattr(site.owner, site.name)
        self._sample = _sample(site)
        self._computed = False
        self._value_in_step: Any = None

    def __call__(self, x: Any) -> Any:
        value = self._original(x)
        if _in_a_step():
            self._computed = True
            # A value from the inside of a layer may belong to a loop or to another trace.
            self._value_in_step = value if x is self._sample else None
        return value

    def expect(self, clock: Clock) -> None:
        """Compute the part outside of any step, at the moment of `clock`."""
        if isinstance(self._sample, keras.Variable):
            values = ops.convert_to_numpy(self._sample)
            if not np.any(values):
                # At any strength the penalty of zeros is 0, which would show nothing.
                self._sample.assign(np.ones_like(values))
        context = clock.eager_context()
        self._factors.append(_number(factor_in(context, self.site.part.schedule)))
        with step_context.entered(context):
            self._outside.append(_number(self._original(self._sample)))

    def value(self) -> Any:
        """The value that the running step has computed, at its end."""
        value, self._value_in_step = self._value_in_step, None
        if value is None:
            value = self._original(self._sample) if self._computed else float("nan")
        return ops.stop_gradient(ops.cast(value, "float32"))

    def check(self, moments: Sequence[tuple[int, int]]) -> PartCheck:
        expected = self._expected()
        verdict = self._verdict(np.array(self.measured), expected)
        return PartCheck(
            self.site.path, verdict, tuple(moments), tuple(self.measured), tuple(expected.tolist())
        )

    def _expected(self) -> np.ndarray:
        """The penalty at the largest factor, in proportion to the factors."""
        factors = np.array(self._factors)
        if not np.any(factors):
            return np.zeros_like(factors)
        return self._outside[int(np.argmax(factors))] * factors / np.max(factors)

    def _verdict(self, measured: np.ndarray, expected: np.ndarray) -> CheckVerdict:
        if not self._computed:
            return "never computed"
        if np.isnan(measured).any():
            return "not seen"
        half = "float16" in str(getattr(self._sample, "dtype", ""))
        tolerance = 1e-2 if half else 1e-5
        slack = 0.1 * tolerance * float(np.max(expected))
        if np.allclose(measured, expected, rtol=tolerance, atol=slack):
            return "exact"
        return "constant" if np.ptp(measured) <= slack else "wrong"


def _sample(site: Site) -> Any:
    """The argument of a part: its weight, or for a layer the base value 1."""
    if isinstance(site.owner, keras.Variable):
        return site.owner
    return 1.0 if site.part is site.owner else ops.ones((1, 1))


def _number(value: Any) -> float:
    return float(ops.convert_to_numpy(value))


def _in_a_step() -> bool:
    return step_context.current_context() is not None and not step_context.in_symbolic_scope()


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


@contextlib.contextmanager
def _probing(model: keras.Model, probes: Sequence[_Probe]) -> Iterator[keras.Variable]:
    """Compile the step anew, so that it leaves the values of the probes in a variable."""
    functions = model.train_function, model.steps_per_execution
    with contextlib.ExitStack() as stack:
        values = stack.enter_context(
            temporary_variable(model, "verified", np.zeros(len(probes)), "float32")
        )
        for probe in probes:
            stack.enter_context(_attribute(probe.site.owner, probe.site.name, probe))
        reporting = _reporting(model.compute_loss, probes, values)
        stack.enter_context(_attribute(model, "compute_loss", reporting))
        model.train_function, model.steps_per_execution = None, 1
        try:
            yield values
        finally:
            model.train_function, model.steps_per_execution = functions


def _reporting(original: Callable, probes: Sequence[_Probe], values: keras.Variable) -> Callable:
    def run(*args: Any, **kwargs: Any) -> Any:
        total = original(*args, **kwargs)
        if probes and _in_a_step():
            values.assign(ops.stack([probe.value() for probe in probes]))
        return total

    return run


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
