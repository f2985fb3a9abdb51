"""What the logs of each model of `user_steps` must say, told without the package."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from . import user_steps as models
from .models import BACKEND

# Why `data_loss` and `penalty` are not in the logs, each as the one warning must say it.
NO_COMPUTE_LOSS = r"`data_loss`.*compute_loss"
LEAVES_OUT = r"`data_loss`.*compute_loss.*leaves.*out"
NOT_TOLD_APART = r"`data_loss`.*told apart"
SEVERAL_LOSSES = r"`data_loss`.*(several|more than one|more than once|twice)"


def never(path):
    """What the warning about a part says that no step adds to the loss."""
    return rf"{re.escape(path)}\b.*(never computed|not in the loss|never adds)"


KERNEL = "hidden/kernel"
SQUARES = 12.0  # of the kernel with a penalty, which holds ones
MSE: dict[str, Any] = {"loss": "mse", "metrics": ["mae"]}
ONLY_LOSS: dict[str, Any] = {"loss": "mse"}
NOTHING: dict[str, Any] = {}


class Row(NamedTuple):
    """A model, and what is true of it.

    `squares` is the sum of squares of all weights with a penalty, as far as it is in
    the loss; `val_squares`, where an evaluation has more or less of it. `added` is
    what else the model's layers add, by `add_loss`. `measured` says whether `data_loss`
    and `penalty` can be, in training and in an evaluation. `strengths` and `rates` are the
    ends of the paths that the logs know; `warns` has a pattern for each warning.
    """

    build: Callable[[Any], keras.Model]
    compiled: dict[str, Any] = NOTHING
    squares: float = SQUARES
    val_squares: float | None = None
    added: float = 0.0
    measured: tuple[bool, bool] = (True, True)
    strengths: tuple[str, ...] = (KERNEL,)
    rates: tuple[str, ...] = ()
    warns: tuple[str, ...] = ()
    has_targets: bool = True
    # Keras's guides take the mean over batches, whatever the size of the last.
    mean_over_batches: bool = False
    floatx: str = "float32"
    rtol: float = 1e-5


# Nothing in training; Keras's own evaluation has a loss that is made of both.
ONLY_EVALUATED = (False, True)
NEITHER = (False, False)

ROWS = {
    # Own training steps.
    "step of the guide": Row(models.GuideStep, MSE, mean_over_batches=True),
    "step with a loss of its own": Row(
        models.AddsOwnLoss, ONLY_LOSS, measured=ONLY_EVALUATED, warns=(NO_COMPUTE_LOSS,)
    ),
    "step that never adds penalties": Row(
        models.NeverAdds,
        ONLY_LOSS,
        squares=0.0,
        val_squares=SQUARES,
        measured=ONLY_EVALUATED,
        strengths=(),
        warns=(NO_COMPUTE_LOSS, never(KERNEL)),
    ),
    "step that never adds penalties, with a dropout": Row(
        models.NeverAddsWithDropout,
        ONLY_LOSS,
        squares=0.0,
        val_squares=SQUARES,
        measured=ONLY_EVALUATED,
        strengths=(),
        rates=("drop",),
        warns=(NO_COMPUTE_LOSS, never(KERNEL)),
    ),
    "loss among the metrics (BayesFlow)": Row(
        models.LossAmongMetrics,
        squares=0.0,
        measured=NEITHER,
        strengths=(),
        warns=(NO_COMPUTE_LOSS, never(KERNEL)),
    ),
    "VAE": Row(
        models.Vae,
        measured=NEITHER,
        warns=(NO_COMPUTE_LOSS,),
        has_targets=False,
        mean_over_batches=True,
    ),
    "sharpness-aware (SAM)": Row(
        models.Sharpness, ONLY_LOSS, measured=ONLY_EVALUATED, warns=(SEVERAL_LOSSES,)
    ),
    "gradient penalty in a step": Row(
        models.GradientPenalty, ONLY_LOSS, measured=ONLY_EVALUATED, warns=(NO_COMPUTE_LOSS,)
    ),
    # Own `compute_loss`.
    "compute_loss adds all": Row(models.AddsAll),
    "compute_loss leaves them out": Row(
        models.AddsNone,
        squares=0.0,
        measured=NEITHER,
        strengths=(),
        warns=(LEAVES_OUT, never(KERNEL)),
    ),
    "compute_loss adds half": Row(models.AddsHalf, squares=SQUARES / 2),
    "compute_loss adds an inner model's": Row(
        models.AddsInner, measured=NEITHER, warns=(NOT_TOLD_APART,)
    ),
    "compute_loss weighs them one by one": Row(
        models.AddsOneByOne,
        squares=12.0 + 9.0 / 4,
        measured=NEITHER,
        strengths=("first/kernel",),
        warns=(NOT_TOLD_APART,),
    ),
    "own term beside Keras's loss": Row(models.OwnTermBesideKeras, MSE),
    "share of Keras's loss": Row(models.ShareOfKeras, MSE, squares=SQUARES * 0.3),
    "gradient penalty in compute_loss": Row(models.SlopeBesideKeras, MSE),
    "contrastive": Row(models.Contrastive, has_targets=False),
    "distillation as in the guide": Row(
        models.Distiller,
        squares=0.0,
        measured=NEITHER,
        strengths=(),
        warns=(LEAVES_OUT, never(KERNEL)),
    ),
    "distillation that adds penalties": Row(models.DistillerThatAdds),
    "compute_metrics": Row(models.OwnMetrics, MSE),
    # Keras's own step and loss.
    "several outputs": Row(
        models.two_outputs,
        {
            "loss": {"near": "mse", "far": "mae"},
            "loss_weights": {"near": 1.0, "far": 0.3},
            "metrics": {"near": ["mae"]},
        },
    ),
    "add_loss beside it": Row(models.adds_loss, MSE, added=0.01),
    "unused dropout": Row(models.unused_dropout, MSE, warns=(never("drop"),)),
    "unused activity penalty": Row(models.unused_activity, MSE, warns=(never("extra/activity"),)),
    "unused kernel": Row(models.unused_kernel, MSE, squares=2 * SQUARES),
    "unused layer without weights": Row(models.unused_unbuilt, MSE),
    "frozen layer": Row(models.frozen_layer, MSE, squares=9.0),
    "all layers frozen": Row(models.all_frozen, MSE, squares=0.0, strengths=()),
    "LoRA": Row(models.lora, MSE, squares=8.0 + 6.0, strengths=("hidden/lora_kernel_a",)),
    # Element types.
    "float64 everywhere": Row(models.Net, MSE, floatx="float64"),
    "float64 everywhere, compute_loss": Row(models.AddsHalf, squares=6.0, floatx="float64"),
}
for name, rtol in (("float64", 1e-5), ("float16", 3e-3)):
    ROWS[f"loss object in {name}"] = Row(
        models.Net, {"loss": keras.losses.MeanSquaredError(dtype=name)}, rtol=rtol
    )
    ROWS[f"compute_loss in {name}"] = Row(functools.partial(models.LossIn, dtype=name), rtol=rtol)
if BACKEND != "tensorflow":
    # There Keras itself cannot add this penalty to the compiled loss (TypeError).
    ROWS["float64 layers"] = Row(models.in_double, MSE)
