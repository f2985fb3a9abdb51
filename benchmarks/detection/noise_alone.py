"""What `TrendTracker` says of simulated curves on which nothing but noise rises.

    python -m benchmarks.detection.noise_alone [--markdown]

200 validation curves of 100 epochs for each row; training falls without noise. A
settling curve falls first, to a loss of 1, a flat one is 1 from its first epoch on, a
falling one loses 0.3 % of its first value an epoch: a stop there is harmful.
Noise is normal; where it lasts for 5 epochs, each value is a moving sum of 5. The
confidence is that of the verdicts "overfitting" after the last epoch; "said with 0.9" is
the share of curves of which that is said with at least so much; "stopped" is the share
for which `should_stop` came at any epoch.
"""

from __future__ import annotations

import argparse
from statistics import mean

import numpy as np

from benchmarks.detection.criteria import trend
from benchmarks.detection.text_tables import as_markdown, as_text

EPOCHS, CURVES = 100, 200
FALLING = 0.97 ** np.arange(EPOCHS)
SHAPES = {
    "settling": 1 + 0.4 * np.exp(-np.arange(EPOCHS) / 8),
    "flat": np.ones(EPOCHS),
    "falling": 1 - 0.3 * np.arange(EPOCHS) / EPOCHS,
}
HEAD = [
    "curve",
    "noise lasts",
    "scatter",
    "said to overfit",
    "mean confidence",
    "said with 0.9",
    "stopped",
]


def noise(rng: np.random.Generator, lasting: int) -> np.ndarray:
    """Of deviation 1 in each epoch, where each bit of it lasts for some epochs."""
    fresh = rng.normal(size=EPOCHS + lasting - 1)
    return np.convolve(fresh, np.ones(lasting) / lasting**0.5, "valid")


def row(shape: str, lasting: int, scatter: float) -> list[str]:
    rng = np.random.default_rng(0)
    curves = (SHAPES[shape] + scatter * noise(rng, lasting) for _ in range(CURVES))
    outcomes = [trend(FALLING, curve) for curve in curves]
    alarms = [outcome.confidence or 0.0 for outcome in outcomes if outcome.overfits]
    return [
        shape,
        f"{lasting} epoch{'s' if lasting > 1 else ''}",
        f"{100 * scatter:.0f} %",
        f"{100 * len(alarms) / CURVES:.0f} %",
        f"{mean(alarms):.2f}" if alarms else "",
        f"{100 * sum(sure >= 0.9 for sure in alarms) / CURVES:.0f} %",
        f"{100 * mean(outcome.stop is not None for outcome in outcomes):.0f} %",
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markdown", action="store_true", help="a table for a page")
    table = as_markdown if parser.parse_args().markdown else as_text
    cases = [(lasting, scatter) for lasting in (1, 5) for scatter in (0.01, 0.02, 0.05)]
    rows = [row(shape, *case) for shape in SHAPES for case in cases]
    print(table([HEAD, *rows]))


if __name__ == "__main__":
    main()
