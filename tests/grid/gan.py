"""A GAN: two models, each with an optimizer, trained in one step written by the user."""

import contextlib

import keras
from keras import layers, ops

from keras_regplus import at

from .models import BACKEND, base_penalty, l2
from .own_steps import apply_torch, seen_jax


class Wgan(keras.Model):
    """A generator and a critic that takes two updates a batch, with an optimizer each.

    `model.optimizer` is the generator's, so the model's clock counts its updates; the
    critic's loss says by `at` what counts for it. The critic puts out 0, so that all
    losses are penalties.
    """

    def __init__(self):
        super().__init__()
        self.generator = keras.Sequential(
            [keras.Input((4,)), layers.Dense(3, kernel_regularizer=l2())]
        )
        self.critic = keras.Sequential(
            [
                keras.Input((3,)),
                layers.Dense(5, kernel_regularizer=l2()),
                layers.Dense(1, kernel_initializer="zeros"),
            ]
        )
        self.seen = keras.metrics.Mean(name="seen")

    def compile(self, optimizer, loss, **arguments):
        super().compile(optimizer, loss, **arguments)
        self.critic_optimizer = optimizer.from_config(optimizer.get_config())
        self.critic_optimizer.build(self.critic.trainable_variables)
        optimizer.build(self.generator.trainable_variables)
        if BACKEND == "jax":
            # State that a compiled step on JAX changes has to belong to the model.
            self.critic_state = self.critic_optimizer.variables

    def call(self, x):
        return self.critic(self.generator(x))

    def train_step(self, *args):
        return _wgan_step(self, *args)

    def critic_time(self, step):
        return at(step=step)

    def critic_loss(self, x):
        return -ops.mean(ops.cast(self(x), "float32")) + sum(self.critic.losses)

    def generator_loss(self, x):
        return ops.mean(ops.cast(self(x), "float32")) + sum(self.generator.losses)


class UntoldWgan(Wgan):
    """Says nothing of the critic's updates, so its penalties count the generator's."""

    def critic_time(self, step):
        return contextlib.nullcontext()


def _wgan_step_tensorflow(model, data):
    import tensorflow as tf

    def update(loss_of, part, optimizer):
        with tf.GradientTape() as tape:
            loss = loss_of(data[0])
        weights = part.trainable_variables
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    return _wgan_updates(model, update)


def _wgan_step_torch(model, data):
    def update(loss_of, part, optimizer):
        model.zero_grad()
        loss = loss_of(data[0])
        apply_torch(optimizer, loss, part.trainable_variables)
        return loss

    return _wgan_updates(model, update)


def _wgan_updates(model, update):
    total = 0.0
    for _ in range(2):
        with model.critic_time(model.critic_optimizer.iterations):
            total += update(model.critic_loss, model.critic, model.critic_optimizer)
    total += update(model.generator_loss, model.generator, model.optimizer)
    model.seen.update_state(total)
    return {"loss": model.seen.result()}


def _wgan_step_jax(model, state, data):
    import jax

    trainable, non_trainable, optimizer_variables, metrics = state
    mine = [id(v) for v in model.critic_optimizer.variables]
    order = [id(v) for v in model.non_trainable_variables]
    carried = dict(zip(order, non_trainable, strict=True))
    critic_state = [carried[one] for one in mine]
    cut = len(model.generator.trainable_variables)
    generator, critic = trainable[:cut], trainable[cut:]

    def critic_loss(critic):
        fake, _ = model.generator.stateless_call(generator, [], data[0])
        score, _, penalties = model.critic.stateless_call(critic, [], fake, return_losses=True)
        return -ops.mean(score) + sum(penalties)

    def generator_loss(generator):
        fake, _, penalties = model.generator.stateless_call(
            generator, [], data[0], return_losses=True
        )
        return ops.mean(model.critic.stateless_call(critic, [], fake)[0]) + sum(penalties)

    total = 0.0
    for _ in range(2):
        with model.critic_time(_iterations_jax(model.critic_optimizer, critic_state)):
            loss, gradients = jax.value_and_grad(critic_loss)(critic)
        critic, critic_state = model.critic_optimizer.stateless_apply(
            critic_state, gradients, critic
        )
        total += loss
    loss, gradients = jax.value_and_grad(generator_loss)(generator)
    generator, optimizer_variables = model.optimizer.stateless_apply(
        optimizer_variables, gradients, generator
    )
    logs, metrics = seen_jax(model, metrics, total + loss)
    carried.update(zip(mine, critic_state, strict=True))
    non_trainable = [carried[one] for one in order]
    return logs, ([*generator, *critic], non_trainable, optimizer_variables, metrics)


def _iterations_jax(optimizer, values):
    mapping = list(zip(optimizer.variables, values, strict=True))
    with keras.StatelessScope(state_mapping=mapping):
        return ops.convert_to_tensor(optimizer.iterations)


def wgan_losses(model, strength, batches):
    """Both losses of each batch: the critic's of two updates and the generator's of one."""
    critic = strength(2 * batches) + strength(2 * batches + 1)
    return base_penalty(model.critic) * critic + base_penalty(model.generator) * strength(batches)


def untold_wgan_losses(model, strength, batches):
    """The same where the critic's updates count for nothing."""
    penalties = 2 * base_penalty(model.critic) + base_penalty(model.generator)
    return penalties * strength(batches)


_wgan_step = {
    "tensorflow": _wgan_step_tensorflow,
    "jax": _wgan_step_jax,
    "torch": _wgan_step_torch,
}[BACKEND]
