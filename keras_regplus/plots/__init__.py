"""Learning curves, schedules and weights as pictures.

They need matplotlib, which is imported when a picture is drawn.
"""

from keras_regplus.plots.history import HistoryPlotter
from keras_regplus.plots.schedules import plot_schedule
from keras_regplus.plots.training import plot_diagnosis, plot_history
from keras_regplus.plots.weights import plot_weights

__all__ = ["HistoryPlotter", "plot_diagnosis", "plot_history", "plot_schedule", "plot_weights"]
