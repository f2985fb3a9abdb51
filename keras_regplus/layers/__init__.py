"""Layers that regularize, with rates that follow a schedule."""

from keras_regplus.layers.dropout import ScheduledDropout

__all__ = ["ScheduledDropout"]
