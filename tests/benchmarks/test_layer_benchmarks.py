"""The benchmarks of the layers run, and what they print is computed as they say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.cost import layers_time
from benchmarks.effect import dropped_share, layers_on_digits
from keras_regplus.schedules import LinearWarmup

WARMUP = LinearWarmup(10)


@pytest.mark.parametrize(("rate", "block", "size"), dropped_share.SETTINGS, ids=str)
def test_the_expected_share_is_that_of_the_papers_formula(rate, block, size):
    height, width = (min(block, cells) for cells in size)
    places = (size[0] - height + 1) * (size[1] - width + 1)
    gamma = rate * size[0] * size[1] / (height * width * places)
    covering = np.zeros(size)
    for i, j in itertools.product(range(size[0] - height + 1), range(size[1] - width + 1)):
        covering[i : i + height, j : j + width] += 1
    expected = 1 - ((1 - gamma) ** covering).mean()
    assert dropped_share.expected(rate, block, size) == pytest.approx(expected)


def test_a_package_that_is_missing_or_fails_has_no_number():
    def missing(*_):
        raise ModuleNotFoundError

    def failing(*_):
        raise ZeroDivisionError

    assert dropped_share.share(missing, (0.1, 7, (14, 14))) == "not installed"
    assert dropped_share.share(failing, (0.1, 7, (14, 14))) == "ZeroDivisionError"


def test_shares_are_printed(monkeypatch, capsys):
    monkeypatch.setattr(dropped_share, "COLUMNS", {"half": lambda *_: np.array([0.0, 1.0])})
    monkeypatch.setattr(dropped_share, "SETTINGS", [(0.1, 7, (7, 7))])
    assert dropped_share.main(["--markdown"]) == 0
    assert "| 0.1 | 7 | 7x7 | 0.100 | 0.500 |" in capsys.readouterr().out


def test_times_are_printed_for_each_layer(monkeypatch, capsys):
    names = ["keras Dropout", "DropBlock2D, exact rate"]
    monkeypatch.setattr(layers_time, "VARIANTS", {n: layers_time.VARIANTS[n] for n in names})
    monkeypatch.setattr(layers_time, "BATCH", 2)
    monkeypatch.setattr(layers_time, "MAP", (8, 8, 2))
    assert layers_time.main(["1", "2"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)


@pytest.mark.parametrize("name", layers_on_digits.variants(WARMUP, WARMUP))
def test_there_is_a_network_with_each_layer(name):
    places = layers_on_digits.variants(WARMUP, WARMUP)[name]
    plain, model = layers_on_digits.network(), layers_on_digits.network(**places)
    assert [w.shape for w in model.weights] == [w.shape for w in plain.weights]
    ours = [layer for layer in model.layers if type(layer).__module__.startswith("keras_regplus")]
    assert bool(ours) == (name != "none")


def test_what_the_networks_learn_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(layers_on_digits, "FILTERS", 2)
    monkeypatch.setattr(layers_on_digits, "BLOCKS", 1)
    monkeypatch.setattr(layers_on_digits, "variants", lambda *_: {"none": {}})
    assert layers_on_digits.main(["1", "2"]) == 0
    *_, head, line, row = capsys.readouterr().out.splitlines()
    assert (head.count("|"), line.count("---"), row.count("±")) == (5, 4, 3)
