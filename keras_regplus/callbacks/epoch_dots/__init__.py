"""A dot for each epoch and a full report now and then."""

from keras_regplus.callbacks.epoch_dots._callback import EpochDots

__all__ = ["EpochDots"]
