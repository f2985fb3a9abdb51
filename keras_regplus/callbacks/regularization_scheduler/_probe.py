"""What stands in for a scheduled part while a model is verified, and keeps what it computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from keras_regplus.clock import step_context, traces
from keras_regplus.clock.clock import Clock, Position
from keras_regplus.clock.model_parts import Site
from keras_regplus.clock.variables import number_of

__all__ = ["PartCheck", "Probe"]

CheckVerdict = Literal[
    "exact", "frozen", "wrong", "never computed", "not in the loss", "not observable"
]


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


class Probe(keras.regularizers.Regularizer):
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
                self._reference = number_of(self._original(self.site.owner))

    def _store(self, value: Any, reference: Any) -> None:
        # A step may compute it again, from weights that it has moved meanwhile.
        if np.isnan(self._stored[0]):
            self._stored = [number_of(value), number_of(reference)]

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
