"""The contract table: one row per public class, with constructor calls and bad values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_regplus import callbacks, diagnosis, histograms, layers, plots, regularizers, schedules
from keras_regplus.testing import FrozenFit

NAN, INF = float("nan"), float("inf")


def formula(x: Any) -> Any:
    return x


def two_arguments(x: Any, y: Any) -> Any:
    return x


STRENGTHS = [-0.1, NAN, INF, "0.1", None, True, [0.1]]
FACTORS = [*STRENGTHS, 1e39]
COUNTS = [0, -1, 1.5, NAN, INF, "ten", None, True]
TIMES = [*COUNTS, 2**31]
COOLDOWNS = [-1, 1.5, NAN, "ten", None]
SWITCHES = ["yes", 2, None]
UNITS = ["steps", "batch", None, 1]
BOUNDARIES = [[], [0], [2**31], [-1], [1.5], [NAN], ["ten"], [True], [3, 3], [4, 3], 3, "34", None]
SCHEDULES = [
    0.5,
    "linear",
    "l2",
    two_arguments,
    keras.regularizers.L2(0.1),
    schedules.LinearWarmup,
]

WARM = schedules.LinearWarmup(4)
WARM_EPOCHS = schedules.LinearWarmup(2, "epoch")
COSINE = keras.optimizers.schedules.CosineDecay(1.0, decay_steps=10)
NO_PARTS = [None, *SCHEDULES]
PART_LISTS = [[], WARM, None, "linear", {}, [WARM, WARM_EPOCHS], *([WARM, bad] for bad in NO_PARTS)]

DROP_BLOCK = {
    "rate": [*STRENGTHS, 1.1],
    "schedule": SCHEDULES,
    "exact_rate": SWITCHES,
    "shared_mask": SWITCHES,
    "data_format": ["channels", "NCHW", 1],
}


@dataclass(frozen=True)
class Subject:
    """One public class; `exempt` gives the reason for each argument without bad values.

    What trains models takes the last of the calls every day: it should be the fullest.
    """

    cls: type
    kind: str
    calls: Sequence[Mapping[str, Any]] = ()
    bad: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    exempt: Mapping[str, str] = field(default_factory=dict)
    input_shape: tuple[int, ...] = (6,)


SUBJECTS = [
    Subject(
        schedules.Constant,
        "schedule",
        calls=[{}, {"value": 0.5}],
        bad={"value": FACTORS},
    ),
    Subject(
        schedules.LinearWarmup,
        "schedule",
        calls=[{"duration": 10}, {"duration": 3, "unit": "epoch"}],
        bad={"duration": TIMES, "unit": UNITS},
    ),
    Subject(
        schedules.Linear,
        "schedule",
        calls=[{"duration": 3, "start": 0.5, "end": 2.0, "unit": "epoch"}],
        bad={"duration": TIMES, "start": FACTORS, "end": FACTORS, "unit": UNITS},
    ),
    Subject(
        schedules.Polynomial,
        "schedule",
        calls=[{"duration": 10}, {"duration": 3, "start": 1.0, "end": 0.2, "power": 0.5}],
        bad={
            "duration": TIMES,
            "start": FACTORS,
            "end": FACTORS,
            "power": [*STRENGTHS, 0.0],
            "unit": UNITS,
        },
    ),
    Subject(
        schedules.Cosine,
        "schedule",
        calls=[{"duration": 3}],
        bad={"duration": TIMES, "start": FACTORS, "end": FACTORS, "unit": UNITS},
    ),
    Subject(
        schedules.Exponential,
        "schedule",
        calls=[{"duration": 3}],
        bad={
            "duration": TIMES,
            "start": [*FACTORS, 0.0],
            "end": [*FACTORS, 0.0],
            "unit": UNITS,
        },
    ),
    Subject(
        schedules.Cyclic,
        "schedule",
        calls=[{"duration": 3}],
        bad={"duration": [*TIMES, 1], "start": FACTORS, "end": FACTORS, "unit": UNITS},
    ),
    Subject(
        schedules.Piecewise,
        "schedule",
        calls=[{"boundaries": [1, 3], "values": (0.0, 0.5, 2.0)}],
        bad={
            "boundaries": BOUNDARIES,
            "values": [
                [],
                [0.0, 1.0],
                [0.0] * 4,
                None,
                1.0,
                "012",
                *([0.0, 0.5, bad] for bad in FACTORS),
            ],
            "unit": UNITS,
        },
    ),
    Subject(
        schedules.Join,
        "schedule",
        calls=[
            {"schedules": [WARM, COSINE, schedules.Constant()], "boundaries": (1, 3)},
            {"schedules": (schedules.Constant(0.5), WARM_EPOCHS), "boundaries": [1]},
        ],
        bad={
            "schedules": [*PART_LISTS, [WARM, WARM], [WARM] * 4, [schedules.Constant()] * 3],
            "boundaries": BOUNDARIES,
        },
    ),
    Subject(
        schedules.Product,
        "schedule",
        calls=[{"schedules": (WARM_EPOCHS,)}, {"schedules": [WARM, COSINE]}],
        bad={"schedules": PART_LISTS},
    ),
    Subject(
        schedules.Clip,
        "schedule",
        calls=[
            {"schedule": schedules.Product([WARM, COSINE]), "minimum": 0.25},
            {"schedule": COSINE, "maximum": 0.5},
        ],
        bad={
            "schedule": NO_PARTS,
            "minimum": FACTORS,
            "maximum": [*FACTORS, 0.1],
        },
    ),
    Subject(
        regularizers.Scheduled,
        "regularizer",
        calls=[
            {"regularizer": keras.regularizers.L1(0.1), "schedule": WARM},
            {"regularizer": "l2", "schedule": COSINE},
            {"regularizer": keras.regularizers.L2(0.1), "schedule": WARM_EPOCHS},
        ],
        bad={
            "regularizer": [
                None,
                5,
                formula,
                keras.regularizers.L2,
                WARM,
                regularizers.ScheduledL2(0.1, WARM),
            ],
            "schedule": SCHEDULES,
        },
    ),
    Subject(
        regularizers.ScheduledL1,
        "regularizer",
        calls=[{"l1": 1e-4}, {"l1": 0.1, "schedule": WARM}],
        bad={"l1": STRENGTHS, "schedule": SCHEDULES},
    ),
    Subject(
        regularizers.ScheduledL2,
        "regularizer",
        calls=[{"l2": 1e-4}, {"l2": 0.1, "schedule": WARM_EPOCHS}, {"l2": 0.1, "schedule": COSINE}],
        bad={"l2": STRENGTHS, "schedule": SCHEDULES},
    ),
    Subject(
        regularizers.ScheduledL1L2,
        "regularizer",
        calls=[{"l1": 0.1}, {"l1": 0.1, "l2": 0.2, "schedule": WARM}],
        bad={"l1": STRENGTHS, "l2": STRENGTHS, "schedule": SCHEDULES},
    ),
    Subject(
        regularizers.WarmupL1L2,
        "regularizer",
        calls=[{"l2": 0.1}, {"l1": 0.1, "l2": 0.2, "warmup": 3, "unit": "epoch"}],
        bad={"l1": STRENGTHS, "l2": STRENGTHS, "warmup": COUNTS, "unit": UNITS},
    ),
    Subject(
        layers.ScheduledDropout,
        "layer",
        calls=[
            {"rate": 0.5},
            {"rate": 0.5, "schedule": WARM, "noise_shape": (None, 1), "seed": 3},
            {"rate": 0.0, "schedule": WARM_EPOCHS},
            {"rate": 0.2, "schedule": COSINE, "name": "drop"},
        ],
        bad={
            "rate": [*STRENGTHS, 1.1],
            "schedule": SCHEDULES,
            "noise_shape": ["wide", (0,), (1.5,), (None, -1), 3],
        },
        exempt={"seed": "Keras checks it"},
    ),
    Subject(
        layers.ScheduledGaussianNoise,
        "layer",
        calls=[{"stddev": 0.1}, {"stddev": 0}, {"stddev": 2.0, "schedule": WARM, "seed": 3}],
        bad={"stddev": STRENGTHS, "schedule": SCHEDULES},
        exempt={"seed": "Keras checks it"},
    ),
    Subject(
        layers.DropPath,
        "layer",
        calls=[
            {"rate": 0.5},
            {"rate": 0.0, "schedule": WARM_EPOCHS},
            {"rate": 0.2, "schedule": COSINE, "per": "batch", "scale_by_keep": False, "seed": 3},
        ],
        bad={
            "rate": [*STRENGTHS, 1.1],
            "schedule": SCHEDULES,
            "per": ["row", None, 1],
            "scale_by_keep": SWITCHES,
        },
        exempt={"seed": "Keras checks it"},
    ),
    Subject(
        layers.DropConnect,
        "layer",
        calls=[
            {"layer": keras.layers.Dense(5), "rate": 0.5},
            {"layer": keras.layers.Dense(5), "rate": 0, "schedule": WARM_EPOCHS, "seed": 3},
            {"layer": keras.layers.EinsumDense("ab,bc->ac", 4), "rate": 0.2, "schedule": WARM},
        ],
        bad={
            "layer": [
                None,
                5,
                "dense",
                keras.layers.Dense,
                keras.layers.BatchNormalization(),
                keras.layers.Conv2DTranspose(3, 2),
                keras.layers.LSTM(3),
                layers.DropConnect(keras.layers.Dense(5), 0.5),
            ],
            "rate": [*STRENGTHS, 1.1],
            "schedule": SCHEDULES,
        },
        exempt={"seed": "Keras checks it"},
    ),
    Subject(
        layers.DropBlock1D,
        "layer",
        calls=[
            {"rate": 0.5, "block_size": 3},
            {"rate": 0.5, "block_size": (9,), "schedule": WARM, "shared_mask": True, "seed": 3},
        ],
        bad={**DROP_BLOCK, "block_size": [*COUNTS, (), (2, 2), (0,), "2"]},
        exempt={"seed": "Keras checks it"},
        input_shape=(6, 2),
    ),
    Subject(
        layers.DropBlock2D,
        "layer",
        calls=[
            {"rate": 0.5, "block_size": 3},
            {"rate": 0.0, "block_size": [2, 9], "schedule": WARM_EPOCHS, "exact_rate": True},
            {"rate": 0.2, "block_size": 2, "schedule": COSINE, "data_format": "channels_first"},
        ],
        bad={**DROP_BLOCK, "block_size": [*COUNTS, (2,), (2, 2, 2), (2, 0), (2, None), "22"]},
        exempt={"seed": "Keras checks it"},
        input_shape=(6, 5, 2),
    ),
    Subject(
        layers.DropBlock3D,
        "layer",
        calls=[
            {"rate": 0.5, "block_size": (1, 2, 3), "schedule": WARM, "exact_rate": True},
        ],
        bad={**DROP_BLOCK, "block_size": [*COUNTS, (2, 2), (2, 2, 0), (2, 2, True)]},
        exempt={"seed": "Keras checks it"},
        input_shape=(3, 4, 5, 2),
    ),
    Subject(
        callbacks.RegularizationScheduler,
        "callback",
        calls=[{}, {"log": False}, {"per_layer": True}],
        bad={"log": [formula, "nonsense", 5], "per_layer": SWITCHES},
    ),
    Subject(
        callbacks.OverfittingDetector,
        "callback",
        calls=[
            {},
            {"verbose": 0},
            {"monitor": "val_loss", "mode": "min", "start_from_epoch": 1},
            {"monitor": ["loss"], "restore_best_weights": True, "best_weights": "disk"},
            {"state_file": "state.json", "restore_best_weights": True, "best_by": "smooth"},
        ],
        bad={
            "monitor": [5, [], ["loss", 5]],
            "mode": ["up", None, 1],
            "action": ["explode", 5, None, ["stop", 5], callbacks.actions.RaiseDropout],
            "restore_best_weights": SWITCHES,
            "start_from_epoch": [-1, 1.5, NAN, "ten", None],
            "criterion": [5, "trendy", object()],
            "combine": ["most", None],
            "train_probe": [5, "data", [1, 2], (1,)],
            "best_by": ["mean", None],
            "best_weights": ["cloud", None],
            "state_file": [5, "state.txt", "gs://bucket/state.json"],
            "verbose": [3, -1, "loud", None],
        },
    ),
    Subject(
        callbacks.EpochDots,
        "callback",
        calls=[
            {},
            {"report_every": 2, "dot_every": 2},
            {"metrics": ["loss"], "digits": 3, "times": True, "summary": True, "wrap": True},
            {"report_seconds": 60, "summary": True},
        ],
        bad={
            "report_every": COUNTS,
            "dot_every": COUNTS,
            "detector": [5, "detector", callbacks.OverfittingDetector],
            "metrics": [5, [], "(", ["loss", "("], ["loss", 5], b"loss"],
            "digits": [bad for bad in COUNTS if bad is not None],
            "report_seconds": [-1, NAN, INF, "60", True, [60]],
            "times": SWITCHES,
            "summary": SWITCHES,
            "wrap": SWITCHES,
            "file": [5, "", ".", ["run.log"], b"run.log"],
        },
    ),
    Subject(
        callbacks.WeightHistogram,
        "callback",
        calls=[
            {},
            {"log_dir": "elsewhere", "include": "kernel", "buckets": 5},
            {"every_steps": 2, "scalars": ["norm"], "metrics": True, "sample_size": 3},
        ],
        bad={
            "log_dir": [5, None, ["logs"]],
            "histogram_freq": COUNTS,
            "every_steps": [bad for bad in COUNTS if bad is not None],
            "unit": ["batch", 1],
            "include": [5, "(", int, ["kernel", 5]],
            "exclude": [5, "(", int],
            "buckets": COUNTS,
            "scalars": [None, 5, "mean", ["median"], [5]],
            "metrics": SWITCHES,
            "sample_size": [bad for bad in COUNTS if bad is not None],
            "model_name": SWITCHES,
        },
    ),
    Subject(
        callbacks.actions.Action,
        "other",
        calls=[{}, {"cooldown": 0}],
        bad={"cooldown": COOLDOWNS, "undo_when_healthy": SWITCHES},
    ),
    Subject(
        callbacks.actions.ReduceLearningRate,
        "other",
        calls=[{}, {"factor": 0.1}],
        bad={
            "factor": [0, 1, -0.5, NAN, "half"],
            "cooldown": COOLDOWNS,
            "undo_when_healthy": SWITCHES,
        },
    ),
    Subject(
        callbacks.actions.RaiseRegularization,
        "other",
        calls=[{}, {"factor": 3, "limit": 9}],
        bad={
            "factor": [1, 0.5, NAN, INF, "double"],
            "limit": [0.5, NAN, INF, None],
            "cooldown": COOLDOWNS,
            "undo_when_healthy": SWITCHES,
        },
    ),
    Subject(
        callbacks.actions.RaiseDropout,
        "other",
        calls=[{}, {"by": 0.05, "limit": 0.5}],
        bad={
            "by": [0, -0.1, 1.5, NAN, "more"],
            "limit": [0, -0.1, 1.5, NAN, None],
            "cooldown": COOLDOWNS,
            "undo_when_healthy": SWITCHES,
        },
    ),
    Subject(
        diagnosis.TrendTracker,
        "other",
        calls=[{}, {"mode": "max"}],
        bad={"mode": ["auto", "up", None, 1]},
    ),
    Subject(
        diagnosis.GL,
        "other",
        calls=[{}, {"alpha": 2, "mode": "max"}],
        bad={"alpha": [0, -1, NAN, INF, "five"], "mode": ["auto", None]},
    ),
    Subject(
        diagnosis.PQ,
        "other",
        calls=[{}, {"alpha": 2, "strip": 3, "mode": "max"}],
        bad={"alpha": [0, -1, NAN, INF, "five"], "strip": COUNTS, "mode": ["auto", None]},
    ),
    Subject(
        diagnosis.UP,
        "other",
        calls=[{}, {"strips": 2, "strip": 3, "mode": "max"}],
        bad={"strips": COUNTS, "strip": COUNTS, "mode": ["auto", None]},
    ),
    Subject(
        plots.HistoryPlotter,
        "other",
        calls=[{}, {"metric": "loss", "smoothing_std": 2.0}],
        bad={"metric": [5, ["loss"]], "smoothing_std": [-1.0, NAN, INF, "wide"]},
    ),
]

# Public classes without constructor calls of a user, each with the reason.
NOT_CONSTRUCTED = {
    schedules.Schedule: "abstract",
    diagnosis.Criterion: "a protocol, for criteria of a user's own",
    diagnosis.Diagnosis: "a result, made by `diagnose` and `TrendTracker`",
    histograms.Histogram: "a result, made by `histogram`",
    histograms.EventWriter: "made by `WeightHistogram`, which has checked the folder",
    FrozenFit: "a result, made by `frozen_fit`",
}
