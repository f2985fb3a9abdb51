"""Training steps as users of torch write them; each is the body of a `train_step`."""

import torch
from keras import ops

from .own_steps import apply_torch


def guide_step(model, data):
    x, y = data
    model.zero_grad()
    y_pred = model(x, training=True)
    loss = model.compute_loss(y=y, y_pred=y_pred)
    apply_torch(model.optimizer, loss, model.trainable_weights)
    for metric in model.metrics:
        if metric.name == "loss":
            metric.update_state(loss)
        else:
            metric.update_state(y, y_pred)
    return {m.name: m.result() for m in model.metrics}


def own_loss_step(model, data):
    x, y = data
    model.zero_grad()
    loss = ops.mean(ops.square(y - model(x, training=True)))
    if model.adds_penalties:
        loss = loss + sum(model.losses)
    apply_torch(model.optimizer, loss, model.trainable_weights)
    return _seen(model, loss, x)


def metrics_step(model, data):
    """As BayesFlow's: what is differentiated is one of the metrics."""
    x, y = data
    model.zero_grad()
    metrics = model.compute_metrics(x, y, stage="training")
    loss = metrics["loss"]
    apply_torch(model.optimizer, loss, model.trainable_weights)
    return _seen(model, loss, x)


def metrics_test_step(model, data):
    x, y = data
    return _seen(model, model.compute_metrics(x, y, stage="validation")["loss"], x)


def vae_step(model, data):
    model.zero_grad()
    losses = model.all_losses(data)
    apply_torch(model.optimizer, losses["loss"], model.trainable_weights)
    return _track(model, losses)


def vae_test_step(model, data):
    return _track(model, model.all_losses(data))


def sharpness_step(model, data):
    """Two losses of one batch: at the weights, and where the first one rises most."""
    x, y = data
    model.zero_grad()
    first = model.compute_loss(y=y, y_pred=model(x, training=True))
    first.backward()
    weights = [weight.value for weight in model.trainable_weights]
    with torch.no_grad():
        norm = torch.sqrt(sum((weight.grad**2).sum() for weight in weights))
        moves = [weight.grad * (0.05 / (norm + 1e-12)) for weight in weights]
        for weight, move in zip(weights, moves, strict=True):
            weight.add_(move)
    model.zero_grad()
    loss = model.compute_loss(y=y, y_pred=model(x, training=True))
    loss.backward()
    with torch.no_grad():
        for weight, move in zip(weights, moves, strict=True):
            weight.sub_(move)
        model.optimizer.apply([weight.grad for weight in weights], model.trainable_weights)
    return _seen(model, first, x)


def gradient_penalty_step(model, data):
    x, y = data
    model.zero_grad()
    slope = input_gradient(model, x)
    loss = ops.mean(ops.square(y - model(x, training=True))) + 0.1 * ops.mean(ops.square(slope))
    loss = loss + sum(model.losses)
    apply_torch(model.optimizer, loss, model.trainable_weights)
    return _seen(model, loss, x)


def input_gradient(model, x):
    x = x.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(model(x, training=True).sum(), x, create_graph=True)
    return slope


def _seen(model, loss, x):
    model.seen.update_state(loss, sample_weight=x.shape[0])
    return {"loss": model.seen.result()}


def _track(model, losses):
    for tracker in model.metrics:
        tracker.update_state(losses[tracker.name])
    return {tracker.name: tracker.result() for tracker in model.metrics}
