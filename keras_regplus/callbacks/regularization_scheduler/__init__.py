"""Makes schedules follow the training."""

from keras_regplus.callbacks.regularization_scheduler._callback import RegularizationScheduler

__all__ = ["RegularizationScheduler"]
