"""Which of several training processes prints and writes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["is_chief"]


def is_chief(model: Any = None) -> bool:
    """Whether this process is the one that prints and writes; True where it trains alone.

    Only libraries that are loaded already are asked, and only questions that
    start no device. A model in training knows its `tf.distribute` strategy also
    outside of the strategy's scope, so hand it over where there is one.
    """
    return (
        _says("tensorflow", lambda library: _is_tensorflow_chief(library, model))
        and _says("jax", _is_jax_chief)
        and _says("torch", _is_torch_chief)
    )


def _says(name: str, question: Callable[[Any], bool]) -> bool:
    library = sys.modules.get(name)
    if library is not None:
        # A library that is half imported or built without distribution trains alone.
        with contextlib.suppress(Exception):
            return bool(question(library))
    return True


def _is_tensorflow_chief(tensorflow: Any, model: Any) -> bool:
    strategy = getattr(model, "distribute_strategy", None) or tensorflow.distribute.get_strategy()
    return strategy.extended.should_save_summary


def _is_jax_chief(jax: Any) -> bool:
    # process_index() alone would start the devices, also where JAX is not the backend.
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def _is_torch_chief(torch: Any) -> bool:
    distributed = torch.distributed
    alone = not distributed.is_available() or not distributed.is_initialized()
    return alone or distributed.get_rank() == 0
