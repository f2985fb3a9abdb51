"""Functions that build often needed schedules from the shapes."""

from __future__ import annotations

from keras_regplus._checks import error_text, finite_number
from keras_regplus.schedules._arguments import checked_factor, checked_time
from keras_regplus.schedules.compose import Join, Piecewise
from keras_regplus.schedules.schedule import Schedule
from keras_regplus.schedules.shapes import Constant, Cosine, Linear
from keras_regplus.schedules.units import Unit, check_unit


def early(until: int, *, unit: Unit = "step") -> Schedule:
    """1 at first, 0 from `until` on.

    Use it against underfitting: dropout in the first part of a training only makes
    small networks fit better.

    `value(t) = 1` for `t < until`, then 0, so with `until=3`:

    | t | 0 | 2 | 3 | 4 |
    | --- | --- | --- | --- | --- |
    | value | 1 | 1 | 0 | 0 |

    Args:
        until: The first step or epoch with factor 0, a whole number of at least 1.
        unit: What `t` counts: `"step"` (optimizer updates finished) or `"epoch"`
            (epochs finished). Defaults to `"step"`.

    Returns:
        A `Piecewise`.

    Raises:
        TypeError: If `until` is not a number.
        ValueError: If `until` is not a whole number of at least 1, or `unit` is unknown.

    Example:
        >>> from keras_regplus import schedules
        >>> schedules.early(3).preview(5).tolist()
        [1.0, 1.0, 1.0, 0.0, 0.0]

    References:
        - [Liu et al., "Dropout Reduces Underfitting" (2023)](https://arxiv.org/abs/2303.01500)
    """
    until = checked_time(
        "early", "until", until, advice="Use the length of the first part, such as 1000."
    )
    return Piecewise([until], [1.0, 0.0], unit=check_unit("early", unit))


def late(start: int, *, unit: Unit = "step") -> Schedule:
    """0 at first, 1 from `start` on.

    Use it against overfitting if a penalty or dropout hurts the beginning of a
    training.

    `value(t) = 0` for `t < start`, then 1, so with `start=3`:

    | t | 0 | 2 | 3 | 4 |
    | --- | --- | --- | --- | --- |
    | value | 0 | 0 | 1 | 1 |

    Args:
        start: The first step or epoch with factor 1, a whole number of at least 1.
        unit: What `t` counts: `"step"` (optimizer updates finished) or `"epoch"`
            (epochs finished). Defaults to `"step"`.

    Returns:
        A `Piecewise`.

    Raises:
        TypeError: If `start` is not a number.
        ValueError: If `start` is not a whole number of at least 1, or `unit` is unknown.

    Example:
        >>> from keras_regplus import schedules
        >>> schedules.late(3).preview(5).tolist()
        [0.0, 0.0, 0.0, 1.0, 1.0]

    References:
        - [Liu et al., "Dropout Reduces Underfitting" (2023)](https://arxiv.org/abs/2303.01500)
    """
    start = checked_time(
        "late", "start", start, advice="Use the length of the first part, such as 1000."
    )
    return Piecewise([start], [0.0, 1.0], unit=check_unit("late", unit))


def one_cycle(
    duration: int,
    *,
    peak_at: float = 0.3,
    start: float = 0.0,
    end: float = 0.0,
    unit: Unit = "step",
) -> Schedule:
    """Rises to 1 and falls again, once, along cosines.

    Use it beside a learning rate that does the same, or the opposite.

    `value(t) = 1 + (start - 1) * (1 + cos(pi * t / peak)) / 2` up to
    `peak = round(peak_at * duration)`, from there
    `value(t) = end + (1 - end) * (1 + cos(pi * (t - peak) / (duration - peak))) / 2`
    up to `duration`, where it stays. With `duration=6`, `peak_at=0.5` and `end=0.5`:

    | t | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 |
    | --- | --- | --- | --- | --- | --- | --- | --- | --- |
    | value | 0 | 0.25 | 0.75 | 1 | 0.875 | 0.625 | 0.5 | 0.5 |

    Args:
        duration: Steps or epochs of the whole cycle, a whole number of at least 2.
        peak_at: Where the peak is, as a share of `duration`: a number above 0 and below 1
            that leaves at least one step on each side. Defaults to 0.3.
        start: The factor at t = 0, a finite number of at least 0. Defaults to 0.0.
        end: The factor from `duration` on, a finite number of at least 0. Defaults to 0.0.
        unit: What `t` counts: `"step"` (optimizer updates finished) or `"epoch"`
            (epochs finished). Defaults to `"step"`.

    Returns:
        A `Join` of two `Cosine`.

    Raises:
        TypeError: If `duration`, `peak_at`, `start` or `end` is not a number.
        ValueError: If `duration`, `peak_at`, `start` or `end` is out of its range, or `unit`
            is unknown.

    Example:
        >>> from keras_regplus import schedules
        >>> cycle = schedules.one_cycle(6, peak_at=0.5, end=0.5)
        >>> cycle.preview(8).round(4).tolist()
        [0.0, 0.25, 0.75, 1.0, 0.875, 0.625, 0.5, 0.5]

    References:
        - [Smith & Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large
          Learning Rates" (2018)](https://arxiv.org/abs/1708.07120)
    """
    owner = "one_cycle"
    duration = checked_time(owner, "duration", duration, minimum=2, advice="Use for example 1000.")
    advice = "Use for example 0.3."
    share = finite_number(owner, "peak_at", peak_at, minimum=0, maximum=1, advice=advice)
    peak = round(share * duration)
    if not 0 < peak < duration:
        rule = f"a part of {duration} that leaves a step or more on both sides"
        raise ValueError(error_text(owner, "peak_at", rule, peak_at, advice))
    unit = check_unit(owner, unit)
    rise = Cosine(peak, checked_factor(owner, "start", start), 1.0, unit=unit)
    fall = Cosine(duration - peak, 1.0, checked_factor(owner, "end", end), unit=unit)
    return Join([rise, fall], [peak])


def warmup_hold_decay(
    warmup: int, hold: int, decay: int, *, end: float = 0.0, unit: Unit = "step"
) -> Schedule:
    """Rises from 0 to 1, rests there, and falls to `end`, in straight lines.

    Use it to relax a penalty at both the beginning and the end of a training. For shapes
    other than lines, use `Join`.

    `value(t)` is `t / warmup`, then 1 for `hold`, then the line from 1 to `end` within
    `decay`. With `warmup=2`, `hold=1`, `decay=2`:

    | t | 0 | 1 | 2 | 3 | 4 | 5 | 6 |
    | --- | --- | --- | --- | --- | --- | --- | --- |
    | value | 0 | 0.5 | 1 | 1 | 0.5 | 0 | 0 |

    Args:
        warmup: Steps or epochs of the rise, a whole number of at least 1.
        hold: Steps or epochs of rest after it, a whole number of at least 0.
        decay: Steps or epochs of the fall, a whole number of at least 1.
        end: The factor after the fall, a finite number of at least 0. Defaults to 0.0.
        unit: What `t` counts: `"step"` (optimizer updates finished) or `"epoch"`
            (epochs finished). Defaults to `"step"`.

    Returns:
        A `Join` of `Linear`, `Constant` and `Linear`.

    Raises:
        TypeError: If `warmup`, `hold`, `decay` or `end` is not a number.
        ValueError: If `warmup`, `hold`, `decay` or `end` is out of its range, or `unit` is
            unknown.

    Example:
        >>> from keras_regplus import schedules
        >>> schedules.warmup_hold_decay(2, 1, 2).preview(7).tolist()
        [0.0, 0.5, 1.0, 1.0, 0.5, 0.0, 0.0]

    References:
        - [Xing et al., "A Walk with SGD" (2018)](https://arxiv.org/abs/1802.08770)
        - [Hu et al., "MiniCPM: Unveiling the Potential of Small Language Models with Scalable
          Training Strategies" (2024)](https://arxiv.org/abs/2404.06395)
    """
    owner, advice = "warmup_hold_decay", "Use a number of steps (or epochs), such as 1000."
    warmup = checked_time(owner, "warmup", warmup, advice=advice)
    hold = checked_time(owner, "hold", hold, minimum=0, advice=advice)
    decay = checked_time(owner, "decay", decay, advice=advice)
    unit = check_unit(owner, unit)
    rise = Linear(warmup, unit=unit)
    fall = Linear(decay, 1.0, checked_factor(owner, "end", end), unit=unit)
    if hold == 0:
        return Join([rise, fall], [warmup])
    return Join([rise, Constant(), fall], [warmup, warmup + hold])
