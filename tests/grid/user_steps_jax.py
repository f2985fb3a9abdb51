"""Training steps as users of JAX write them; each is the body of a `train_step`."""

import jax
import keras
from keras import ops


def guide_step(model, state, data):
    trainable, non_trainable, optimizer_variables, metrics = state
    x, y = data
    compute = jax.value_and_grad(model.compute_loss_and_updates, has_aux=True)
    (loss, (_, y_pred, non_trainable, metrics)), gradients = compute(
        trainable,
        non_trainable,
        metrics,
        x,
        y,
        None,
        training=True,
        optimizer_variables=optimizer_variables,
    )
    trainable, optimizer_variables = model.optimizer.stateless_apply(
        optimizer_variables, gradients, trainable
    )
    logs, updated = {}, []
    for metric in model.metrics:
        mine = metrics[len(updated) : len(updated) + len(metric.variables)]
        if metric.name == "loss":
            mine = metric.stateless_update_state(mine, loss)
        else:
            mine = metric.stateless_update_state(mine, y, y_pred)
        logs[metric.name] = metric.stateless_result(mine)
        updated += mine
    return logs, (trainable, non_trainable, optimizer_variables, updated)


def own_loss_step(model, state, data):
    x, y = data

    def compute_loss(trainable, non_trainable):
        if not model.adds_penalties:
            y_pred, non_trainable = model.stateless_call(trainable, non_trainable, x, training=True)
            return ops.mean(ops.square(y - y_pred)), non_trainable
        y_pred, non_trainable, losses = model.stateless_call(
            trainable, non_trainable, x, training=True, return_losses=True
        )
        return ops.mean(ops.square(y - y_pred)) + sum(losses), non_trainable

    return _updated(model, state, x, compute_loss)


def metrics_step(model, state, data):
    """As BayesFlow's: what is differentiated is one of the metrics."""
    x, y = data

    def compute_loss(trainable, non_trainable):
        with _scope(model, trainable, non_trainable) as scope:
            metrics = model.compute_metrics(x, y, stage="training")
        return metrics["loss"], _now(scope, model.non_trainable_variables)

    return _updated(model, state, x, compute_loss)


def metrics_test_step(model, state, data):
    trainable, non_trainable, metrics = state
    x, y = data
    with _scope(model, trainable, non_trainable) as scope:
        loss = model.compute_metrics(x, y, stage="validation")["loss"]
    non_trainable = _now(scope, model.non_trainable_variables)
    logs, metrics = _seen(model, metrics, loss, x)
    return logs, (trainable, non_trainable, metrics)


def vae_step(model, state, data):
    trainable, non_trainable, optimizer_variables, metrics = state
    compute = jax.value_and_grad(_vae_losses(model, data), has_aux=True)
    (_, (losses, non_trainable)), gradients = compute(trainable, non_trainable)
    trainable, optimizer_variables = model.optimizer.stateless_apply(
        optimizer_variables, gradients, trainable
    )
    logs, metrics = _track(model, metrics, losses)
    return logs, (trainable, non_trainable, optimizer_variables, metrics)


def vae_test_step(model, state, data):
    trainable, non_trainable, metrics = state
    _, (losses, non_trainable) = _vae_losses(model, data)(trainable, non_trainable)
    logs, metrics = _track(model, metrics, losses)
    return logs, (trainable, non_trainable, metrics)


def _vae_losses(model, data):
    def compute(trainable, non_trainable):
        with _scope(model, trainable, non_trainable) as scope:
            losses = model.all_losses(data)
        return losses["loss"], (losses, _now(scope, model.non_trainable_variables))

    return compute


def sharpness_step(model, state, data):
    """Two losses of one batch: at the weights, and where the first one rises most."""
    trainable, non_trainable, optimizer_variables, metrics = state
    x, y = data

    def compute_loss(trainable):
        loss, (_, _, *updated) = model.compute_loss_and_updates(
            trainable,
            non_trainable,
            metrics,
            x,
            y,
            None,
            training=True,
            optimizer_variables=optimizer_variables,
        )
        return loss, updated

    compute = jax.value_and_grad(compute_loss, has_aux=True)
    (first, _), gradients = compute(trainable)
    norm = ops.sqrt(sum(ops.sum(gradient**2) for gradient in gradients))
    moved = [w + g * (0.05 / (norm + 1e-12)) for w, g in zip(trainable, gradients, strict=True)]
    (_, (non_trainable, metrics)), gradients = compute(moved)
    trainable, optimizer_variables = model.optimizer.stateless_apply(
        optimizer_variables, gradients, trainable
    )
    logs, metrics = _seen(model, metrics, first, x)
    return logs, (trainable, non_trainable, optimizer_variables, metrics)


def gradient_penalty_step(model, state, data):
    x, y = data

    def compute_loss(trainable, non_trainable):
        y_pred, updated, losses = model.stateless_call(
            trainable, non_trainable, x, training=True, return_losses=True
        )
        slope = jax.grad(
            lambda x: ops.sum(model.stateless_call(trainable, non_trainable, x, training=True)[0])
        )(x)
        loss = ops.mean(ops.square(y - y_pred)) + 0.1 * ops.mean(ops.square(slope))
        return loss + sum(losses), updated

    return _updated(model, state, x, compute_loss)


def input_gradient(model, x):
    return jax.grad(lambda x: ops.sum(model(x, training=True)))(x)


def _updated(model, state, x, compute_loss):
    """Logs and state after a step down the gradient of `compute_loss`."""
    trainable, non_trainable, optimizer_variables, metrics = state
    compute = jax.value_and_grad(compute_loss, has_aux=True)
    (loss, non_trainable), gradients = compute(trainable, non_trainable)
    trainable, optimizer_variables = model.optimizer.stateless_apply(
        optimizer_variables, gradients, trainable
    )
    logs, metrics = _seen(model, metrics, loss, x)
    return logs, (trainable, non_trainable, optimizer_variables, metrics)


def _scope(model, trainable, non_trainable):
    mapping = [
        *zip(model.trainable_variables, trainable, strict=True),
        *zip(model.non_trainable_variables, non_trainable, strict=True),
    ]
    return keras.StatelessScope(state_mapping=mapping)


def _now(scope, variables):
    return [scope.get_current_value(v) for v in variables]


def _seen(model, metrics, loss, x):
    mapping = list(zip(model.metrics_variables, metrics, strict=True))
    with keras.StatelessScope(state_mapping=mapping) as scope:
        model.seen.update_state(loss, sample_weight=x.shape[0])
        logs = {"loss": model.seen.result()}
    return logs, _now(scope, model.metrics_variables)


def _track(model, metrics, losses):
    mapping = list(zip(model.metrics_variables, metrics, strict=True))
    with keras.StatelessScope(state_mapping=mapping) as scope:
        for tracker in model.metrics:
            tracker.update_state(losses[tracker.name])
        logs = {tracker.name: tracker.result() for tracker in model.metrics}
    return logs, _now(scope, model.metrics_variables)
