"""Makes schedules follow the training, and checks that they do."""

from keras_regplus.callbacks.regularization_scheduler._callback import RegularizationScheduler
from keras_regplus.callbacks.regularization_scheduler._verification import PartCheck, Verification

__all__ = ["PartCheck", "RegularizationScheduler", "Verification"]
