"""The columns of the grid: how a model can be compiled, and what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras

from .models import BACKEND
from .own_steps import OwnComputeLoss, OwnTrainStep


@dataclass(frozen=True)
class Compilation:
    """How a model is compiled; `accumulate` batches make an optimizer update."""

    arguments: dict[str, Any] = field(default_factory=dict)
    accumulate: int = 1
    scaled: bool = False
    skips: bool = False
    policy: str = "float32"
    around: Callable[[Any], Any] = lambda model: model
    rtol: float = 1e-5
    # Of the largest loss: an element type has only so many digits.
    atol: float = 1e-6

    def optimizer(self):
        accumulate = self.accumulate if self.accumulate > 1 else None
        sgd = keras.optimizers.SGD(0.0, gradient_accumulation_steps=accumulate)
        return keras.optimizers.LossScaleOptimizer(sgd) if self.scaled else sgd

    @property
    def group(self):
        return self.arguments.get("steps_per_execution", 1)


# An epoch has 6 steps: the last of two groups of 4 is uneven.
HOW = {
    "default": Compilation(),
    "jit_compile=True": Compilation({"jit_compile": True}),
    "jit_compile=False": Compilation({"jit_compile": False}),
    "run_eagerly=True": Compilation({"run_eagerly": True}),
    "steps_per_execution=3": Compilation({"steps_per_execution": 3}),
    "steps_per_execution=4": Compilation({"steps_per_execution": 4}),
    "accumulation of 2": Compilation(accumulate=2),
    "accumulation of 3": Compilation(accumulate=3),
    "accumulation of 2, steps_per_execution=4": Compilation(
        {"steps_per_execution": 4}, accumulate=2
    ),
    "LossScaleOptimizer": Compilation(scaled=True),
    "LossScaleOptimizer, accumulation of 2": Compilation(scaled=True, accumulate=2),
    "LossScaleOptimizer, a step skipped": Compilation(scaled=True, skips=True),
    "mixed_float16": Compilation(policy="mixed_float16", rtol=3e-3, atol=3e-3),
    "mixed_bfloat16": Compilation(policy="mixed_bfloat16", rtol=1e-2, atol=1e-2),
    "own train_step": Compilation(around=OwnTrainStep),
    "own compute_loss": Compilation(around=OwnComputeLoss),
}

REASONS = {
    "K": "Keras itself refuses `steps_per_execution` above 1 on torch (ValueError).",
    "A": "JAX itself has no float16 attention on a CPU (ValueError).",
    "C": "`torch.compile` takes half a minute and more for the smallest model, with plain Keras "
    "too: two places stand for all.",
    "R": "Without a compiled step JAX compiles each call of a recurrent layer anew, with plain "
    "Keras too: `LSTM` stands for all.",
    "S": "The step is the user's own, and so is scaling its losses; no other code of ours runs "
    "than in the first columns.",
}
SCALED_OR_OWN = [
    how
    for how, column in HOW.items()
    if column.scaled or column.policy == "mixed_float16" or how.startswith("own ")
]
COMPILED_BY_TORCH = ("Sequential", "model in a model")


def reason_against(where: str, how: str, backend: str = BACKEND) -> str | None:
    """The key of the reason why a cell is left out, or None."""
    if where == "GAN with two optimizers" and how in SCALED_OR_OWN:
        return "S"
    if backend == "torch":
        return _reason_on_torch(where, how)
    if backend == "jax":
        return _reason_on_jax(where, how)
    return None


def _reason_on_torch(where: str, how: str) -> str | None:
    if HOW[how].group > 1:
        return "K"
    return "C" if how == "jit_compile=True" and where not in COMPILED_BY_TORCH else None


def _reason_on_jax(where: str, how: str) -> str | None:
    if (where, how) == ("MultiHeadAttention", "mixed_float16"):
        return "A"
    uncompiled = how in ("jit_compile=False", "run_eagerly=True")
    return "R" if uncompiled and where in ("GRU", "Bidirectional") else None
