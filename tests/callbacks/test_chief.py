"""Which process prints and writes, asked of stand-ins for the libraries."""

from __future__ import annotations

import types

import keras
import pytest

from keras_regplus.callbacks import _chief

TENSORFLOW = types.SimpleNamespace(
    distribute=types.SimpleNamespace(
        get_strategy=lambda: types.SimpleNamespace(
            extended=types.SimpleNamespace(should_save_summary=True)
        )
    )
)
WORKER = types.SimpleNamespace(
    distribute_strategy=types.SimpleNamespace(
        extended=types.SimpleNamespace(should_save_summary=False)
    )
)


def jax_process(index, started=True):
    distributed = types.SimpleNamespace(is_initialized=lambda: started)
    return types.SimpleNamespace(distributed=distributed, process_index=lambda: index)


def torch_rank(rank, started=True):
    distributed = types.SimpleNamespace(
        is_available=lambda: True, is_initialized=lambda: started, get_rank=lambda: rank
    )
    return types.SimpleNamespace(distributed=distributed)


@pytest.mark.parametrize(
    ("modules", "model", "expected"),
    [
        ({}, None, True),
        ({"tensorflow": TENSORFLOW}, None, True),
        ({"tensorflow": TENSORFLOW}, WORKER, False),
        ({"jax": jax_process(0)}, None, True),
        ({"jax": jax_process(1)}, None, False),
        ({"jax": jax_process(1, started=False)}, None, True),
        ({"torch": torch_rank(0)}, None, True),
        ({"torch": torch_rank(2)}, None, False),
        ({"torch": torch_rank(2, started=False)}, None, True),
        ({"torch": types.SimpleNamespace()}, None, True),
        ({"tensorflow": TENSORFLOW, "jax": jax_process(0), "torch": torch_rank(1)}, None, False),
    ],
)
def test_one_process_of_several_is_the_chief(monkeypatch, modules, model, expected):
    monkeypatch.setattr(_chief, "sys", types.SimpleNamespace(modules=modules))
    assert _chief.is_chief(model) is expected


def test_a_process_alone_is_the_chief():
    assert _chief.is_chief()
    assert _chief.is_chief(keras.Sequential([keras.layers.Dense(1)]))
