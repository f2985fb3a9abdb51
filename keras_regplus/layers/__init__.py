"""Layers that regularize, with rates that follow a schedule."""

from keras_regplus.layers.drop_block import DropBlock1D, DropBlock2D, DropBlock3D
from keras_regplus.layers.drop_connect import DropConnect
from keras_regplus.layers.drop_path import DropPath, drop_path_rates
from keras_regplus.layers.dropout import ScheduledDropout
from keras_regplus.layers.noise import ScheduledGaussianNoise

__all__ = [
    "DropBlock1D",
    "DropBlock2D",
    "DropBlock3D",
    "DropConnect",
    "DropPath",
    "ScheduledDropout",
    "ScheduledGaussianNoise",
    "drop_path_rates",
]
