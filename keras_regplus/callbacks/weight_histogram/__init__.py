"""Histograms of all weights for TensorBoard."""

from keras_regplus.callbacks.weight_histogram._callback import WeightHistogram

__all__ = ["WeightHistogram"]
