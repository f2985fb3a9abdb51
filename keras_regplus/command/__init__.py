"""The command line: `keras-regplus`, also `python -m keras_regplus`."""

from keras_regplus.command.program import main

__all__ = ["main"]
