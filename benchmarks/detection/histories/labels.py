"""What is true of a configuration, from all of its runs."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.detection.histories.design import RUNS, Config, Rng


def smooth(curves: np.ndarray) -> np.ndarray:
    """Centred moving average along the last axis, over about a thirtieth of it."""
    half = (max(1, round(curves.shape[-1] / 30)) | 1) // 2
    windows = [slice(max(0, i - half), i + half + 1) for i in range(curves.shape[-1])]
    return np.stack([curves[..., window].mean(-1) for window in windows], -1)


def in_errors(differences: np.ndarray) -> np.ndarray:
    """The mean over the seeds in standard errors."""
    error = differences.std(0, ddof=1) / math.sqrt(RUNS)
    return np.asarray(differences.mean(0) / np.maximum(error, 1e-12))


def blown_up(train: np.ndarray, val: np.ndarray) -> np.ndarray:
    """By seed, whether the run diverged and stayed so."""
    tail = max(2, train.shape[1] // 20)
    high = [x[:, -tail:].mean(1) > 1.5 * x[:, 0] for x in (train, val)]
    lost = ~(np.isfinite(train[:, -1]) & np.isfinite(val[:, -1]))
    return np.asarray(lost | (high[0] & high[1]))


def judge(train: np.ndarray, val: np.ndarray) -> Config | None:
    """The truth about 16 runs; None where it is ambiguous."""
    with np.errstate(all="ignore"):
        diverged = blown_up(train, val).mean()
    unknown = dict.fromkeys(("onset", "best_epoch", "rise", "rise_z", "seed_agreement"))
    if diverged > 0 or not (np.isfinite(train).all() and np.isfinite(val).all()):
        return {"label": "diverging"} | unknown if diverged > 0.9 else None
    epochs = val.shape[1]
    tail = max(2, epochs // 20)
    curves, train_curve = smooth(val), smooth(train.mean(0))
    mean = curves.mean(0)
    best, late, onset = int(mean.argmin()), int(0.7 * epochs), None
    end = val[:, -tail:].mean(1)
    rise = end.mean() / mean[best] - 1
    rise_z = float(in_errors(end - curves[:, best]))
    agree = float((end > 1.01 * curves[:, best]).mean())
    fall = 1 - end.mean() / mean[late]
    fell = fall > 0.015 and in_errors(curves[:, late] - end) > 3
    if rise > 0.02:
        learned = train[:, -tail:].mean() <= 1.01 * train_curve[best]
        if not (rise_z > 3 and agree >= 0.75 and learned) or (fell and rise < 0.1):
            return None
        label = "overfitting"
        above = (in_errors(curves - curves[:, [best]]) > 2) & (mean > 1.005 * mean[best])
        onset = min(int(np.flatnonzero(~above)[-1]) + 1, epochs - 1)
    elif rise > 0.012 or agree >= 0.5 or not (fell or abs(fall) < 0.01):
        return None
    else:
        label = "healthy" if fell else "plateau"
    return {
        "label": label,
        "onset": onset,
        "best_epoch": best,
        "rise": round(max(float(rise), 0.0), 5),
        "rise_z": round(rise_z, 2),
        "seed_agreement": agree,
    }


def shorter(rng: Rng, truth: Config | None, epochs: int) -> int:
    """Where to cut: now and then near the best of a run that overfits later."""
    if truth is None or truth["label"] != "overfitting" or rng.random() > 0.55:
        return epochs
    around = float(np.exp(rng.uniform(np.log(0.8), np.log(2.2)))) * (truth["best_epoch"] + 3)
    cut = min(max(round(around), 10), 150)
    return cut if cut < epochs else epochs
