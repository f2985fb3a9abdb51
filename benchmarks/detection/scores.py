"""How good verdicts and stops are, in numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean

import numpy as np

from benchmarks.detection.criteria import Outcome
from benchmarks.detection.labelled import LABELS, Run

# What was kept is good enough if it is this near to the best of the whole run.
_TOLERANCE = 0.01
_RESAMPLES = 4000


def counts(truth: Sequence[bool], predicted: Sequence[bool]) -> tuple[int, int, int, int]:
    """True positives, false alarms, missed, and true negatives."""
    pairs = list(zip(truth, predicted, strict=True))
    kinds = ((True, True), (False, True), (True, False), (False, False))
    found, alarms, missed, rest = (pairs.count(kind) for kind in kinds)
    return found, alarms, missed, rest


def precision_and_recall(truth: Sequence[bool], predicted: Sequence[bool]) -> tuple[float, float]:
    """The share of the predicted that is true, and the reverse; 0 where there is none."""
    found, alarms, missed, _ = counts(truth, predicted)
    return found / max(found + alarms, 1), found / max(found + missed, 1)


def f1(found: int, alarms: int, missed: int) -> float:
    """The harmonic mean of precision and recall; 0 where nothing is there to count."""
    return 2 * found / max(2 * found + alarms + missed, 1)


def macro_f1(truth: Sequence[str], predicted: Sequence[str]) -> float:
    """The mean F1 over the labels that occur."""
    labels = [label for label in LABELS if label in truth]
    columns = (([t == k for t in truth], [p == k for p in predicted]) for k in labels)
    return mean(f1(*counts(*column)[:3]) for column in columns)


def macro_f1_of_two(found: int, alarms: int, missed: int, rest: int) -> float:
    """The mean F1 of "overfitting" and "not overfitting"."""
    return (f1(found, alarms, missed) + f1(rest, missed, alarms)) / 2


def bootstrap_error(found: int, alarms: int, missed: int, rest: int) -> float:
    """Standard error of `macro_f1_of_two` if other runs of the same kind had been drawn.

    To draw runs anew, with replacement, is to draw the four counts from a multinomial.
    """
    cells = np.array([found, alarms, missed, rest])
    draws = np.random.default_rng(0).multinomial(cells.sum(), cells / cells.sum(), _RESAMPLES)
    return float(np.std([macro_f1_of_two(*draw) for draw in draws.tolist()], ddof=1))


def kept(val: np.ndarray, stop: int | None) -> bool:
    """Whether the best value up to the stop is within 1 % of the best of the whole run."""
    val = _lost_is_worst(val)
    best = val.min()
    until = val if stop is None else val[: stop + 1]
    return not math.isfinite(best) or bool(until.min() <= best + _TOLERANCE * abs(best))


def wasted(val: np.ndarray, stop: int | None) -> float:
    """Share of the epochs after the best that were trained; 1 if the best was lost."""
    if stop is None or not kept(val, stop):
        return 1.0
    best, last = int(_lost_is_worst(val).argmin()), len(val) - 1
    return max(stop - best, 0) / max(last - best, 1)


def _lost_is_worst(val: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(val), val, np.inf)


def calibration(runs: Sequence[Run], outcomes: Sequence[Outcome]) -> list[tuple[int, float, float]]:
    """By tenth of the confidence: verdicts, their mean confidence, the share that is true.

    A verdict that comes without a confidence is left out.
    """
    verdicts = [
        (outcome.confidence, outcome.verdict == run.label)
        for run, outcome in zip(runs, outcomes, strict=True)
        if outcome.confidence is not None
    ]
    rows = []
    for tenth in range(10):
        group = [pair for pair in verdicts if min(int(10 * pair[0]), 9) == tenth]
        sure, true = (mean(column) if group else math.nan for column in _columns(group))
        rows.append((len(group), sure, true))
    return rows


def _columns(pairs: list[tuple[float, bool]]) -> tuple[list[float], list[float]]:
    return [pair[0] for pair in pairs], [float(pair[1]) for pair in pairs]


def score(runs: Sequence[Run], outcomes: Sequence[Outcome]) -> dict[str, float]:
    """All figures of a criterion on these runs."""
    truth = [run.overfits for run in runs]
    predicted = [outcome.overfits for outcome in outcomes]
    four = counts(truth, predicted)
    precision, recall = precision_and_recall(truth, predicted)
    stops = [(run, outcome.stop) for run, outcome in zip(runs, outcomes, strict=True)]
    positive = [pair for pair in stops if pair[0].overfits]
    harmless = [kept(run.val, stop) for run, stop in stops]
    return {
        "macro-F1": macro_f1_of_two(*four),
        "error": bootstrap_error(*four),
        "precision": precision,
        "recall": recall,
        "four verdicts": macro_f1([run.label for run in runs], [o.verdict for o in outcomes]),
        "within 1 %": mean(harmless),
        "harmful stops": harmless.count(False),
        "never stopped": sum(stop is None for _, stop in positive),
        "overfitting runs": len(positive),
        "useless epochs": mean(wasted(run.val, stop) for run, stop in positive),
    }
