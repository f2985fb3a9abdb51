"""The tutorial "Overfit and underfit", retold on data that needs no download.

Eight networks learn from a few patients which tumours are benign: four sizes, then
the largest with a penalty, with dropout, and with both.
"""

from __future__ import annotations

import importlib.util
import shlex
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_regplus import callbacks, layers, regularizers, schedules
from keras_regplus.diagnosis import Diagnosis
from keras_regplus.plots import HistoryPlotter

__all__ = ["DemoError", "run"]

# The sizes and concavities of the cells tell nearly every tumour apart: with them all
# eight networks end within each other's errors. These measurements are harder.
_MEASUREMENTS = ("texture", "smoothness", "symmetry", "fractal dimension")
_TRAIN_ROWS, _VALIDATION_ROWS = 120, 200
_BATCH_SIZE, _LEARNING_RATE, _EPOCHS = 30, 2e-4, 150
_L1, _L2, _DROPOUT = 3e-4, 2e-2, 0.5
# Steps, 4 to an epoch: the networks begin free and are held before most of them turn.
_WARMUP = 40
_METRIC = "binary_crossentropy"
_BASE = "Large"
_LARGE = (512,) * 4


class DemoError(RuntimeError):
    """The demo cannot run here; the message says why in one line."""


class _Data(NamedTuple):
    """Features and labels of the three parts."""

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class _Experiment:
    name: str
    shows: str
    hidden: tuple[int, ...]
    penalty: keras.regularizers.Regularizer | None = None
    dropout: float = 0.0

    @property
    def scheduled(self) -> bool:
        return self.penalty is not None or self.dropout > 0


@dataclass(frozen=True)
class _Result:
    """How a run ended. Crossentropies and hits are those of each row, at the best epoch."""

    name: str
    parameters: int
    history: keras.callbacks.History
    diagnosis: Diagnosis
    validation: _Scores
    test: _Scores


@dataclass(frozen=True)
class _Scores:
    crossentropy: np.ndarray
    hits: np.ndarray

    @classmethod
    def of(cls, logits: np.ndarray, y: np.ndarray) -> _Scores:
        # The network's outputs are logits: 0, and not 0.5, is where it is undecided.
        return cls(np.logaddexp(0, logits) - y * logits, (logits > 0) == (y > 0.5))

    def __getitem__(self, rows: slice) -> _Scores:
        return _Scores(self.crossentropy[rows], self.hits[rows])


def run(output: str | Path = "regplus_demo", epochs: int | None = None, seed: int = 1) -> None:
    """Train the eight networks, and print and draw what came out.

    Use it through the command line, `python -m keras_regplus demo`.

    Args:
        output: Folder for the picture and the TensorBoard logs.
        epochs: At most so many epochs for each network, at least 1. Defaults to
            None, as many as it needs.
        seed: Of the split of the data and of each network. Defaults to 1.

    Raises:
        DemoError: A package is missing, or the folder cannot be written.
    """
    started = time.perf_counter()
    _require_packages()
    output = _prepared(Path(output))
    _use_one_thread()
    data = _load(seed)
    _print_introduction(data)
    results = []
    experiments = _experiments()
    for number, experiment in enumerate(experiments, start=1):
        print(f"[{number}/{len(experiments)}] {experiment.name}: {experiment.shows}")
        result = _train(experiment, data, output / "logs", epochs or _EPOCHS, seed)
        print(_ending(result))
        _say(result.diagnosis.reason)
        results.append(result)
    _draw(results, output / "curves.png")
    _print_table(results)
    _print_notes(results)
    _print_comparison(results)
    _print_where_to_look(output, time.perf_counter() - started)


def _experiments() -> tuple[_Experiment, ...]:
    l2 = regularizers.ScheduledL2(_L2, schedules.LinearWarmup(_WARMUP))
    l1_l2 = regularizers.WarmupL1L2(l1=_L1, l2=_L2, warmup=_WARMUP)
    light_l2 = regularizers.ScheduledL2(_L2 / 2, schedules.LinearWarmup(_WARMUP))
    return (
        _Experiment("Tiny", "1 hidden layer of 16 units", (16,)),
        _Experiment("Small", "2 hidden layers of 16 units", (16, 16)),
        _Experiment("Medium", "3 hidden layers of 64 units", (64, 64, 64)),
        _Experiment("Large", "4 hidden layers of 512 units", _LARGE),
        _Experiment("Large + L2", "with ScheduledL2", _LARGE, l2),
        _Experiment("Large + L1L2", "with WarmupL1L2", _LARGE, l1_l2),
        _Experiment("Large + dropout", "with ScheduledDropout", _LARGE, None, _DROPOUT),
        _Experiment("Large + both", "with both, the L2 lighter", _LARGE, light_l2, _DROPOUT),
    )


def _require_packages() -> None:
    for package in ("sklearn", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            raise DemoError(f'{package} is missing. Run `pip install "keras-regplus[demo]"`.')


def _prepared(output: Path) -> Path:
    """The folder, made and proved to be writable, without the events of an earlier demo."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / "curves.png").touch()
        for experiment in _experiments():
            for events in _log_dir(output / "logs", experiment).rglob("events.out.tfevents.*"):
                events.unlink()
    except OSError as error:
        raise DemoError(f"cannot write to {str(output)!r}: {error.strerror or error}.") from error
    return output


def _use_one_thread() -> None:
    # Torch's threads wait for each other in busy loops. On cores that others use, too, that
    # makes these small networks ten times slower, and on free ones they gain nothing by it.
    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(1)


def _log_dir(logs: Path, experiment: _Experiment) -> Path:
    return logs / experiment.name.lower().replace(" + ", "_")


def _load(seed: int) -> _Data:
    from sklearn.datasets import load_breast_cancer

    source = load_breast_cancer()
    columns = [any(word in name for word in _MEASUREMENTS) for name in source.feature_names]
    order = np.random.default_rng(seed).permutation(len(source.target))
    x, y = source.data[order][:, columns], source.target[order, np.newaxis].astype("float32")
    seen = x[:_TRAIN_ROWS]
    x = ((x - seen.mean(axis=0)) / seen.std(axis=0)).astype("float32")
    edges = (_TRAIN_ROWS, _TRAIN_ROWS + _VALIDATION_ROWS)
    return _Data(*zip(np.split(x, edges), np.split(y, edges), strict=True))


def _build(experiment: _Experiment, features: int) -> keras.Model:
    model = keras.Sequential([keras.Input((features,))], name="network")
    # Names of their own let TensorBoard show the same layer of all runs side by side.
    for number, units in enumerate(experiment.hidden, start=1):
        model.add(
            keras.layers.Dense(
                units,
                activation="elu",
                kernel_regularizer=experiment.penalty,
                name=f"hidden_{number}",
            )
        )
        if experiment.dropout:
            warmup = schedules.LinearWarmup(_WARMUP)
            model.add(layers.ScheduledDropout(experiment.dropout, warmup, name=f"drop_{number}"))
    model.add(keras.layers.Dense(1, name="logit"))
    model.compile(
        keras.optimizers.Adam(_LEARNING_RATE),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.BinaryCrossentropy(from_logits=True, name=_METRIC),
            keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy"),
        ],
    )
    return model


def _train(experiment: _Experiment, data: _Data, logs: Path, epochs: int, seed: int) -> _Result:
    keras.utils.set_random_seed(seed)
    model = _build(experiment, features=data.train[0].shape[1])
    # The loss contains the penalty, which shrinks while the network overfits.
    detector = callbacks.OverfittingDetector(
        monitor=_METRIC, action="stop", restore_best_weights=True, verbose=0
    )
    history = model.fit(
        *data.train,
        validation_data=data.validation,
        batch_size=_BATCH_SIZE,
        validation_batch_size=_VALIDATION_ROWS,
        epochs=epochs,
        verbose=0,
        callbacks=[
            *([callbacks.RegularizationScheduler(log=False)] if experiment.scheduled else []),
            detector,
            callbacks.EpochDots(detector=detector),
            callbacks.WeightHistogram(str(_log_dir(logs, experiment)), histogram_freq=5),
        ],
    )
    parameters, scores = model.count_params(), _scores(model, data)
    return _Result(experiment.name, parameters, history, detector.diagnosis, *scores)


def _scores(model: keras.Model, data: _Data) -> tuple[_Scores, _Scores]:
    """Those of the validation and of the test rows."""
    x, y = (np.concatenate(parts) for parts in zip(data.validation, data.test, strict=True))
    # Called and not `predict`ed: a function compiled for one call costs more than it saves.
    scores = _Scores.of(keras.ops.convert_to_numpy(model(x, training=False)), y)
    return scores[:_VALIDATION_ROWS], scores[_VALIDATION_ROWS:]


def _say(text: str) -> None:
    print(textwrap.fill(text, width=79), end="\n\n")


def _print_introduction(data: _Data) -> None:
    train, validation, test = (len(y) for _, y in data)
    _say("Overfit and underfit: eight networks learn which tumours are benign.")
    _say(
        f"The data are scikit-learn's, on breast cancer: {train} patients to train on, "
        f"{validation} to validate, {test} to test. Of the cells the networks see only "
        f"{', '.join(_MEASUREMENTS)}; with the other measurements the task is easy. "
        f"Keras runs on {keras.backend.backend()}."
    )
    _say("Epochs: . learning  ~ stagnating  - plateau  ! overfitting  x diverging")


def _ending(result: _Result) -> str:
    diagnosis = result.diagnosis
    text = f"{diagnosis.verdict} at epoch {result.history.epoch[-1]}"
    if diagnosis.onset_epoch is not None:
        text += f", since epoch {diagnosis.onset_epoch}"
    return f"{text}; best epoch {diagnosis.best_epoch}"


def _mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """The mean over rows and its standard error."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / len(values) ** 0.5)


_HEADERS = (
    "para-\nmeters",
    "epochs",
    "best\nepoch",
    "val.\nBCE",
    "\n+/-",
    "val.\nacc.",
    "test\nBCE",
    "test\nacc.",
    "verdict",
    "onset",
)


def _print_table(results: Sequence[_Result]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column("run", no_wrap=True)
    for header in _HEADERS:
        table.add_column(header, justify="right", no_wrap=True)
    for result in results:
        table.add_row(*_cells(result))
    Console(highlight=False).print(table)
    print()


def _cells(result: _Result) -> list[str]:
    diagnosis = result.diagnosis
    crossentropy, error = _mean_and_error(result.validation.crossentropy)
    return [
        # Under its base line a run is what was added to it.
        result.name.removeprefix(f"{_BASE} "),
        f"{result.parameters:,}",
        str(len(result.history.epoch)),
        str(diagnosis.best_epoch),
        f"{crossentropy:.3f}",
        f"{error:.3f}",
        f"{result.validation.hits.mean():.3f}",
        f"{result.test.crossentropy.mean():.3f}",
        f"{result.test.hits.mean():.3f}",
        diagnosis.verdict,
        "-" if diagnosis.onset_epoch is None else str(diagnosis.onset_epoch),
    ]


def _print_notes(results: Sequence[_Result]) -> None:
    validation = max(_mean_and_error(result.validation.hits)[1] for result in results)
    test = max(_mean_and_error(result.test.hits)[1] for result in results)
    _say(
        "BCE is the binary crossentropy, acc. the accuracy, both of the best epoch's weights, "
        "which the detector restored. +/- is one standard error over the rows; that of an "
        f"accuracy is up to {validation:.3f} in validation and {test:.3f} in the test. "
        "Validation chose the best epochs and so flatters; the test rows did not, but the "
        "demo's settings were found by trials on these same data, so they flatter, too. "
        "All this is a single seed, and other backends draw other networks from it: try "
        "more with --seed."
    )


def _print_comparison(results: Sequence[_Result]) -> None:
    base = next(result for result in results if result.name == _BASE)
    print(f"Test BCE against {_BASE}, row by row (negative is better, from two errors on):")
    for result in results:
        if result is not base:
            mean, error = _mean_and_error(result.test.crossentropy - base.test.crossentropy)
            print(f"  {result.name:15}  {mean:+.3f} +/- {error:.3f}  {_meaning(mean, error)}")


def _meaning(mean: float, error: float) -> str:
    if abs(mean) <= 2 * error:
        return "no clear difference"
    return "better" if mean < 0 else "worse"


def _print_where_to_look(output: Path, seconds: float) -> None:
    print(
        f"\nDone in {seconds:.0f} s. To look further:\n"
        f"  curves:      {output / 'curves.png'}\n"
        f"  histograms:  tensorboard --logdir {shlex.quote(str(output / 'logs'))}"
    )


def _draw(results: Sequence[_Result], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    plotter = HistoryPlotter(_METRIC)
    sizes, regularized = results[:4], [results[0], *results[3:]]
    titles = ("Sizes", f"{_BASE}, regularized (dropout is on in training)")
    for ax, shown, title in zip((left, right), (sizes, regularized), titles, strict=True):
        plotter.plot({result.name: result.history for result in shown}, ax=ax, mark_best=True)
        _spread_out(ax, last_epoch=max(result.history.epoch[-1] for result in shown))
        _explain(ax, plotter.color_table, [result.name for result in shown])
        ax.set_title(title)
    right.set_ylabel("")
    figure.savefig(path, dpi=120)


def _spread_out(ax: Any, last_epoch: int) -> None:
    # Large is done when Tiny has hardly begun, so epochs count by their ratios.
    ax.set_xscale("log")
    ax.set_xlim(1, max(1.1 * last_epoch, 2))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("Epochs (log scale)")


def _explain(ax: Any, colors: dict[str, str], names: Sequence[str]) -> None:
    """A legend of colours and styles, half as long as one of all lines."""
    from matplotlib.lines import Line2D

    styles = {
        "training": {},
        "validation": {"linestyle": "--"},
        "best epoch": {"linestyle": "", "marker": "o"},
    }
    handles = [Line2D([], [], color=colors[name], linewidth=3, label=name) for name in names]
    handles += [Line2D([], [], color="0.3", label=name, **style) for name, style in styles.items()]
    ax.legend(handles=handles, loc="upper right", fontsize="small")
