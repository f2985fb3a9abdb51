"""The tutorial "Overfit and underfit" on data that needs no download.

Eight networks learn from a few patients which tumours are benign: four sizes, then
the largest with a penalty, with dropout, and with both.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterable
from pathlib import Path

import keras

from keras_regplus import callbacks
from keras_regplus._quiet_start import quiet
from keras_regplus.command import _demo_output as demo_output
from keras_regplus.command import _demo_training as training

__all__ = ["DemoError", "run"]

# Libraries that the package itself does not need: the name to import, and that to install.
_LIBRARIES = {"matplotlib": "matplotlib", "sklearn": "scikit-learn"}


class DemoError(RuntimeError):
    """The demo cannot run here; the message says why in one line."""


def run(output: str | Path = "regplus_demo", epochs: int | None = None, seed: int = 1) -> None:
    """Train the eight networks, and print and draw how they ended.

    Use it through the command line, `python -m keras_regplus demo`.

    Args:
        output: Folder for the picture and the TensorBoard logs; made where it is
            missing. Defaults to `"regplus_demo"`.
        epochs: At most so many epochs for each network, at least 1. Defaults to
            None: as many as it needs, up to 60.
        seed: Seed of the split of the data and of each network, from 0 to 2**32 - 1.
            Defaults to 1.

    Raises:
        DemoError: If matplotlib or scikit-learn is missing, or `output` cannot be
            written.
    """
    started = time.perf_counter()
    _require_libraries()
    output, experiments = Path(output), training.experiments()
    picture, logs = output / "curves.png", output / "logs"
    _prepare(picture, logs, experiments)
    _use_one_thread()
    with quiet():
        # On every backend Keras loads TensorFlow here, too, where it is installed.
        keras.utils.set_random_seed(seed)
    data, detector = training.load_data(seed), training.make_detector()
    # One object for all trainings, so that its legend comes once.
    dots = callbacks.EpochDots(
        30, detector=detector, metrics=[training.METRIC, f"val_{training.METRIC}"], wrap=True
    )
    demo_output.print_introduction(data)
    results = []
    for number, experiment in enumerate(experiments, start=1):
        print(f"[{number}/{len(experiments)}] {experiment.name}: {experiment.shows}")
        result = training.train(
            experiment, data, logs, detector, epochs=epochs, seed=seed, dots=dots
        )
        demo_output.print_ending(result)
        results.append(result)
    demo_output.draw_curves(results, picture)
    demo_output.print_table(results)
    demo_output.print_notes(results)
    demo_output.print_comparison(results)
    demo_output.print_where_to_look(picture, logs, time.perf_counter() - started)


def _require_libraries() -> None:
    missing = [
        library for module, library in _LIBRARIES.items() if not importlib.util.find_spec(module)
    ]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        install = f"pip install {' '.join(missing)}"
        raise DemoError(f"{' and '.join(missing)} {verb} missing. Run `{install}`.")


def _prepare(picture: Path, logs: Path, experiments: Iterable[training.Experiment]) -> None:
    """Make the folder, prove that it can be written, and remove the events of an earlier demo."""
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.touch()
        for experiment in experiments:
            for events in (logs / experiment.folder).rglob("events.out.tfevents.*"):
                events.unlink()
    except OSError as error:
        folder = str(picture.parent)
        raise DemoError(f"cannot write to {folder!r}: {error.strerror or error}.") from error


def _use_one_thread() -> None:
    # Torch's threads wait for each other in busy loops. On cores that others use, too, that
    # makes these small networks ten times slower, and on free ones they gain nothing by it.
    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(1)
