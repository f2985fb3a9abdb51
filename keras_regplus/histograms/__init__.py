"""Exact histograms of large arrays, and event files that TensorBoard shows.

Works on any numbers, from any framework: nothing here imports Keras or a backend.
"""

from keras_regplus.histograms.buckets import Histogram, histogram
from keras_regplus.histograms.event_writer import EventWriter

__all__ = ["EventWriter", "Histogram", "histogram"]
