"""Which trainings are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

Config = dict[str, Any]
Rng = np.random.Generator

# Each configuration is trained so many times, with a seed of its own.
RUNS = 16
CLASSES = ("breast_cancer", "digits", "wine", "iris", "blobs", "moons")
# Lengths in epochs.
SHORT, LONG = (12.0, 150.0), (200.0, 500.0)

# A list is a choice, in which repeating weighs; a tuple is a range, logarithmic; a dict
# goes by the optimiser. Laid out by hand, as one setting a line would hide the families.
# fmt: off
BROAD: Config = {
    "data": ["digits"] * 5 + ["breast_cancer", "iris", "diabetes", "blobs"] * 2
    + ["wine", "moons", "friedman1", "friedman3", "sparse_linear"],
    "d": [10, 20, 20, 40], "noise": [0.1, 0.5, 0.5, 1.0, 2.0],
    "label_noise": [0.0, 0.0, 0.0, 0.1, 0.2, 0.4, 0.4], "val_noise": [True, False],
    "split": ["fixed"] * 9 + ["resampled"], "n": (20, 250), "nval": (40, 450),
    "depth": [1, 1, 1, 2, 2, 2, 3], "width": [8, 16, 16, 16, 32, 32, 64, 128],
    "act": ["relu", "tanh", "gelu"], "opt": ["adam", "sgd", "momentum"],
    "lr": {"adam": (4e-4, 0.01), "sgd": (0.025, 0.15), "momentum": (3e-3, 0.05)},
    "schedule": ["const", "const", "cosine"], "dropout": [0.0, 0.2, 0.5],
    "l2": [0.0, 0.0, 0.0, 1e-4, 1e-3], "batch": [16, 32, 64, 64, 128],
    "epochs": [SHORT, SHORT, SHORT, LONG, LONG],
}
PLAIN = BROAD | {
    "d": [20], "noise": [1.0], "label_noise": [0.0], "val_noise": [True], "split": ["fixed"],
    "act": ["relu"], "schedule": ["const"], "dropout": [0.0], "l2": [0.0],
}
DESIGN: dict[str, Config] = {
    "broad": BROAD | {"weight": 30},
    "late_long": PLAIN | {
        "weight": 6, "data": ["digits", "digits", "moons", "moons", "blobs", "sparse_linear"],
        "d": [20, 40, 60], "noise": [0.3, 2.0], "label_noise": [0.1, 0.2, 0.3], "n": (60, 220),
        "width": [32, 64], "act": ["relu", "tanh"], "opt": ["adam", "sgd"],
        "lr": {"adam": (1e-4, 5e-4), "sgd": (4e-3, 0.03)}, "dropout": [0.0, 0.3],
        "batch": [16, 32], "epochs": LONG,
    },
    "cyclic": PLAIN | {
        "weight": 6, "data": ["digits", "breast_cancer", "blobs", "blobs", "diabetes", "diabetes"],
        "n": (100, 600), "depth": [1, 2], "width": [16, 64], "opt": ["adam"], "lr": (3e-3, 0.015),
        "schedule": ["cyclic", "triangle"], "period": [8, 10, 20], "batch": [32],
    },
    "slow": PLAIN | {
        "weight": 5, "data": ["breast_cancer", "blobs", "digits", "iris", "wine"], "n": (100, 700),
        "depth": [0, 0, 1, 2], "act": ["relu", "tanh"], "opt": ["adam", "sgd"],
        "lr": {"adam": (5e-4, 7e-3), "sgd": (1e-4, 2e-3)}, "batch": [32, 64],
    },
    "drop": PLAIN | {
        "weight": 6, "data": ["friedman1", "friedman1", "blobs", "blobs", "diabetes", "digits"],
        "noise": [0.5, 2.0], "label_noise": [0.0, 0.2], "n": (250, 450), "depth": [1, 2],
        "width": [16, 64], "opt": ["adam", "momentum"],
        "lr": {"adam": (5e-3, 0.02), "momentum": (0.01, 0.08)}, "schedule": ["drop"],
        "l2": [0.0, 1e-3], "batch": [8, 16],
    },
    "spikes": PLAIN | {
        "weight": 5, "data": ["blobs", "blobs", "breast_cancer", "digits", "diabetes"],
        "label_noise": [0.0, 0.1], "n": (100, 600), "depth": [2, 2, 3], "width": [32, 64],
        "opt": ["adam", "adam", "adam", "momentum"],
        "lr": {"adam": (0.015, 0.04), "momentum": (0.05, 0.15)}, "batch": [8, 32],
    },
    "plateau": PLAIN | {
        "weight": 4, "d": [10], "n": (120, 700), "depth": [0], "opt": ["adam", "momentum"],
        "data": ["digits", "iris", "sparse_linear", "diabetes", "breast_cancer", "wine"],
        "lr": {"adam": (8e-3, 0.02), "momentum": (5e-3, 0.02)},
        "schedule": ["cosine", "two_drops"], "l2": (1e-3, 6e-3), "batch": [16, 32],
    },
    "double_descent": PLAIN | {
        "weight": 5, "data": ["two_scale"], "noise": [0.5, 1.0], "n": (80, 160),
        "nval": (250, 350), "depth": [0], "opt": ["sgd"], "lr": (0.015, 0.05), "batch": [16, 50],
        "d1": [30, 50, 80], "d2": [10, 20], "s2": [0.1], "a1": [0.1, 0.2], "a2": [4.0, 8.0],
    },
    "diverge": PLAIN | {
        "weight": 4, "data": ["friedman1", "sparse_linear", "digits", "diabetes"],
        "n": (140, 400), "nval": (100, 100), "depth": [0, 1, 2], "width": [32],
        "opt": ["momentum", "sgd"], "lr": {"momentum": (0.05, 1.0), "sgd": (0.3, 3.0)},
        "batch": [16], "warm": [0.0, 0.5],
    },
    "dropout": PLAIN | {
        "weight": 4, "data": ["digits", "digits", "diabetes", "blobs"], "n": (120, 360),
        "depth": [2], "width": [64], "opt": ["adam", "momentum"], "dropout": [0.4, 0.6],
        "lr": {"adam": (3e-4, 0.01), "momentum": (5e-3, 0.03)}, "batch": [32, 64],
    },
    "late_small": PLAIN | {
        "weight": 4, "data": ["digits", "diabetes", "sparse_linear", "blobs"], "d": [30, 60],
        "noise": [0.3, 1.0], "label_noise": [0.0, 0.1], "n": (70, 360), "depth": [0],
        "opt": ["adam", "sgd"], "lr": {"adam": (1e-3, 0.01), "sgd": (4e-3, 0.02)},
        "batch": [32], "epochs": (90.0, 300.0),
    },
    "wide_noise": PLAIN | {
        "weight": 3, "data": ["digits"], "label_noise": [0.1, 0.2], "n": (250, 450),
        "nval": (300, 300), "depth": [1], "width": [128, 256], "opt": ["adam"],
        "lr": (1e-3, 6e-3), "l2": [0.0, 1e-3], "batch": [64], "epochs": SHORT,
    },
    "small_val": PLAIN | {
        "weight": 3, "data": ["blobs", "diabetes", "digits", "breast_cancer"],
        "label_noise": [0.1, 0.3], "split": ["resampled"], "n": (50, 150), "nval": (12, 40),
        "depth": [2], "width": [64, 128], "opt": ["adam", "momentum"],
        "lr": {"adam": (1e-3, 5e-3), "momentum": (5e-3, 0.03)}, "dropout": [0.0, 0.3],
        "batch": [16],
    },
    "second_descent": PLAIN | {
        "weight": 3, "data": ["digits"], "label_noise": [0.0, 0.2], "n": (400, 1000),
        "depth": [1, 2], "width": [32, 64], "opt": ["adam", "momentum"],
        "lr": {"adam": (0.01, 0.02), "momentum": (0.03, 0.08)}, "schedule": ["two_drops"],
        "l2": [0.0, 1e-3], "batch": [32],
    },
}
# fmt: on


def draw(rng: Rng, what: Any, opt: str = "") -> Any:
    """A value from what a table entry allows."""
    if isinstance(what, dict):
        return draw(rng, what[opt])
    if isinstance(what, list):
        return draw(rng, what[rng.integers(len(what))])
    if isinstance(what, tuple):
        value = float(np.exp(rng.uniform(*np.log(what))))
        return round(value) if what[0] >= 10 else float(f"{value:.4g}")
    return what


def configuration(rng: Rng) -> Config:
    """All settings of one training."""
    family = draw(rng, [name for name, table in DESIGN.items() for _ in range(table["weight"])])
    table = {key: what for key, what in DESIGN[family].items() if key != "weight"}
    opt = draw(rng, table["opt"])
    config = {key: draw(rng, what, opt) for key, what in table.items()} | {"opt": opt}
    if config["schedule"].endswith(("drop", "drops")):
        config |= {"drop_at": round(rng.uniform(0.3, 0.7), 4), "drop_by": draw(rng, [0.03, 0.1])}
    if config["data"] not in CLASSES:
        config["label_noise"] = 0.0
    return {"family": family} | config
