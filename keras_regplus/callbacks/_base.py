"""What every callback of the package asks of its model."""

from __future__ import annotations

import keras

from keras_regplus._hints import TF_KERAS, belongs_to_tf_keras

__all__ = ["Callback"]


class Callback(keras.callbacks.Callback):
    """A callback that says so when it is given to a model of `tf_keras`."""

    def set_model(self, model: keras.Model) -> None:
        if belongs_to_tf_keras(type(model)):
            raise TypeError(f"{type(self).__name__}: {TF_KERAS}")
        super().set_model(model)
