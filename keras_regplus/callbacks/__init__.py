"""Callbacks for `model.fit`."""

from keras_regplus.callbacks import actions
from keras_regplus.callbacks.epoch_dots import EpochDots
from keras_regplus.callbacks.overfitting_detector import OverfittingDetector
from keras_regplus.callbacks.regularization_scheduler import RegularizationScheduler
from keras_regplus.callbacks.weight_histogram import WeightHistogram

__all__ = [
    "EpochDots",
    "OverfittingDetector",
    "RegularizationScheduler",
    "WeightHistogram",
    "actions",
]
