"""The loss without its penalties, and the penalties, accumulated in the compiled step.

What Keras computes is observed, never changed: the compiled loss leaves a note of
its value, and so does each penalty that Keras adds to it. Sums of both, weighted by
the batch size as Keras weights its own loss, ride beside the clock; they are no
metrics and no weights.

Private names of Keras used here, tried with 3.12.4 and 3.15.1: `Trainer._compile_loss`,
`Trainer._aggregate_additional_loss`,
`keras.src.losses.loss.unscale_loss_for_distribution`.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_regplus._warnings import warn
from keras_regplus.clock import step_context, wiring
from keras_regplus.clock.clock import Clock, hidden_variable

__all__ = ["LossParts"]

_MOST_PENDING = 128  # steps; only their scalars are held


class _Record:
    """What one call of `compute_loss` was made of."""

    def __init__(self) -> None:
        self.data: Any = None
        self.penalties: list[Any] = []


class LossParts:
    """`data_loss` and `penalty` of a model, summed over an epoch.

    `means` gives them; None for each that the model's own training step does not let us
    see.
    """

    def __init__(self, model: keras.Model, clock: Clock):
        self.clock = clock
        self._broken = False
        # Sums of [data loss, penalty, 1], each times the batch size, and what rounding
        # took from them: plain float32 sums drift in long epochs.
        self._sums = hidden_variable(
            model,
            "sums",
            np.zeros((2, 3)),
            "float32",
            aggregation="sum",
            synchronization="on_read",
        )
        self._has_data = False
        self._pending: list[tuple[Any, int]] = []  # steps on torch that are not in the sums yet

    def observe(self, model: keras.Model) -> None:
        """Put the observers in place, where they are not yet."""

        def compute_loss(original: Callable) -> Callable:
            # A user's own `compute_loss` may take what it likes.
            def run(*args: Any, **kwargs: Any) -> Any:
                record = self._begin(model)
                total = original(*args, **kwargs)
                if record is not None:
                    self._end(model, record, total, (*args, kwargs.get("x"), kwargs))
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
                self._sums.assign(np.zeros((2, 3), "float32"))
                return original(*args, **kwargs)

            return run

        wiring.wrap(model, "compute_loss", "loss_parts", compute_loss)
        wiring.wrap(model, "_aggregate_additional_loss", "loss_parts", aggregate)
        wiring.wrap(model, "reset_metrics", "loss_parts", reset_metrics)

    def means(self) -> dict[str, float | None]:
        """The batch-weighted means since the metrics were last reset."""
        if self._pending and not self._broken:
            self._guarded(self._add_pending)
        if self._broken:
            return {}
        # Added up in float64: the two rows only make sense together.
        sums, lost = ops.convert_to_numpy(self._sums).astype("float64")
        data, penalty, count = sums - lost
        if not count:
            return {"data_loss": None, "penalty": None}
        return {
            "data_loss": data / count if self._has_data else None,
            "penalty": penalty / count,
        }

    # A training must not die of our bookkeeping, whatever a user's loss returns and
    # whatever name of Keras's has moved.

    def _begin(self, model: keras.Model) -> _Record | None:
        context = step_context.current_context()
        if context is None or context.clock is not self.clock or self._broken:
            return None
        if step_context.in_symbolic_scope():
            return None
        self._guarded(_note_compiled_loss, model)
        context.record = None if self._broken else _Record()
        return context.record

    def _end(self, model: keras.Model, record: _Record, total: Any, given: Any) -> None:
        context = step_context.current_context()
        if context is not None:
            context.record = None
        self._guarded(self._add_step, model, record, total, given)

    def _guarded(self, do: Callable[..., None], *arguments: Any) -> None:
        try:
            do(*arguments)
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._broken = True
        warn(
            "RegularizationScheduler leaves `data_loss` and `penalty` out of the logs: they "
            f"could not be taken from this model's loss ({type(error).__name__}: {error}). "
            "Training goes on; pass `log=False` to silence this."
        )

    def _add_step(self, model: keras.Model, record: _Record, total: Any, given: Any) -> None:
        data, penalties = _parts(model, record, total)
        self._has_data = data is not None
        size = _batch_size(given)
        if not step_context.runs_eagerly_on_torch():
            self._accumulate(_weighted(data, penalties, size))
            return
        self._pending.append((_detached(data, penalties), size))
        if len(self._pending) == _MOST_PENDING:
            self._add_pending()

    def _add_pending(self) -> None:
        """Add the steps that were put aside: one at a time they would slow an eager step."""
        added = _weighted_sum(self._pending)
        self._pending.clear()
        self._accumulate(added)

    def _accumulate(self, values: Any) -> None:
        sums, lost = ops.unstack(ops.convert_to_tensor(self._sums), 2)
        # Kahan's sum: the rounding error of each addition is carried to the next.
        added = values - lost
        total = sums + added
        self._sums.assign(ops.stack([total, (total - sums) - added]))


def _open_record() -> _Record | None:
    context = step_context.current_context()
    return None if context is None else context.record


def _parts(model: keras.Model, record: _Record, total: Any) -> tuple[Any, list[Any]]:
    """Data loss (None where there is none) and penalties of one step."""
    if type(model).compute_loss is keras.Model.compute_loss:
        return record.data, record.penalties
    # A loss of the user's own may add anything: what is not a penalty is data.
    penalties = record.penalties or [ops.sum(loss) for loss in model.losses]
    return total - _sum(penalties), penalties


def _weighted(data: Any, penalties: list[Any], size: Any) -> Any:
    """Data loss, penalty and 1, each times the batch size."""
    data = ops.zeros(()) if data is None else ops.cast(_unscaled(data), "float32")
    values = ops.stack([data, _unscaled(_sum(penalties)), ops.ones(())])
    return ops.stop_gradient(values) * ops.cast(size, "float32")


def _sum(scalars: list[Any]) -> Any:
    if not scalars:
        return ops.zeros(())
    return ops.sum(ops.stack([ops.cast(scalar, "float32") for scalar in scalars]))


def _unscaled(value: Any) -> Any:
    from keras.src.losses.loss import unscale_loss_for_distribution

    return unscale_loss_for_distribution(value)


def _detached(data: Any, penalties: list[Any]) -> Any:
    """Data loss and penalties of one step on torch, in one operation and with no gradient."""
    import torch

    with torch.no_grad():
        return torch.stack([penalties[0].new_zeros(()) if data is None else data, *penalties])


def _weighted_sum(steps: list[tuple[Any, int]]) -> Any:
    """What `_weighted` gives, summed over several steps on torch."""
    import torch

    # A step may have more penalties than another.
    rows = torch.nn.utils.rnn.pad_sequence([row.float() for row, _ in steps], batch_first=True)
    sizes = torch.tensor([size for _, size in steps], dtype=rows.dtype, device=rows.device)
    rows = rows * sizes[:, None]
    return torch.stack([rows[:, 0].sum(), rows[:, 1:].sum(), sizes.sum()])


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
