"""Says during training whether a model overfits, and acts on it."""

from keras_regplus.callbacks.overfitting_detector._callback import OverfittingDetector

__all__ = ["OverfittingDetector"]
