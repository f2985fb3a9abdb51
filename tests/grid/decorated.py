"""Models whose own methods a user has compiled: the step, the loss or the call."""

import functools

from keras_regplus.regularizers import ScheduledL2

from .models import BACKEND
from .own_steps import Around, OwnComputeLoss, OwnTrainStep

if BACKEND == "tensorflow":
    import tensorflow as tf

    compiled = tf.function
elif BACKEND == "jax":
    import jax

    def compiled(method):
        # Such a method knows its model and `training` as they were when it was traced.
        return functools.partial(jax.jit, static_argnums=0, static_argnames="training")(method)

else:
    import torch

    compiled = functools.partial(torch.compile, backend="eager")


def _plain_jit(method):
    return functools.partial(jax.jit, static_argnums=0)(method)


class CompiledStep(OwnTrainStep):
    train_step = (_plain_jit if BACKEND == "jax" else compiled)(OwnTrainStep.train_step)


class CompiledLoss(OwnComputeLoss):
    compute_loss = compiled(OwnComputeLoss.compute_loss)


class CompiledCall(Around):
    call = compiled(Around.call)


DECORATED = {each.__name__: each for each in (CompiledStep, CompiledLoss, CompiledCall)}


class CompiledPenalty(ScheduledL2):
    """Equal ones are one argument to JAX, which traces for the first of them."""

    def __init__(self, schedule):
        super().__init__(0.1, schedule)

    def __call__(self, x):
        return self.compute(1.0 * x)

    def compute(self, x):
        return ScheduledL2.__call__(self, x)

    compute = (_plain_jit if BACKEND == "jax" else compiled)(compute)
