"""Variables that a compiled step can read and write, and that are no weights.

Private names of Keras used here, tried with 3.12.4 and 3.15.1: `Layer._seed_generators`,
`Trainer._jax_state_synced`. `tests/grid/test_clock.py` fails when one moves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

__all__ = [
    "hidden_variable",
    "number_of",
    "on_jax",
    "temporary_variable",
    "weights_safe_on_error",
]


def number_of(value: Any) -> float:
    """A scalar of any backend as a number, on the host."""
    return float(ops.convert_to_numpy(value))


def on_jax() -> bool:
    return keras.backend.backend() == "jax"


def hidden_variable(
    model: keras.Model, name: str, value: Any, dtype: str, **kwargs: Any
) -> keras.Variable:
    """A variable that a compiled step can read and write, and that is no weight.

    On JAX it has to ride in the model's non-trainable state; the list of seed
    generators is state that is in no weight file and in no count of weights.
    """
    with contextlib.ExitStack() as stack:
        if keras.backend.backend() == "tensorflow":
            stack.enter_context(model.distribute_strategy.scope())
        variable = keras.Variable(
            value,
            dtype=dtype,
            trainable=False,
            autocast=False,
            name=f"{model.name}_regplus_{name}",
            **kwargs,
        )
    if on_jax():
        model._seed_generators.append(_StateHolder(variable))
    return variable


@contextlib.contextmanager
def temporary_variable(
    model: keras.Model, name: str, value: Any, dtype: str
) -> Iterator[keras.Variable]:
    """A `hidden_variable` for a while, the same on all replicas."""
    variable = hidden_variable(model, name, value, dtype, aggregation="only_first_replica")
    try:
        yield variable
    finally:
        if on_jax():
            # Other generators may have come after it.
            states = [generator.state for generator in model._seed_generators]
            model._seed_generators.pop(next(i for i, s in enumerate(states) if s is variable))


@contextlib.contextmanager
def weights_safe_on_error(model: keras.Model) -> Iterator[None]:
    """Let an `evaluate` fail without harm to a training: on JAX it would keep the weights."""
    variables = [*model.variables, *model.metrics_variables] if on_jax() else []
    values = [variable.value for variable in variables]
    try:
        yield
    except Exception:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        if on_jax():
            model._jax_state_synced = True
        raise


class _StateHolder:
    """Looks like a seed generator to a layer: something with a `state`."""

    def __init__(self, state: keras.Variable):
        self.state = state
