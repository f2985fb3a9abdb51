"""Penalties that follow a schedule exactly, a diagnosis of overfitting, readable logs for Keras 3."""

from __future__ import annotations

from keras_regplus._warnings import RegPlusWarning

__version__ = "0.1.0"
