"""Callbacks for `model.fit`."""

from keras_regplus.callbacks.regularization_scheduler import RegularizationScheduler

__all__ = ["RegularizationScheduler"]
