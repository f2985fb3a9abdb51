"""Histories from files, from other frameworks and from objects; the bytes are written by hand."""

from __future__ import annotations

import json
import math
import os
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_regplus.diagnosis import (
    Diagnosis,
    diagnose,
    diagnose_history,
    read_history,
)
from keras_regplus.histories.read import as_history
from keras_regplus.histories.runs import find_runs

TRAIN = [1.0, 0.5, 0.25, 0.125, 0.0625]
VAL = [1.0, 0.75, 1.5, 2.0, 2.5]
PAIR = {"loss": TRAIN, "val_loss": VAL}


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def part(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer that has a length."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def torch_value(number: float) -> bytes:
    return varint(2 << 3 | 5) + struct.pack("<f", number)


def keras_value(number: float, plugin: bytes = b"scalars") -> bytes:
    float32 = varint(1 << 3) + varint(1)
    tensor = float32 + part(4, struct.pack("<f", number))
    return part(9, part(1, part(1, plugin))) + part(8, tensor)


def keras_double(number: float) -> bytes:
    float64 = varint(1 << 3) + varint(2)
    tensor = float64 + part(6, struct.pack("<d", number))
    return part(9, part(1, part(1, b"scalars"))) + part(8, tensor)


def record(step: int, *values: bytes) -> bytes:
    event = varint(1 << 3 | 1) + struct.pack("<d", 1.7e9) + varint(2 << 3) + varint(step)
    event += part(5, b"".join(part(1, value) for value in values)) if values else b""
    return struct.pack("<Q", len(event)) + bytes(4) + event + bytes(4)


def scalar(tag: str, step: int, number: float, form=torch_value) -> bytes:
    return record(step, part(1, tag.encode()) + form(number))


def series(tag: str, numbers, form=torch_value, steps=None) -> bytes:
    steps = range(len(numbers)) if steps is None else steps
    return b"".join(
        scalar(tag, step, number, form) for step, number in zip(steps, numbers, strict=True)
    )


def events(folder: Path, content: bytes, name: str = "events.out.tfevents.1.host") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(record(0) + content)
    return path


def written(tmp_path: Path, text: str, name: str = "log.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def comparable(history) -> str:
    """As text, for NaN is not equal to itself."""
    values = {k: [v if v is None else float(v) for v in history[k]] for k in history}
    return json.dumps(values, sort_keys=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epoch,loss,val_loss\n0,1.5,2\n1,0.5,1\n", {"loss": [1.5, 0.5], "val_loss": [2.0, 1.0]}),
        ("epoch;loss;val_loss\n0;1.5;2\n1;0.5;1\n", {"loss": [1.5, 0.5], "val_loss": [2.0, 1.0]}),
        ("epoch,loss,val_loss\r\n0,1,NA\r\n1,2,3\r\n", {"loss": [1.0, 2.0], "val_loss": [None, 3]}),
        ("\ufeffepoch,loss\n0,1\n", {"loss": [1.0]}),
        # A killed training leaves half a row; a NaN is a value.
        ("epoch,loss,val_loss\n0,1,nan\n1,2", {"loss": [1.0, 2.0], "val_loss": [math.nan, None]}),
        # Epochs keep their numbers, and what was written later counts.
        ("epoch,loss\n2,1\n3,2\n", {"loss": [None, None, 1.0, 2.0]}),
        ("epoch,loss\n0,1\n1,2\n2,3\n1,4\n", {"loss": [1.0, 4.0]}),
        ("epoch,loss\n0,1\n10,2\n", {"loss": [1.0, *[None] * 9, 2.0]}),
        # Without epochs each row is one; words and arrays are left out.
        ("loss,name,list\n1,a,\"[1, 2]\"\n2,b,\"[1, 2]\"\n", {"loss": [1.0, 2.0]}),
        ("Epoch,train_loss,validation_loss\n0,1,2\n", {"loss": [1.0], "val_loss": [2.0]}),
        # The validation that was looked at goes before a test.
        ("epoch,loss,test_loss,val_loss\n0,1,2,3\n", {"val_loss": [3.0], "loss": [1.0]}),
        ("epoch,loss,test_loss\n0,1,2\n", {"loss": [1.0], "val_loss": [2.0]}),
        # Lightning: rows with gaps, several to an epoch, single batches beside their mean.
        (
            "epoch,step,train_loss_epoch,train_loss_step,val_loss\n"
            "0,49,,9,\n0,63,,,2\n0,63,1,,\n1,99,,8,\n1,127,,,3\n1,127,0.5,,\n",
            {"loss": [1.0, 0.5], "loss_step": [9.0, 8.0], "val_loss": [2.0, 3.0]},
        ),
        (
            "epoch,step,train_loss,val_loss\n0,49,1,\n0,99,2,\n0,99,,5\n1,149,3,\n1,199,,6\n",
            {"loss": [1.5, 3.0], "val_loss": [5.0, 6.0]},
        ),
        ("step,train_loss,val_loss\n50,1,\n99,3,\n99,,5\n150,4,\n199,,6\n200,7,\n",
         {"loss": [2.0, 4.0], "val_loss": [5.0, 6.0]}),
    ],
)  # fmt: skip
def test_a_csv_file_becomes_one_value_for_each_epoch(tmp_path, text, expected):
    assert comparable(read_history(written(tmp_path, text))) == comparable(expected)


def test_csv_logger_is_read_with_validation_in_every_second_epoch(tmp_path):
    x, y = np.ones((4, 2), "float32"), np.ones((4, 1), "float32")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    path = tmp_path / "training.log"
    history = model.fit(
        x, y, validation_data=(x, y), validation_freq=2, epochs=4, verbose=0,
        callbacks=[keras.callbacks.CSVLogger(path)],
    ).history  # fmt: skip
    first, second = history["val_loss"]
    assert read_history(path) == {"loss": history["loss"], "val_loss": [None, first, None, second]}


def test_a_json_history_is_read(tmp_path):
    history = {"loss": TRAIN[:4], "val_loss": VAL[:2], "lr": [0.1] * 4, "note": "x"}
    path = written(tmp_path, json.dumps(history), "history.json")
    spread = [None, VAL[0], None, VAL[1]]
    assert read_history(path) == {"loss": TRAIN[:4], "val_loss": spread, "lr": [0.1] * 4}


KERAS = {
    "train": series("epoch_loss", TRAIN, keras_value) + series("batch_loss", [9.0] * 40),
    "validation": series("epoch_loss", VAL, keras_value)
    + series("evaluation_loss_vs_iterations", VAL, keras_value, range(8, 48, 8)),
}
LAYOUTS = {
    "keras": KERAS,
    "keras, double": {k: series("epoch_loss", v, keras_double) for k, v in
                      (("train", TRAIN), ("validation", VAL))},
    "tag ends": {".": series("loss/train", TRAIN) + series("loss/val", VAL)},
    "tag begins": {".": series("train/loss", TRAIN) + series("val/loss", VAL)},
    "underscores": {".": series("train_loss", TRAIN) + series("val_loss", VAL)},
    "add_scalars": {".": b"", "loss_train": series("loss", TRAIN), "loss_val": series("loss", VAL)},
    "one record, two tags": {
        ".": b"".join(
            record(step, *(part(1, tag) + torch_value(v) for tag, v in
                           ((b"loss/train", TRAIN[step]), (b"loss/val", VAL[step]))))
            for step in range(5)
        )
    },
    "steps of batches": {
        ".": series("train_loss", np.repeat(TRAIN, 20), steps=range(100))
        + series("val_loss", VAL, steps=range(19, 100, 20))
    },
    "lightning": {
        ".": series("epoch", [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], steps=range(49, 500, 50))
        + series("train_loss_step", [9.0] * 10, steps=range(49, 500, 50))
        + series("train_loss_epoch", TRAIN, steps=range(99, 500, 100))
        + series("val_loss", VAL, steps=range(99, 500, 100))
    },
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_event_files_is_the_same_history(tmp_path, layout):
    for folder, content in LAYOUTS[layout].items():
        events(tmp_path / folder, content)
    found = read_history(tmp_path)
    assert {name: found[name] for name in PAIR} == PAIR


def test_a_case_in_the_tag_is_kept(tmp_path):
    content = series("Loss/train", TRAIN) + series("Loss/test", VAL)
    assert read_history(events(tmp_path, content)) == {"Loss": TRAIN, "val_Loss": VAL}


def test_steps_that_count_from_1_stay_as_they_are(tmp_path):
    path = events(tmp_path, series("loss", TRAIN, steps=range(1, 6)))
    assert read_history(path) == {"loss": [None, *TRAIN]}


def test_validation_in_some_epochs_leaves_the_others_open(tmp_path):
    content = series("train_loss", TRAIN) + series("val_loss", VAL[:2], steps=[1, 3])
    expected = {"loss": TRAIN, "val_loss": [None, 1.0, None, 0.75, None]}
    assert read_history(events(tmp_path, content)) == expected


def test_a_training_that_was_resumed_goes_on_in_a_further_file(tmp_path):
    events(tmp_path, series("loss", [5.0, 4.0, 9.0]), "events.out.tfevents.1.host")
    events(tmp_path, series("loss", [3.0, 2.0], steps=[2, 3]), "events.out.tfevents.2.host")
    assert read_history(tmp_path) == {"loss": [5.0, 4.0, 3.0, 2.0]}


@pytest.mark.parametrize("lost", range(1, 30))
def test_what_stands_before_a_torn_record_is_read(tmp_path, lost):
    path = events(tmp_path, series("loss", TRAIN))
    path.write_bytes(path.read_bytes()[:-lost])
    assert read_history(path) == {"loss": TRAIN[:-1]}


def test_what_follows_a_record_that_is_none_is_left(tmp_path):
    garbage = struct.pack("<Q", 3) + bytes(4) + b"\xff\xff\xff" + bytes(4)
    path = events(tmp_path, series("loss", TRAIN[:2]) + garbage + scalar("loss", 2, 9.0))
    assert read_history(path) == {"loss": TRAIN[:2]}


def test_histograms_images_and_large_records_are_passed_over(tmp_path):
    image = part(1, b"picture") + part(4, part(4, bytes(100)))
    histogram = part(1, b"kernel") + keras_value(1.0, b"histograms")
    large = part(1, bytes(2**20)) + torch_value(9.0)
    content = record(0, image, histogram) + record(1, large) + series("loss", TRAIN)
    assert read_history(events(tmp_path, content)) == {"loss": TRAIN}


def test_a_folder_of_runs_is_taken_apart(tmp_path):
    for folder in (
        "a/train", "a/validation", "a/weights", "b_test", "c/loss_train", "c/loss_val",
        "run_10", "run_9", ".trash/train",
    ):  # fmt: skip
        events(tmp_path / folder, b"")
    events(tmp_path / "a" / "train", b"", "events.out.tfevents.profile-empty")
    written(tmp_path, "", "run_9/log.csv")
    runs = {
        os.path.relpath(run.path, tmp_path): len(run.events) for run in find_runs(str(tmp_path))
    }
    assert list(runs.items()) == [
        ("a", 2), ("a/weights", 1), ("b_test", 1), ("c", 2),
        ("run_9", 1), ("run_9/log.csv", 0), ("run_10", 1),
    ]  # fmt: skip


def test_a_folder_named_like_a_side_can_be_a_run_itself(tmp_path):
    events(tmp_path / "train", series("loss/train", TRAIN) + series("loss/val", VAL))
    assert read_history(tmp_path / "train") == PAIR
    assert read_history(tmp_path) == PAIR


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"", "it names no epochs"),
        ("a.csv", b"name,size\nx,1\n", "it names no epochs"),
        ("a.csv", b"epoch,loss\n", "it holds no values"),
        ("a.csv", b"epoch,loss\n0,\xff\n", "codec can't decode"),
        ("a.json", b'{"loss": [1, 2', "it is no valid JSON"),
        ("a.json", b'{"layers": [1, 2]}', "it names no epochs"),
        ("a.json", b'{"loss": 3}', "no JSON object of lists"),
        ("a.tfevents.b", b"", "no complete record in a.tfevents.b"),
        ("a.tfevents.b", b"this is a text of some length", "no complete record"),
        ("a.tfevents.b", record(0), "it holds no values"),
    ],
)
def test_a_file_without_a_history_is_an_error_with_the_reason(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"read_history: `path` must be the file of a") as caught:
        read_history(path)
    assert reason in str(caught.value)


def test_a_folder_of_several_runs_is_an_error(tmp_path):
    written(tmp_path, "epoch,loss\n0,1\n", "a.csv")
    written(tmp_path, "name,size\nx,1\n", "data.csv")
    assert read_history(tmp_path) == {"loss": [1.0]}
    written(tmp_path, "epoch,loss\n0,1\n", "b.csv")
    with pytest.raises(ValueError, match=r"a folder with one run \(there are 2\)"):
        read_history(tmp_path)


@pytest.mark.parametrize("path", [None, 3, {"loss": [1]}])
def test_what_is_no_path_is_a_type_error(path):
    with pytest.raises(TypeError, match=r"read_history: `path` must be a path"):
        read_history(path)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_history(tmp_path / "missing.csv")


class Frame:
    """What pandas and polars have in common."""

    def __init__(self, columns):
        self.columns = list(columns)
        self._values = columns

    def __getitem__(self, name):
        return np.array(self._values[name], dtype=float)


EXPECTED = diagnose(TRAIN, VAL)
NAN = math.nan


@pytest.mark.parametrize(
    "history",
    [
        PAIR,
        SimpleNamespace(history=PAIR, epoch=[0, 1, 2, 3, 4]),
        {"loss": np.array(TRAIN), "val_loss": tuple(VAL)},
        {"accuracy": VAL, "val_accuracy": TRAIN, **PAIR},
        {"loss": VAL, "val_loss": TRAIN, "data_loss": TRAIN, "val_data_loss": VAL},
        {"train_loss": TRAIN, "valid_loss": VAL},
        {"Loss/train": TRAIN, "Loss/test": VAL},
        {"lr": TRAIN, "val_lr": TRAIN, "rmse": TRAIN, "val_rmse": VAL},
        Frame(PAIR),
        Frame({"epoch": range(5), **PAIR}),
    ],
    ids=lambda history: type(history).__name__,
)
def test_every_form_of_a_history_gets_the_same_diagnosis(history):
    assert diagnose_history(history) == EXPECTED


LOST = [TRAIN[0], NAN, NAN, NAN, NAN]


@pytest.mark.parametrize(
    "parts",
    [
        {"data_loss": LOST, "val_data_loss": LOST},
        {"data_loss": [*TRAIN[:4], NAN], "val_data_loss": TRAIN},
        {"data_loss": TRAIN, "val_data_loss": [*TRAIN[:4], None]},
        {"data_loss": [math.inf, *TRAIN[1:]], "val_data_loss": TRAIN},
        {"data_loss": TRAIN},
        {"data_loss": [NAN] * 5, "val_data_loss": [NAN] * 5},
    ],
)
@pytest.mark.parametrize("written_as", [str, str.upper, str.title])
def test_a_data_loss_that_is_not_known_in_every_epoch_is_not_judged(parts, written_as):
    history = {written_as(name): values for name, values in {**PAIR, **parts}.items()}
    history = {
        name.replace("VAL_", "val_").replace("Val_", "val_"): v for name, v in history.items()
    }
    assert diagnose_history(history) == EXPECTED


def test_a_data_loss_that_ends_with_the_loss_is_judged():
    ended, loss = [1.0, 0.5, 0.4, NAN, NAN], [9.0, 9.0, 9.0, NAN, NAN]
    history = {"loss": loss, "val_loss": loss, "data_loss": ended, "val_data_loss": ended}
    assert diagnose_history(history) == diagnose(ended, ended)


def test_a_data_loss_that_is_validated_in_the_same_epochs_as_the_loss_is_judged():
    some = [None, 0.7, None, 0.8, None]
    parts = {"data_loss": TRAIN, "val_data_loss": some}
    history = {"loss": VAL, "val_loss": [None, 9.0, None, 9.0, None], **parts}
    assert diagnose_history(history) == diagnose(TRAIN, some)


def test_a_data_loss_that_is_named_is_judged_whatever_it_lacks():
    history = {**PAIR, "data_loss": LOST, "val_data_loss": LOST}
    assert diagnose_history(history, "data_loss") == diagnose(LOST, LOST)


def test_a_path_is_read_and_judged(tmp_path):
    rows = [f"{epoch},{a},{b}" for epoch, (a, b) in enumerate(zip(TRAIN, VAL, strict=True))]
    path = written(tmp_path, "\n".join(["epoch,loss,val_loss", *rows]))
    assert diagnose_history(path) == diagnose_history(str(path)) == EXPECTED


def test_epochs_are_those_of_the_history():
    diagnosis = diagnose_history(SimpleNamespace(history=PAIR, epoch=[10, 11, 12, 13, 14]))
    assert (diagnosis.best_epoch, diagnosis.onset_epoch) == (11, EXPECTED.onset_epoch + 10)


def test_nan_of_a_frame_is_a_gap_in_validation_and_a_loss_in_training():
    val = [1.0, *[NAN] * 12]
    assert diagnose_history(Frame({"loss": [1.0] * 13, "val_loss": val})).verdict == "undecided"
    lost = Frame({"loss": [1.0, NAN, NAN, NAN], "val_loss": [1.0, NAN, NAN, NAN]})
    assert diagnose_history(lost).verdict == "diverging"


def test_a_frame_of_lightnings_rows_is_read_by_epochs():
    frame = Frame({
        "epoch": np.repeat(range(5), 2), "step": range(10),
        "train_loss": np.array([TRAIN, [NAN] * 5]).T.ravel(),
        "val_loss": np.array([[NAN] * 5, VAL]).T.ravel(),
    })  # fmt: skip
    assert diagnose_history(frame) == EXPECTED


@pytest.mark.parametrize("monitor", ["accuracy", "val_accuracy", "Accuracy"])
def test_the_metric_that_is_named_is_judged_in_its_own_direction(monitor):
    history = {**PAIR, "accuracy": [0.1, 0.5, 0.9], "val_accuracy": [0.5, 0.4, 0.1]}
    expected = diagnose([0.1, 0.5, 0.9, None, None], [0.5, 0.4, 0.1, None, None], mode="max")
    history = {name: [*values, None, None][:5] for name, values in history.items()}
    assert diagnose_history(history, monitor) == expected


def test_the_criterion_decides():
    class Always:
        def update(self, train, val):
            return Diagnosis("plateau", reason=f"{train}")

    assert diagnose_history(PAIR, criterion=Always()).reason == "0.0625"
    assert diagnose_history(PAIR, criterion="up") == diagnose(TRAIN, VAL, criterion="up")


@pytest.mark.parametrize(
    ("history", "arguments", "error", "message"),
    [
        (3, {}, TypeError, "`history` must be a History, a dict of lists, a DataFrame or a path"),
        ({}, {}, ValueError, r"\(there are: none\)"),
        ({"loss": TRAIN}, {}, ValueError, r"a metric with a validation twin \(there are: loss\)"),
        (PAIR, {"monitor": "auc"}, ValueError, "`monitor` .* got 'auc'"),
        (PAIR, {"monitor": 3}, TypeError, "`monitor` must be a text or None, got 3"),
        (PAIR, {"mode": "up"}, ValueError, "`mode` must be one of 'auto', 'min', 'max', got 'up'"),
        (PAIR, {"criterion": "best"}, ValueError, "diagnose_history: `criterion`"),
        (PAIR, {"criterion": 3}, TypeError, "diagnose_history: `criterion`"),
        ({"score": [1], "val_score": [1]}, {"monitor": "score"}, ValueError, "'score' does not"),
    ],
)
def test_bad_input_is_told_with_the_argument(history, arguments, error, message):
    with pytest.raises(error, match=message):
        diagnose_history(history, **arguments)


def test_reading_loads_no_tensorflow(tmp_path):
    """Measured from when Keras is there, which loads its own backend."""
    path = events(tmp_path, series("epoch_loss", TRAIN, keras_value))
    code = (
        "import sys, keras; before = set(sys.modules); from keras_regplus.diagnosis import "
        "read_history; read_history(sys.argv[1]); print(sorted({name.split('.')[0] for name in "
        "set(sys.modules) - before} & {'tensorflow', 'torch', 'jax', 'pandas'}))"
    )
    run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert (run.stdout, run.returncode) == ("[]\n", 0), run.stderr


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch's own writer needs torch")
def test_the_files_of_torchs_writer_are_read(tmp_path):
    # In a process of its own: the writer loads TensorFlow where that is installed.
    code = (
        "import sys; from torch.utils.tensorboard import SummaryWriter\n"
        f"with SummaryWriter(sys.argv[1]) as writer:\n"
        f"    for epoch, (train, val) in enumerate(zip({TRAIN}, {VAL})):\n"
        "        writer.add_scalars('loss', {'train': train, 'val': val}, epoch)\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, check=True)
    assert read_history(tmp_path) == PAIR


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="Keras's callback needs TensorFlow"
)
def test_the_files_of_keras_are_read(tmp_path):
    x, y = np.ones((4, 2), "float32"), np.ones((4, 1), "float32")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    logger = keras.callbacks.TensorBoard(tmp_path, histogram_freq=1, update_freq=1)
    fit = model.fit(x, y, validation_data=(x, y), epochs=4, verbose=0, callbacks=[logger])
    found = read_history(tmp_path)
    for name in PAIR:
        assert found[name] == pytest.approx(fit.history[name], rel=1e-6)


def test_names_of_keras_are_kept_as_they_are():
    falling, turning = [3.0, 2.0, 1.0], [1.0, 2.0, 3.0]
    history = {"loss": falling, "val_loss": falling, "test_score": turning, "auc_epoch": turning}
    assert diagnose_history(history).verdict == diagnose(falling, falling).verdict
    assert set(as_history(history)) == set(history)
