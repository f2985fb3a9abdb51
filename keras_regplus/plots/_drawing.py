"""What all pictures share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, with a wine red and a grey for the yellow and the black that
# vanish on white or on dark paper.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#7F7F7F")

# Without colours these tell runs apart. No circle: that is the best epoch.
MARKERS = ("s", "^", "D", "v", "P", "X", "<", ">")


def pyplot() -> Any:
    """`matplotlib.pyplot`, or an error that says how to get it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        message = "Plots need matplotlib. Install it with `pip install matplotlib`."
        raise ImportError(message) from error
    return plt


def finish(ax: Axes, ylabel: str, last_epoch: float, *others: Axes) -> None:
    """Label the Axes of epochs, with the lines of the `others` in its legend."""
    ax.set_xlabel("Epochs")
    ax.set_ylabel(ylabel, parse_math=False)
    # A single epoch has no width of its own.
    ax.set_xlim(0, max(last_epoch, 1.0))
    ax.grid(True)
    handles = [handle for each in (ax, *others) for handle in each.get_legend_handles_labels()[0]]
    for text in ax.legend(handles=handles).get_texts():
        # Names may hold a $, with which matplotlib begins a formula.
        text.set_parse_math(False)


def title_of(metric: str) -> str:
    """The name of a metric as a label."""
    return metric.replace("_", " ").title()
