"""Training steps as users of TensorFlow write them; each is the body of a `train_step`."""

import tensorflow as tf
from keras import ops


def guide_step(model, data):
    x, y = data
    with tf.GradientTape() as tape:
        y_pred = model(x, training=True)
        loss = model.compute_loss(y=y, y_pred=y_pred)
    _update(model, tape, loss)
    for metric in model.metrics:
        if metric.name == "loss":
            metric.update_state(loss)
        else:
            metric.update_state(y, y_pred)
    return {m.name: m.result() for m in model.metrics}


def own_loss_step(model, data):
    x, y = data
    with tf.GradientTape() as tape:
        loss = ops.mean(ops.square(y - model(x, training=True)))
        if model.adds_penalties:
            loss += sum(model.losses)
    _update(model, tape, loss)
    return _seen(model, loss, x)


def metrics_step(model, data):
    """As BayesFlow's: what is differentiated is one of the metrics."""
    x, y = data
    with tf.GradientTape() as tape:
        metrics = model.compute_metrics(x, y, stage="training")
        loss = metrics["loss"]
    _update(model, tape, loss)
    return _seen(model, loss, x)


def metrics_test_step(model, data):
    x, y = data
    return _seen(model, model.compute_metrics(x, y, stage="validation")["loss"], x)


def vae_step(model, data):
    with tf.GradientTape() as tape:
        losses = model.all_losses(data)
    _update(model, tape, losses["loss"])
    return _track(model, losses)


def vae_test_step(model, data):
    return _track(model, model.all_losses(data))


def sharpness_step(model, data):
    """Two losses of one batch: at the weights, and where the first one rises most."""
    x, y = data
    with tf.GradientTape() as tape:
        first = model.compute_loss(y=y, y_pred=model(x, training=True))
    weights = model.trainable_variables  # an eager step may be what builds the model
    gradients = tape.gradient(first, weights)
    scale = 0.05 / (tf.linalg.global_norm(gradients) + 1e-12)
    moves = [gradient * scale for gradient in gradients]
    for weight, move in zip(weights, moves, strict=True):
        weight.assign_add(move)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(y=y, y_pred=model(x, training=True))
    gradients = tape.gradient(loss, weights)
    for weight, move in zip(weights, moves, strict=True):
        weight.assign_sub(move)
    model.optimizer.apply(gradients, weights)
    return _seen(model, first, x)


def gradient_penalty_step(model, data):
    x, y = data
    with tf.GradientTape() as tape:
        with tf.GradientTape() as inner:
            inner.watch(x)
            y_pred = model(x, training=True)
        slope = inner.gradient(y_pred, x)
        loss = ops.mean(ops.square(y - y_pred)) + 0.1 * ops.mean(ops.square(slope))
        loss += sum(model.losses)
    _update(model, tape, loss)
    return _seen(model, loss, x)


def input_gradient(model, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y_pred = model(x, training=True)
    return tape.gradient(y_pred, x)


def _update(model, tape, loss):
    weights = model.trainable_variables
    model.optimizer.apply(tape.gradient(loss, weights), weights)


def _seen(model, loss, x):
    model.seen.update_state(loss, sample_weight=ops.shape(x)[0])
    return {"loss": model.seen.result()}


def _track(model, losses):
    for tracker in model.metrics:
        tracker.update_state(losses[tracker.name])
    return {tracker.name: tracker.result() for tracker in model.metrics}
