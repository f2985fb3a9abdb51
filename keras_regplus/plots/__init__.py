"""Learning curves and schedules as pictures.

They need matplotlib, which is imported when a picture is drawn.
"""

from keras_regplus.plots.history import HistoryPlotter, plot_history
from keras_regplus.plots.schedules import plot_schedule

__all__ = ["HistoryPlotter", "plot_history", "plot_schedule"]
