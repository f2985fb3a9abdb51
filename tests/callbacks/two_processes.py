"""One of two processes that train one model together: `python two_processes.py RANK PORT FOLDER`.

The last line that it prints is a JSON object: what it saw, decided and ended with.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils


def main(rank: int, port: str, folder: Path) -> None:
    address = f"127.0.0.1:{port}"
    jax.distributed.initialize(
        address, num_processes=2, process_id=rank, coordinator_bind_address=address
    )
    # Keras asks for the devices when it is imported: JAX must know of its peers by then.
    import keras

    data_parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
    keras.distribution.set_distribution(data_parallel)
    print(json.dumps(train(rank, folder)))


def train(rank: int, folder: Path) -> dict:
    """A training that is cut short after three epochs, and continued with another detector."""
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Dense(64, "relu"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    rng = np.random.default_rng(rank)
    x, y = rng.normal(size=(16, 20)), rng.normal(size=(16, 1))
    # Targets of the opposite sign: validation grows worse from the first epochs on.
    fit = {"x": x, "y": y, "validation_data": (x, -y), "verbose": 0}
    with contextlib.suppress(InterruptedError):
        model.fit(**fit, epochs=40, callbacks=[*ours(rank, folder), cut_short_after(2)])
    multihost_utils.sync_global_devices("the file of the first detector is written")
    callbacks = ours(rank, folder)
    model.fit(**fit, initial_epoch=3, epochs=40, callbacks=callbacks)
    detector = callbacks[0]
    return {
        "history": detector.history,
        "stopped": detector.stopped_epoch,
        "weights": [float(np.sum(np.abs(weight))) for weight in model.get_weights()],
    }


def ours(rank: int, folder: Path) -> list:
    from keras_regplus import callbacks

    detector = callbacks.OverfittingDetector(
        "loss", action="stop", restore_best_weights=True, state_file=folder / "state.json"
    )
    # A folder of its own for each process shows who writes.
    histograms = callbacks.WeightHistogram(folder / f"logs_of_{rank}")
    return [detector, callbacks.EpochDots(), histograms]


def cut_short_after(last: int):
    import keras

    def on_epoch_end(epoch, logs=None):
        if epoch == last:
            raise InterruptedError

    return keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
