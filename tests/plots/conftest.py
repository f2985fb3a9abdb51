"""What the pictures are drawn on, and the histories that they are drawn of."""

from __future__ import annotations

import keras
import pytest
from matplotlib.figure import Figure


@pytest.fixture
def ax():
    return Figure().add_subplot()


@pytest.fixture
def pyplot():
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


@pytest.fixture
def history_of():
    """Makes what `fit` returns, of curves and the numbers of their epochs."""

    def make(curves, epochs):
        history = keras.callbacks.History()
        history.history, history.epoch = curves, list(epochs)
        return history

    return make
