"""Ways to compile a function inside a training step that TensorFlow has."""

import types

import tensorflow as tf


def in_init(compute):
    return tf.function(compute)


def in_closure(compute):
    function = tf.function(compute)
    return lambda x: function(x)


def by_xla(compute):
    return tf.function(compute, jit_compile=True)


def with_signature(compute):
    signatures = {}

    def run(x):
        shape = tuple(x.shape)
        if shape not in signatures:
            spec = tf.TensorSpec(shape, x.dtype)
            signatures[shape] = tf.function(compute, input_signature=[spec])
        return signatures[shape](x)

    return run


@tf.function
def call(compute, x):
    return compute(x)


def at_module_level(compute):
    return lambda x: call(compute, x)


def within_another(compute):
    inner = tf.function(compute)
    return tf.function(lambda x: inner(x) + 0.0)


def helper(compute, x):
    return call(compute, x)


def by_helpers(compute):
    return lambda x: helper(compute, x)


TOOLS = types.SimpleNamespace(call=tf.function(lambda compute, x: compute(x)))


def out_of_sight(compute):
    """A function that is not found from the model."""
    return lambda x: TOOLS.call(compute, x)


def while_loop(compute):
    def run(x):
        def body(i, total):
            return i + 1, total + compute(x) / 3.0

        return tf.while_loop(lambda i, total: i < 3, body, (0, tf.zeros_like(x)))[1]

    return run


def map_fn(compute):
    return lambda x: tf.map_fn(compute, x)


def vectorized_map(compute):
    return lambda x: tf.vectorized_map(compute, x)


def cond(compute):
    return lambda x: tf.cond(tf.reduce_sum(x) > -1e9, lambda: compute(x), lambda: 0.0 * x)


def recompute_grad(compute):
    return tf.recompute_grad(compute)


def custom_gradient(compute):
    @tf.custom_gradient
    def run(x):
        return compute(x), lambda upstream: upstream

    return run


WAYS = {
    "tf.function of the object": in_init,
    "tf.function in a closure": in_closure,
    "tf.function(jit_compile=True)": by_xla,
    "tf.function(input_signature)": with_signature,
    "tf.function at module level": at_module_level,
    "tf.function behind a helper": by_helpers,
    "tf.function in another": within_another,
    "tf.function out of sight": out_of_sight,
    "tf.while_loop": while_loop,
    "tf.map_fn": map_fn,
    "tf.vectorized_map": vectorized_map,
    "tf.cond": cond,
    "tf.recompute_grad": recompute_grad,
    "tf.custom_gradient": custom_gradient,
}
