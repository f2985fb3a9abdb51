"""Cases to learn from: scikit-learn's small tables and its generators."""

from __future__ import annotations

import math

import numpy as np
from sklearn import datasets

from benchmarks.detection.histories.design import CLASSES, RUNS, Config, Rng

TABLES = ("breast_cancer", "digits", "wine", "iris", "diabetes")


def two_scale(rng: Rng, c: Config, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Few slow features that matter much, many fast ones that mostly carry noise."""
    x = rng.normal(size=(size, c["d1"] + c["d2"]))
    beta = rng.normal(size=c["d1"] + c["d2"])
    beta[: c["d1"]] *= c["a1"]
    x[:, c["d1"] :] *= c["s2"]
    beta[c["d1"] :] *= c["a2"] / math.sqrt(c["d2"])
    return x, x @ beta + c["noise"] * rng.normal(size=size)


def cases(rng: Rng, c: Config) -> tuple[np.ndarray, np.ndarray]:
    """Features and raw targets, in an order at random."""
    size, state = c["n"] + c["nval"], int(rng.integers(2**31))
    if c["data"] in TABLES:
        x, y = getattr(datasets, f"load_{c['data']}")(return_X_y=True)
    elif c["data"] == "blobs":
        kwargs = {"n_informative": max(4, c["d"] // 3), "n_redundant": 0, "n_classes": 3}
        kwargs |= {"class_sep": 2 / (1 + c["noise"]), "random_state": state}
        x, y = datasets.make_classification(size, c["d"], **kwargs)
    elif c["data"] == "moons":
        x, y = datasets.make_moons(size, noise=c["noise"], random_state=state)
    elif c["data"] == "friedman1":
        x, y = datasets.make_friedman1(size, c["d"], noise=c["noise"], random_state=state)
    elif c["data"] == "friedman3":
        x, y = datasets.make_friedman3(size, noise=c["noise"] / 4, random_state=state)
    elif c["data"] == "sparse_linear":
        x = rng.normal(size=(size, c["d"]))
        y = x[:, :5] @ rng.normal(size=5) + 0.5 * c["noise"] * rng.normal(size=size)
    else:
        x, y = two_scale(rng, c, size)
    order = rng.permutation(len(x))
    return x[order], y[order]


def prepare(rng: Rng, c: Config) -> dict[str, np.ndarray]:
    """Cases, targets of training and validation, and which cases each seed uses."""
    x, y = cases(rng, c)
    c["n"] = min(c["n"], int(0.8 * len(x)))
    c["nval"] = min(c["nval"], len(x) - c["n"])
    used = c["n"] + c["nval"]
    x, y = x[:used], y[:used]
    if c["data"] != "two_scale":  # the scales are the point of it
        x = (x - x.mean(0)) / (x.std(0) + 1e-9)
    if c["data"] in CLASSES:
        count = int(y.max()) + 1
        moved = (y + rng.integers(1, count, used)) % count
        noisy = np.where(rng.random(used) < c["label_noise"], moved, y)
        clean, noisy = np.eye(count)[y], np.eye(count)[noisy]
    else:
        clean = noisy = ((y - y.mean()) / y.std())[:, None]
    rows = np.tile(np.arange(used), (RUNS, 1))
    if c["split"] == "resampled":
        rows = rng.permuted(rows, axis=1)
    return {
        "x": x.astype(np.float32),
        "y": noisy.astype(np.float32),
        "y_val": (noisy if c["val_noise"] else clean).astype(np.float32),
        "rows": rows[:, : c["n"]],
        "rows_val": rows[:, c["n"] :],
    }
