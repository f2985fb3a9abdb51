"""The loss without its penalties, and the penalties, accumulated in the compiled step.

What Keras computes is observed, never changed: the compiled loss leaves a note of its
value, and so does each penalty that Keras adds to it. Their sums, and that of what
`compute_loss` returned, are weighted by the batch size as Keras weights its own loss. Where
they do not add up, nothing is told.

Private names of Keras used here, tried with 3.12.4 and 3.15.1: `Trainer._compile_loss`,
`Trainer._aggregate_additional_loss`,
`keras.src.losses.loss.unscale_loss_for_distribution`.
"""

from __future__ import annotations

import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_regplus.clock import loss_share, step_context, traces, wiring
from keras_regplus.clock.clock import Clock
from keras_regplus.clock.loss_share import LossShare

__all__ = ["LossParts"]

_MOST_PENDING = 128  # steps; only their scalars are held


class _Record:
    """What one call of `compute_loss` was made of."""

    def __init__(self) -> None:
        self.data: Any = None
        self.penalties: list[Any] = []


class LossParts:
    """`data_loss` and `penalty` of a model, summed over an epoch.

    `means` gives them where they are measured; `reason` says why not.
    """

    def __init__(self, model: keras.Model, clock: Clock):
        self.clock = clock
        self.reason = ""
        self._error = ""
        self._has_data = False
        self._is_half = False
        self._several: set[str] = set()  # phases whose steps compute several losses
        self._has_own_loss = False
        self._given: Any = None
        self._share: LossShare | None = None
        self._add: Callable[..., None] = self._add_step
        self._pending: list[tuple[Any, int]] = []  # steps on torch that are not in the sums yet

    def observe(self, model: keras.Model) -> None:
        """Put the observers in place, where they are not yet."""
        self._add = traces.kept_from_compilers(self._add_step, model)

        def compute_loss(original: Callable) -> Callable:
            if getattr(original, "__func__", None) is not keras.Model.compute_loss:
                self._has_own_loss, self._share = True, None

            # A user's own `compute_loss` may take what it likes.
            def run(*args: Any, **kwargs: Any) -> Any:
                record = self._begin(model)
                total = original(*args, **kwargs)
                if record is not None:
                    self._end(model, record, total, args, kwargs)
                return total

            return run

        def aggregate(original: Callable) -> Callable:
            def run(loss: Any) -> Any:
                value = original(loss)
                record = _open_record()
                if record is not None:
                    record.penalties.append(value)
                return value

            return run

        def reset_metrics(original: Callable) -> Callable:
            def run(*args: Any, **kwargs: Any) -> Any:
                self._pending.clear()
                return original(*args, **kwargs)

            return run

        wiring.wrap(model, "compute_loss", "loss_parts", compute_loss)
        wiring.wrap(model, "_aggregate_additional_loss", "loss_parts", aggregate)
        wiring.wrap(model, "reset_metrics", "loss_parts", reset_metrics)

    def means(self, phase: str) -> dict[str, float]:
        """The batch-weighted means since the metrics were last reset, as far as measured."""
        if self._pending and not self._error:
            self._guarded(self._add_pending)
        data, penalty, total, count = self.clock.observations.losses()
        self.reason = self._why_not(phase, count)
        if self.reason:
            return {}
        data, penalty, total = (value / count for value in (data, penalty, total))
        if self._share is not None:
            penalty *= self._share.share
            if not self._adds_up(data, penalty, total, rounding=1e-6):
                data = total - penalty  # with whatever else the own loss adds
        elif not self._has_data:
            self.reason = "the model has no compiled loss"
            return {"penalty": float(penalty)}
        elif not self._adds_up(data, penalty, total):
            self.reason = (
                f"the compiled loss, {data:g}, and the penalties, {penalty:g}, do not add up to "
                f"{total:g}, which `compute_loss` returned"
            )
            return {}
        return {"data_loss": float(data), "penalty": float(penalty)}

    @property
    def penalties_are_unused(self) -> bool:
        """Whether it is certain that the model's own loss leaves its penalties out."""
        return self._share is not None and self._share.unused

    def _why_not(self, phase: str, count: float) -> str:
        """Why the parts of the loss are not known; empty if they are."""
        if self._error:
            return self._error
        if not count:
            return "its step does not call `compute_loss`"
        if phase in self._several:
            return "its step calls `compute_loss` several times"
        if not self._has_own_loss:
            return ""
        if self._share is None:
            model: Any = self.clock.model
            # Not kept: the method holds the model, which must not live on for us.
            compute_loss = wiring.unwrapped(model.compute_loss)
            self._share = loss_share.share_in(model, compute_loss, *self._given)
        return "" if self._share.share is not None else f"its `compute_loss` {self._share.reason}"

    def _adds_up(self, data: float, penalty: float, total: float, rounding: float = 1e-4) -> bool:
        if not self._has_data:
            return False
        rounding = 1e-2 if self._is_half else rounding
        slack = rounding * max(abs(data), abs(penalty), abs(total))
        # NaN and infinity are measured, too.
        return not abs(data + penalty - total) > slack

    # A training must not die of our bookkeeping, whatever a user's loss returns and
    # whatever name of Keras's has moved.

    def _begin(self, model: keras.Model) -> _Record | None:
        context = step_context.current_context()
        if context is None or context.clock is not self.clock or self._error:
            return None
        if step_context.in_symbolic_scope():
            return None
        context.losses_computed += 1
        if context.losses_computed > 1:
            self._several.add("validation" if context.note is None else "train")
        self._guarded(_note_compiled_loss, model)
        context.record = None if self._error else _Record()
        return context.record

    def _end(self, model: keras.Model, record: _Record, total: Any, args: Any, kwargs: Any) -> None:
        context = step_context.current_context()
        if context is not None:
            context.record = None
        self._guarded(self._add, model, record, total, args, kwargs)

    def _guarded(self, do: Callable[..., None], *arguments: Any) -> None:
        try:
            do(*arguments)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(frame.filename).name}:{frame.lineno}"
            said = f"{type(error).__name__}: {error}, at {place}"
            self._error = f"they could not be taken from its loss ({said})"

    def _add_step(
        self, model: keras.Model, record: _Record, total: Any, args: Any, kwargs: Any
    ) -> None:
        self._has_data = record.data is not None
        penalties = record.penalties
        if self._has_own_loss:
            penalties = penalties or _unnoticed_losses(model)
            if self._given is None:
                self._given = [
                    loss_share.given_shapes(each) for each in ((args, kwargs), penalties)
                ]
        size = _batch_size((*args, kwargs.get("x"), kwargs))
        values = [record.data, total, *penalties]
        if step_context.runs_eagerly_on_torch():
            self._pending.append((_detached(values), size))
            if len(self._pending) == _MOST_PENDING:
                self._add_pending()
            return
        self._is_half = "float16" in keras.backend.standardize_dtype(total.dtype)
        self.clock.observations.add_losses(_weighted(record.data, total, penalties, size))

    # Where torch compiles a step, the loss ends a graph: its gradient comes next.
    _add_step._torchdynamo_disable = True  # type: ignore[attr-defined]

    def _add_pending(self) -> None:
        """Add the steps that were put aside: one at a time they would slow an eager step."""
        added = _weighted_sum(self._pending)
        self._pending.clear()
        self.clock.observations.add_losses(added)


def _open_record() -> _Record | None:
    context = step_context.current_context()
    return None if context is None else context.record


def _unnoticed_losses(model: keras.Model) -> list[Any]:
    """`model.losses`, without a note that the step has computed them."""
    context = step_context.current_context()
    if context is None:
        return []
    note, context.note = context.note, None
    try:
        return [ops.sum(loss) for loss in model.losses]
    finally:
        context.note = note


def _weighted(data: Any, total: Any, penalties: list[Any], size: Any) -> Any:
    """Data loss, penalty, total and 1, each times the batch size."""
    scalars = [np.float32(0) if value is None else value for value in (data, total, *penalties)]
    data, total, *penalties = (ops.cast(scalar, "float32") for scalar in scalars)
    penalty = ops.sum(ops.stack(penalties)) if penalties else ops.zeros((), "float32")
    values = ops.stack([_unscaled(data), _unscaled(penalty), _unscaled(total), np.float32(1)])
    return ops.stop_gradient(values) * ops.cast(size, "float32")


def _unscaled(value: Any) -> Any:
    from keras.src.losses.loss import unscale_loss_for_distribution

    return unscale_loss_for_distribution(value)


def _detached(values: list[Any]) -> Any:
    """Data loss, total and penalties of one step on torch, in one operation with no gradient."""
    import torch

    with torch.no_grad():
        data, total, *penalties = values
        scalars = [total.new_zeros(()) if data is None else data, total, *penalties]
        if any(scalar.dtype != total.dtype for scalar in scalars):
            scalars = [scalar.float() for scalar in scalars]
        return torch.stack(scalars)


def _weighted_sum(steps: list[tuple[Any, int]]) -> Any:
    """What `_weighted` gives, summed over several steps on torch."""
    import torch

    # A step may have more penalties than another.
    rows = torch.nn.utils.rnn.pad_sequence([row.float() for row, _ in steps], batch_first=True)
    sizes = torch.tensor([size for _, size in steps], dtype=rows.dtype, device=rows.device)
    rows = rows * sizes[:, None]
    return torch.stack([rows[:, 0].sum(), rows[:, 2:].sum(), rows[:, 1].sum(), sizes.sum()])


def _batch_size(given: Any) -> Any:
    """What Keras weights the loss of a batch with: the size of the first array given."""
    x = given[0]
    if not hasattr(x, "shape"):
        x = next(leaf for leaf in keras.tree.flatten(given) if leaf is not None)
    # TensorFlow may know the size only when the step runs.
    return ops.shape(x)[0] if x.shape[0] is None else x.shape[0]


def _note_compiled_loss(model: keras.Model) -> None:
    """Have the compiled loss leave its value; a recompiled model has a new one."""
    loss = model._compile_loss
    if loss is not None and "call" not in vars(loss):
        loss.call = types.MethodType(_noted_call, loss)


# At module level, so that a copy or a pickle of the loss stays whole.
def _noted_call(loss: Any, *args: Any, **kwargs: Any) -> Any:
    value = type(loss).call(loss, *args, **kwargs)
    record = _open_record()
    if record is not None:
        record.data = value
    return value
