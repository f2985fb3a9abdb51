"""A running TensorBoard shows the numbers that were written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import keras
import numpy as np
import pytest

from keras_regplus.callbacks import WeightHistogram

X = np.linspace(-1, 1, 24, dtype="float32").reshape(8, 3)


@pytest.fixture
def server():
    """Starts servers; they are ended with the test."""
    started = []

    def start(folder) -> str:
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder)]
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", "0", "--reload_interval", "1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        for line in process.stderr:
            if found := re.search(r"http://\S+?:\d+/", line):
                return found[0]
        raise AssertionError("the server has ended without an address")

    yield start
    for process in started:
        process.kill()
        process.communicate()


def asked(url: str, **query):
    """The answer of the server, once it has read the logs."""
    full = f"{url}?{urllib.parse.urlencode(query)}"
    for _ in range(150):
        try:
            with urllib.request.urlopen(full, timeout=20) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError:
            found = None
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{full} has nothing to say")


def test_a_server_shows_histograms_and_metrics(server, tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(50, name="wide")], name="net")
    model.compile("sgd", "mse")
    kernels = [model.get_weights()[0]]
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: kernels.append(model.get_weights()[0])
    )
    callback = WeightHistogram(tmp_path, metrics=True)
    y = np.zeros((8, 50))
    history = model.fit(
        X, y, validation_data=(X, y), epochs=3, verbose=0, callbacks=[callback, keep]
    ).history
    url = server(tmp_path)
    tag = "net/wide/kernel/histogram"
    histograms = asked(f"{url}data/plugin/histograms/histograms", run="weights", tag=tag)
    assert [step for _, step, _ in histograms] == [0, 1, 2, 3]
    for (_, _, rows), kernel in zip(histograms, kernels, strict=True):
        left, right, counts = np.transpose(rows)
        edges = np.append(left, right[-1])
        assert counts.tolist() == np.histogram(kernel.astype("float64"), edges)[0].tolist()
    for run, key in (("train", "loss"), ("validation", "val_loss")):
        scalars = asked(f"{url}data/plugin/scalars/scalars", run=run, tag="epoch_loss")
        assert [value for _, _, value in scalars] == pytest.approx(history[key])
