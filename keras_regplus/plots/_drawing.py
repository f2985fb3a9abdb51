"""What all pictures share."""

from __future__ import annotations

from typing import Any

# Okabe and Ito's colours, with a wine red and a grey for the yellow and the black that
# vanish on white or on dark paper.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#7F7F7F")


def pyplot() -> Any:
    """`matplotlib.pyplot`, or an error that says how to get it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        message = 'Plots need matplotlib. Install it with `pip install "keras-regplus[plot]"`.'
        raise ImportError(message) from error
    return plt
