"""Training steps and losses as users write them, on each backend."""

import keras
from keras import ops

from .models import BACKEND


class Around(keras.Model):
    """Any model, with what a user adds around it."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.seen = keras.metrics.Mean(name="seen")

    def call(self, x, training=None):
        return self.inner(x, training=training)


class OwnComputeLoss(Around):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(self.loss(y, y_pred)) + sum(self.losses)


class OwnTrainStep(Around):
    """A step as Keras's guides show it, for the backend in use."""

    def train_step(self, *args):
        return _own_train_step(self, *args)


def _own_train_step_tensorflow(model, data):
    import tensorflow as tf

    x, y = data
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x=x, y=y, y_pred=model(x, training=True))
    weights = model.trainable_variables
    model.optimizer.apply(tape.gradient(loss, weights), weights)
    model.seen.update_state(loss)
    return {"loss": model.seen.result()}


def _own_train_step_torch(model, data):
    x, y = data
    model.zero_grad()
    loss = model.compute_loss(x=x, y=y, y_pred=model(x, training=True))
    apply_torch(model.optimizer, loss, model.trainable_variables)
    model.seen.update_state(loss)
    return {"loss": model.seen.result()}


def _own_train_step_jax(model, state, data):
    import jax

    x, y = data
    trainable, non_trainable, optimizer_variables, metrics = state
    compute = jax.value_and_grad(model.compute_loss_and_updates, has_aux=True)
    (_, (loss, _, non_trainable, metrics)), gradients = compute(
        trainable, non_trainable, metrics, x, y, None, True, optimizer_variables
    )
    trainable, optimizer_variables = model.optimizer.stateless_apply(
        optimizer_variables, gradients, trainable
    )
    logs, metrics = seen_jax(model, metrics, loss)
    return logs, (trainable, non_trainable, optimizer_variables, metrics)


def apply_torch(optimizer, loss, weights):
    import torch

    loss.backward()
    gradients = [w.value.grad for w in weights]
    with torch.no_grad():
        optimizer.apply(gradients, weights)


def seen_jax(model, metrics, loss):
    mapping = list(zip(model.metrics_variables, metrics, strict=True))
    with keras.StatelessScope(state_mapping=mapping) as scope:
        model.seen.update_state(loss)
        logs = {"loss": model.seen.result()}
    return logs, [scope.get_current_value(v) for v in model.metrics_variables]


_own_train_step = {
    "tensorflow": _own_train_step_tensorflow,
    "jax": _own_train_step_jax,
    "torch": _own_train_step_torch,
}[BACKEND]
