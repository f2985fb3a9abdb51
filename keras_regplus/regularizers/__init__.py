"""Penalties on weights and activities that follow a schedule."""

from keras_regplus.regularizers.scheduled import (
    Scheduled,
    ScheduledL1,
    ScheduledL1L2,
    ScheduledL2,
    WarmupL1L2,
    get,
)

__all__ = ["Scheduled", "ScheduledL1", "ScheduledL1L2", "ScheduledL2", "WarmupL1L2", "get"]
