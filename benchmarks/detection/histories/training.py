"""Networks that are trained with all seeds at once, in JAX."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.detection.histories.design import RUNS, Config, Rng


def rates(c: Config) -> np.ndarray:
    """The learning rate by epoch."""
    epoch, epochs = np.arange(c["epochs"]), c["epochs"]
    shape = np.ones(epochs)
    if c["schedule"] == "cosine":
        shape = 0.5 + 0.5 * np.cos(np.pi * epoch / epochs)
    elif c["schedule"] == "cyclic":
        shape = 0.5 + 0.5 * np.cos(np.pi * (epoch % c["period"]) / c["period"])
    elif c["schedule"] == "triangle":
        shape = 0.05 + 0.95 * (1 - np.abs(2 * (epoch % c["period"]) / c["period"] - 1))
    elif c["schedule"] in ("drop", "two_drops"):
        shape = np.where(epoch < c["drop_at"] * epochs, 1.0, c["drop_by"])
        if c["schedule"] == "two_drops":
            shape = np.where(epoch < (1 + c["drop_at"]) / 2 * epochs, shape, c["drop_by"] ** 2)
    if c.get("warm"):
        shape = shape * np.minimum(1, (epoch + 1) / (c["warm"] * epochs))
    return c["lr"] * shape


def loss(params: Any, x: Any, y: Any, weight: Any, masks: Any, l2: Any, act: str) -> Any:
    """The mean loss of one batch of one seed, with the penalty."""
    for depth, (kernel, bias) in enumerate(params):
        x = x @ kernel + bias
        if depth < len(params) - 1:
            x = {"relu": jax.nn.relu, "tanh": jnp.tanh, "gelu": jax.nn.gelu}[act](x)
            x = x * masks[depth] if masks else x
    classes = y.shape[-1] > 1
    each = -(y * jax.nn.log_softmax(x)).sum(-1) if classes else (x - y)[:, 0] ** 2
    return (each * weight).sum() / weight.sum() + l2 * sum((k**2).sum() for k, _ in params)


def update(opt: str, params: Any, grads: Any, state: Any, rate: Any, step: Any) -> Any:
    """One step of plain SGD, of momentum 0.9, or of Adam with the usual constants."""
    first, second = state
    by_leaf = jax.tree.map
    if opt == "sgd":
        return by_leaf(lambda p, g: p - rate * g, params, grads), state
    if opt == "momentum":
        first = by_leaf(lambda m, g: 0.9 * m - rate * g, first, grads)
        return by_leaf(jnp.add, params, first), (first, second)
    first = by_leaf(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
    second = by_leaf(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
    rate = rate * jnp.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    moves = by_leaf(lambda m, v: rate * m / (jnp.sqrt(v) + 1e-7), first, second)
    return by_leaf(jnp.subtract, params, moves), (first, second)


@partial(jax.jit, static_argnames=("act", "opt", "dropping"))
def fit(params: Any, data: Any, plan: Any, act: str, opt: str, dropping: bool) -> Any:
    """Losses by epoch and seed: training, validation."""
    over_seeds = jax.vmap(partial(loss, act=act), in_axes=(0, 0, 0, 0, 0, None))
    gradients = jax.vmap(
        jax.value_and_grad(partial(loss, act=act)), in_axes=(0, 0, 0, None, 0, None)
    )
    x_val, y_val = data["x"][data["rows_val"]], data["y_val"][data["rows_val"]]
    hidden = [kernel.shape[-1] for kernel, _ in params[:-1]]

    def step(carry: Any, now: Any) -> Any:
        params, state, count, key = carry
        rows, weight, rate = now
        masks = []
        if dropping:
            key, *keys = jax.random.split(key, len(hidden) + 1)
            keep = 1 - plan["dropout"]
            masks = [
                jax.random.bernoulli(k, keep, (*rows.shape, width)) / keep
                for k, width in zip(keys, hidden, strict=True)
            ]
        value, grads = gradients(
            params, data["x"][rows], data["y"][rows], weight, masks, plan["l2"]
        )
        params, state = update(opt, params, grads, state, rate, count)
        return (params, state, count + 1, key), value * weight.sum()

    def epoch(carry: Any, now: Any) -> Any:
        order, rate = now
        rate = jnp.full(len(plan["weights"]), rate)
        carry, sums = jax.lax.scan(step, carry, (order, plan["weights"], rate))
        ones = jnp.ones(data["rows_val"].shape)
        val = over_seeds(carry[0], x_val, y_val, ones, [], plan["l2"])
        return carry, (sums.sum(0) / plan["weights"].sum(), val)

    zeros = jax.tree.map(jnp.zeros_like, params)
    carry = (params, (zeros, zeros), jnp.float32(1), plan["key"])
    return jax.lax.scan(epoch, carry, (plan["order"], plan["rates"]))[1]


def layers(c: Config, data: dict[str, np.ndarray]) -> list[tuple[int, int]]:
    """Inputs and outputs of each layer."""
    return list(pairwise([data["x"].shape[1], *[c["width"]] * c["depth"], data["y"].shape[1]]))


def train(rng: Rng, c: Config, data: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation losses, by seed and epoch."""
    params = []
    for fan_in, fan_out in layers(c, data):
        limit = math.sqrt(6 / (fan_in + fan_out))
        kernel = rng.uniform(-limit, limit, (RUNS, fan_in, fan_out)).astype(np.float32)
        params.append((kernel, np.zeros((RUNS, fan_out), np.float32)))
    batch = min(c["batch"], c["n"])
    steps = math.ceil(c["n"] / batch)
    order = np.zeros((c["epochs"], RUNS, steps * batch), np.int32)
    for now in order:
        now[:, : c["n"]] = rng.permuted(data["rows"], axis=1)
    plan = {
        # The last batch may be short: its empty places weigh nothing.
        "weights": (np.arange(steps * batch) < c["n"]).reshape(steps, batch).astype(np.float32),
        "order": order.reshape(c["epochs"], RUNS, steps, batch).transpose(0, 2, 1, 3),
        "rates": rates(c).astype(np.float32),
        "key": jax.random.key(int(rng.integers(2**31)), impl="rbg"),
        "dropout": np.float32(c["dropout"]),
        "l2": np.float32(c["l2"]),
    }
    dropping = c["dropout"] > 0 and c["depth"] > 0
    losses = fit(params, data, plan, c["act"], c["opt"], dropping)
    return np.asarray(losses[0], float).T, np.asarray(losses[1], float).T
