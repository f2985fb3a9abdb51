"""Draw the pictures of `docs/diagnosis.md` and `docs/criterion.md`.

    python -m benchmarks.detection.pictures docs/images

Those of what it gets wrong are drawn by `python -m benchmarks.detection --pictures`.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from benchmarks.detection.criteria import early_stopping, trend
from benchmarks.detection.error_pictures import (
    BEST,
    STOP,
    VALIDATION,
    draw_run,
    finish,
    run_legend,
    shown_range,
    small_multiples,
)
from benchmarks.detection.labelled import HISTORIES, UNSEEN, Run, load
from benchmarks.detection.noise_alone import FALLING, SHAPES, noise
from benchmarks.detection.scores import kept

# The page shows the insides of the criterion, which users do not import.
from keras_regplus.diagnosis import Diagnosis, TrendTracker
from keras_regplus.diagnosis._curves import ThinnedPoints
from keras_regplus.diagnosis._trend_rule import TrendRule

OTHER, BAND = "#CC79A7", "#E69F00"
# Verdict: the run that shows it, and how many of its epochs.
VERDICTS = {
    "undecided": ("5-115", 4),
    "healthy": ("5-115", None),
    "stagnating": ("5-88", None),
    "plateau": ("5-202", None),
    "overfitting": ("5-76", None),
    "diverging": ("5-80", 20),
}
NOISY = "d045"
STOPPED = ("d034", "d009", "d045", "d057")


def draw_verdicts(runs: dict[str, Run], path: Path) -> None:
    """A real run for each verdict."""
    figure, axes = small_multiples(len(VERDICTS), columns=3)
    for ax, (verdict, (name, epochs)) in zip(axes, VERDICTS.items(), strict=True):
        whole = runs[name]
        run = Run(name, whole.label, whole.train[:epochs], whole.val[:epochs])
        draw_run(ax, run, trend(run.train, run.val))
        diagnosis = follow(run)[-1]
        assert diagnosis.verdict == verdict, (name, diagnosis)
        until = "" if epochs is None else f", its first {epochs} epochs"
        ax.set_title(f"{verdict} ({name}{until})", fontsize=8)
    finish(figure, path, run_legend())


def follow(run: Run) -> list[Diagnosis]:
    """The diagnosis after each epoch."""
    tracker = TrendTracker()
    pairs = zip(run.train.tolist(), run.val.tolist(), strict=True)
    return [tracker.update(*pair) for pair in pairs]


def rule_on(train: np.ndarray, val: np.ndarray) -> TrendRule:
    """The rule of the criterion, applied to whole curves."""
    points = ThinnedPoints()
    for epoch, pair in enumerate(zip(train.tolist(), val.tolist(), strict=True)):
        points.add(epoch, *pair)
    return TrendRule(*points.columns())


def draw_levels(runs: dict[str, Run], path: Path) -> None:
    """Levels, rise and limit at the end of a noisy run, and when the verdict came."""
    run = runs[NOISY]
    steps = follow(run)
    noticed = next(i for i, step in enumerate(steps) if step.verdict == "overfitting")
    figure, (ax,) = small_multiples(1)
    figure.set_size_inches(9, 4.4)
    draw_rule(ax, rule_on(run.train, run.val), run.val)
    stop = trend(run.train, run.val).stop
    marks = {"onset": steps[-1].onset_epoch, "verdict first said": noticed, "should_stop": stop}
    low, high = ax.get_ylim()
    for number, (name, epoch) in enumerate(marks.items()):
        ax.axvline(epoch, color=STOP, linestyle="--", linewidth=1)
        place = (epoch - 3, low + (0.03 + 0.05 * number) * (high - low))
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        text = f"{name}: epoch {epoch}"
        ax.text(*place, text, fontsize=8, color=STOP, ha="right", bbox=paper)
    ax.set_title(textwrap.fill(f"{run.id}: {steps[-1].reason}", 100), fontsize=8)
    finish(figure, path, rule_legend())


def draw_rule(ax: Any, rule: TrendRule, val: np.ndarray) -> None:
    """The validation curve, its levels, and what passes for noise above the best of them."""
    best = lowest(rule)
    # A level stands for the epochs around the middle of its window.
    first = rule.width // 2
    middles = rule.epochs[first : first + len(rule.val.smooth)]
    ax.plot(val, color=VALIDATION, linewidth=0.7, alpha=0.5)
    ax.plot(middles, rule.val.smooth, color=VALIDATION, linewidth=2)
    ax.plot(middles[rule.best], best, "o", color=BEST, markersize=7)
    ax.axhspan(best, best + rule.limit, color=BAND, alpha=0.3, linewidth=0)
    end = middles[-1]
    arrow = {"arrowstyle": "<->", "color": "black", "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (end, best), (end, rule.val.level), arrowprops=arrow)
    ax.set_ylim(*shown_range(val, None))


def rule_legend() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=VALIDATION, linewidth=0.7, alpha=0.5, label="validation loss"),
        Line2D([], [], color=VALIDATION, linewidth=2, label="its level"),
        Line2D([], [], color=BEST, marker="o", linestyle="", label="best level"),
        Patch(color=BAND, alpha=0.3, label="up to the limit"),
        Line2D([], [], color="black", marker="|", label="rise"),
    ]


def draw_noise(path: Path) -> None:
    """Simulated plateaus: noise of single epochs, and noise of the same size that lasts."""
    rng = np.random.default_rng(0)
    figure, axes = small_multiples(2)
    figure.set_size_inches(9, 3.8)
    for ax, lasting in zip(axes, (1, 5), strict=True):
        curves = [SHAPES["settling"] + 0.02 * noise(rng, lasting) for _ in range(300)]
        rules = [rule_on(FALLING, curve) for curve in curves]
        over = [rule.rise > rule.limit for rule in rules]
        naive = [rule.rise > limit_by_single_values(rule) for rule in rules]
        print(f"lasting {lasting}: {sum(over)} of 300 are over the limit,", end=" ")
        print(f"{sum(naive)} are if single values alone count")
        # Where noise lasts, the first curve that the two limits do not agree about.
        differs = [one and not other for one, other in zip(naive, over, strict=True)]
        chosen = differs.index(True) if lasting > 1 else 0
        draw_plateau(ax, rules[chosen], curves[chosen])
        epochs = f"noise that lasts for {lasting} epochs" if lasting > 1 else "noise of one epoch"
        ax.set_title(epochs, fontsize=8)
    dotted = Line2D([], [], color=STOP, linestyle=":", label="limit by single values alone")
    finish(figure, path, [*rule_legend(), dotted])


def draw_plateau(ax: Any, rule: TrendRule, val: np.ndarray) -> None:
    draw_rule(ax, rule, val)
    naive = limit_by_single_values(rule)
    ax.axhline(lowest(rule) + naive, color=STOP, linewidth=1.2, linestyle=":")
    shares = [100 * rule.relative(size) for size in (rule.rise, rule.limit, naive)]
    text = "rise {:.1f} %, limit {:.1f} %, by single values alone {:.1f} %".format(*shares)
    ax.set_xlabel(text, fontsize=8)
    ax.set_ylim(0.93, 1.12)


def limit_by_single_values(rule: TrendRule) -> float:
    """What the limit would be if the noise of each epoch were independent."""
    return rule.limit_at(2**0.5 * rule.val.noise / rule.width**0.5)


def lowest(rule: TrendRule) -> float:
    return float(rule.val.smooth[rule.best])


def draw_stops(runs: dict[str, Run], path: Path) -> None:
    """When it stops, beside `EarlyStopping(patience=10)`."""
    figure, axes = small_multiples(len(STOPPED), columns=2)
    for ax, name in zip(axes, STOPPED, strict=True):
        run = runs[name]
        ours, other = (judge(run.train, run.val) for judge in (trend, early_stopping(10)))
        draw_run(ax, run, ours)
        if other.stop is not None:
            ax.axvline(other.stop, color=OTHER, linestyle=":", linewidth=1.5)
        stops = stop_text(run, ours.stop), stop_text(run, other.stop)
        title = "{} is {}\nshould_stop: {}; EarlyStopping(10): {}".format(name, run.label, *stops)
        ax.set_title(title, fontsize=8)
    early = Line2D([], [], color=OTHER, linestyle=":", label="EarlyStopping(10)")
    figure.set_size_inches(9, 6)
    finish(figure, path, [*run_legend(), early])


def stop_text(run: Run, stop: int | None) -> str:
    if stop is None:
        return "never"
    return f"{stop}" if kept(run.val, stop) else f"{stop}, too soon"


def main(arguments: Sequence[str]) -> None:
    folder = Path(*arguments)
    folder.mkdir(parents=True, exist_ok=True)
    runs = {run.id: run for path in (HISTORIES, UNSEEN) for run in load(path)}
    draw_verdicts(runs, folder / "diagnosis-verdicts.png")
    draw_levels(runs, folder / "diagnosis-levels.png")
    draw_noise(folder / "diagnosis-noise.png")
    draw_stops(runs, folder / "diagnosis-stops.png")


if __name__ == "__main__":
    main(sys.argv[1:])
