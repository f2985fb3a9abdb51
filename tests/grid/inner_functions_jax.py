"""Ways to compile or transform a function inside a training step that JAX has."""

import functools
import types

import jax
import jax.numpy as jnp
import keras


def in_init(compute):
    return jax.jit(compute)


def in_closure(compute):
    function = jax.jit(compute)
    return lambda x: function(x)


def call_plainly(compute, x):
    return compute(x)


call = functools.partial(jax.jit, static_argnums=0)(call_plainly)


def at_module_level(compute):
    return lambda x: call(compute, x)


def within_another(compute):
    inner = jax.jit(compute)
    return jax.jit(lambda x: inner(x) + 0.0)


TOOLS = types.SimpleNamespace(call=functools.partial(jax.jit, static_argnums=0)(call_plainly))


def out_of_sight(compute):
    """A function that is not found from the model."""
    return lambda x: TOOLS.call(compute, x)


def checkpoint(compute):
    return jax.checkpoint(compute)


def scan(compute):
    return lambda x: jax.lax.scan(lambda carry, row: (carry, compute(row)), 0.0, x)[1]


def cond(compute):
    return lambda x: jax.lax.cond(jnp.sum(x) > -1e9, compute, lambda x: 0.0 * x, x)


def while_loop(compute):
    """Not one that is differentiated, as JAX cannot."""

    def run(x):
        still = jax.lax.stop_gradient(x)

        def body(state):
            return state[0] + 1, state[1] + compute(still) / 3.0

        return 0.0 * x + jax.lax.while_loop(lambda s: s[0] < 3, body, (0, jnp.zeros_like(x)))[1]

    return run


def vmap(compute):
    return jax.vmap(compute)


def custom_vjp(compute):
    @jax.custom_vjp
    def run(x):
        return compute(x)

    run.defvjp(lambda x: (compute(x), None), lambda _, upstream: (upstream,))
    return run


def linearize(compute):
    return lambda x: jax.jvp(compute, (x,), (jnp.zeros_like(x),))[0]


def stateless_scope(compute):
    def run(x):
        with keras.StatelessScope():
            return compute(x)

    return run


WAYS = {
    "jax.jit of the object": in_init,
    "jax.jit in a closure": in_closure,
    "jax.jit at module level": at_module_level,
    "jax.jit in another": within_another,
    "jax.jit out of sight": out_of_sight,
    "jax.checkpoint": checkpoint,
    "jax.lax.scan": scan,
    "jax.lax.cond": cond,
    "jax.lax.while_loop": while_loop,
    "jax.vmap": vmap,
    "jax.custom_vjp": custom_vjp,
    "jax.jvp": linearize,
    "keras.StatelessScope": stateless_scope,
}
