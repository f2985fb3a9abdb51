"""What the steps of a training did, as far as they can leave it: measured, not told.

A compiled step cannot talk to Python. It writes into a variable beside the clock: sums of
the loss in parts, how often each of its traces ran, and the strengths that it used. What a
trace computes is known to Python from the time of tracing. The host reads the variable
once an epoch.

A strength may belong to a function that was compiled inside the step. On TensorFlow such a
function writes into a variable of its own, whichever step runs it. On JAX no value may
leave it, and what is known is that it was traced together with the step, which gives it
the step's own values.
"""

from __future__ import annotations

import weakref
from collections import Counter
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_regplus.clock import traces
from keras_regplus.clock.step_context import StepContext
from keras_regplus.clock.variables import number_of

__all__ = ["Observations", "Use", "UsedByNow"]

_SUMS = (2, 4)
_TRACES = 8  # traces that differ in what they compute; those of other shapes do not
_LOSSES = slice(0, 8)
_RAN = slice(8, 8 + _TRACES)
_SPARE_STRENGTHS = 4  # for parts that cannot be found beforehand

Use = tuple[int, float, bool]
"""A scheduled object, by its identity; one of its base values; whether an `at` ruled it."""


class UsedByNow:
    """A schedule that `now` gives in the steps of a model, as a part that is observed there."""

    def __init__(self, schedule: Any):
        self.schedule = schedule


class Observations:
    """What a model did in its training steps since `reset`.

    `variable` holds from `start` on: sums of data loss, penalty, total loss and 1, each
    times the batch size, and below what rounding took from them; how often each trace
    ran; the strengths that the last steps used.
    """

    variable: keras.Variable

    def __init__(self, strengths: int, start: int):
        self._start = start
        self._capacity = strengths + _SPARE_STRENGTHS
        self._traces: list[dict[Use, int | None]] = []
        self._slots: dict[Any, int] = {}
        self._inner_slots: dict[Any, int] = {}
        self._inner = traces.variable_of_inner_graphs(
            "strengths", np.full(self._capacity, np.nan), "float32"
        )
        self._inside: dict[int, weakref.ref[Any]] = {}
        self._eager: dict[Use, Any] = {}
        self._eager_traced: Counter[Use] = Counter()
        self._eager_steps = 0
        self.parts: dict[int, weakref.ref[Any]] = {}
        """All scheduled objects that a step has computed, by their identity."""

    def initial_values(self) -> np.ndarray:
        """What the variable holds before the first step."""
        strengths = np.full(self._capacity, np.nan)
        return np.concatenate([np.zeros(_RAN.stop), strengths]).astype("float32")

    def note(
        self,
        context: StepContext,
        part: Any,
        base: float,
        key: Any,
        value: Any,
        by_at: bool = False,
    ) -> None:
        """Note in a step that `part` uses `value` for its `base`; equal keys have equal values."""
        use = id(part), base, by_at
        if self._inner is not None and traces.in_inner_graph(context.trace):
            slot = self._slot(self._inner_slots, use)
            if slot is not None:
                held, value = ops.convert_to_tensor(self._inner), ops.cast(value, "float32")
                self._inner.assign(ops.slice_update(held, [slot], ops.reshape(value, (1,))))
        elif traces.belongs_to(value, context.trace):
            context.uses[use] = part, key, value
            return
        self._inside[id(part)] = weakref.ref(part)
        context.uses.setdefault(use, (part, key, None))

    def may_have_computed(self, part: Any) -> bool:
        """Whether a function inside the step was traced for another part that is equal.

        The function takes equal parts for one, and traces it once.
        """
        inside = [each() for each in self._inside.values()]
        return any(each is not part and each == part for each in inside)

    def is_kept(self, use: Use) -> bool:
        """Whether a function inside a step that runs eagerly kept it from an earlier step."""
        return 0 < self._eager_traced[use] < self._eager_steps

    def step_done(self, context: StepContext) -> None:
        """Keep what was noted in a step that ends."""
        if context.trace is not None:
            self.write(self._after_step(self.read(), context))
            return
        self._know(context)
        values = {use: value for use, (_, _, value) in context.uses.items()}
        self._eager.update(values)
        self._eager_traced.update(use for use, value in values.items() if value is None)
        self._eager_steps += 1

    # torch.compile need not look into it.
    step_done._torchdynamo_disable = True  # type: ignore[attr-defined]

    def step_done_in(self, values: Any, context: StepContext) -> Any:
        """The same for a JAX step, whose state holds `values` for the variable."""
        if context.trace is None:
            self.step_done(context)
            return values
        after = self._after_step(values[self._start :], context)
        return ops.concatenate([values[: self._start], after])

    def read(self) -> Any:
        """All that is observed, in a step or on the host."""
        return ops.convert_to_tensor(self.variable)[self._start :]

    def write(self, values: Any) -> None:
        if self._start:
            head = ops.convert_to_tensor(self.variable)[: self._start]
            values = ops.concatenate([head, values])
        self.variable.assign(values)

    def add_losses(self, added: Any) -> None:
        """Add to the sums, in a step or on the host."""
        values = self.read()
        sums, lost = ops.unstack(ops.reshape(values[_LOSSES], _SUMS), 2)
        # Kahan's sum: the rounding error of each addition is carried to the next.
        added = added - lost
        total = sums + added
        self.write(ops.concatenate([total, (total - sums) - added, values[_LOSSES.stop :]]))

    def losses(self) -> np.ndarray:
        """The sums, on the host."""
        # Added up in float64: the two rows only make sense together.
        values = _numbers(self.variable)[self._start :]
        sums, lost = values[_LOSSES].reshape(_SUMS)
        return sums - lost

    def uses(self) -> dict[Use, list[float]]:
        """What was computed since `reset`, with the values of the last steps that can be known."""
        values = _numbers(self.variable)[self._start :]
        strengths = values[_RAN.stop :]
        used: dict[Use, list[float]] = {}
        inner: dict[Use, float] = {}
        for trace, ran in zip(self._traces, values[_RAN], strict=False):
            for use, slot in trace.items() if ran else ():
                used.setdefault(use, []).extend([] if slot is None else [float(strengths[slot])])
        if self._inner is not None:
            held = _numbers(self._inner)
            inner = {use: float(held[slot]) for use, slot in self._inner_slots.items()}
        eager = {use: number_of(value) for use, value in self._eager.items() if value is not None}
        for use, value in self._eager.items():
            # A function inside a step that did not trace it anew has used what it kept.
            if value is not None or self._eager_traced[use] == self._eager_steps:
                used.setdefault(use, [])
        for use, value in (*inner.items(), *eager.items()):
            if not np.isnan(value):
                used.setdefault(use, []).append(value)
        return used

    def steps(self) -> int:
        """How many training steps ran since `reset`."""
        values = _numbers(self.variable)[self._start :]
        return round(float(np.sum(values[_RAN]))) + self._eager_steps

    def reset(self) -> None:
        """Begin anew, on the host."""
        self.write(ops.convert_to_tensor(self.initial_values()))
        if self._inner is not None and self._inner_slots:
            self._inner.assign(np.full(self._capacity, np.nan))
        self._eager.clear()
        self._eager_traced.clear()
        self._eager_steps = 0

    def _after_step(self, values: Any, context: StepContext) -> Any:
        """`values` after a step that computed what was noted in `context`."""
        trace, strengths = self._recorded(context)
        # All replicas write, and the host reads the sum of what they hold.
        share = 1.0 / traces.replicas()
        ran = share * np.eye(_TRACES, dtype="float32")[trace]
        before = values[_RAN.stop :]
        slots = range(len(self._slots))
        used = [share * strengths[i] if i in strengths else before[i] for i in slots]
        new = [ops.stack(used)] if used else []
        return ops.concatenate([values[_LOSSES], values[_RAN] + ran, *new, before[len(used) :]])

    def _recorded(self, context: StepContext) -> tuple[int, dict[int, Any]]:
        """The number of the running trace, and its strengths by their places."""
        self._know(context)
        trace: dict[Use, int | None] = {}
        strengths = {}
        for use, (_, key, value) in context.uses.items():
            trace[use] = slot = None if value is None else self._slot(self._slots, key)
            if slot is not None:
                strengths[slot] = ops.cast(value, "float32")
        if trace in self._traces:
            return self._traces.index(trace), strengths
        if len(self._traces) < _TRACES:
            self._traces.append(trace)
        else:  # too many to tell apart
            self._traces[-1].update(dict.fromkeys(trace))
        return len(self._traces) - 1, strengths

    def _slot(self, slots: dict[Any, int], key: Any) -> int | None:
        if key not in slots and len(slots) == self._capacity:
            return None
        return slots.setdefault(key, len(slots))

    def _know(self, context: StepContext) -> None:
        for part, _, _ in context.uses.values():
            if id(part) not in self.parts:
                self.parts[id(part)] = weakref.ref(part)


def _numbers(variable: keras.Variable) -> np.ndarray:
    return ops.convert_to_numpy(ops.convert_to_tensor(variable)).astype("float64")
