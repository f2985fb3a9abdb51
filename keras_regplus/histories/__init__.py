"""Logs of any tool as names and values: `{name: one value for each epoch}`. NumPy only."""

from keras_regplus.histories.read import read_history

__all__ = ["read_history"]
