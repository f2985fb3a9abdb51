"""What a detector can do about overfitting while a model goes on training.

Each takes one step when the verdict becomes `"overfitting"`, another after every
`cooldown` epochs while it stays so, and undoes one when the model is healthy again.
Nothing is compiled again.
"""

from keras_regplus.callbacks.actions._action import Action
from keras_regplus.callbacks.actions._clock_actions import RaiseDropout, RaiseRegularization
from keras_regplus.callbacks.actions._learning_rate import ReduceLearningRate

__all__ = ["Action", "RaiseDropout", "RaiseRegularization", "ReduceLearningRate"]
