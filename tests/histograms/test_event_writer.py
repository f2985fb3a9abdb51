"""Event files, read back with tensorboard's own reader, on disks that fail too."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import textwrap
import threading

import numpy as np
import pytest

from keras_regplus.histograms import (
    EventWriter,
    Histogram,
    _records,
    event_file,
    event_writer,
    histogram,
)


def crc_bit_by_bit(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    "data, crc",
    [
        (b"", 0),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"123456789", 0xE3069283),
    ],
)
def test_crc_matches_the_published_vectors(data, crc):
    assert _records.crc32c(data) == crc


@pytest.mark.parametrize(
    "size", [1, 2, 3, 4, 5, 1023, 1024, 1025, 1026, 1027, 1028, 2049, 5000, 300_001]
)
def test_crc_is_that_of_the_bitwise_definition(size):
    data = np.random.default_rng(size).bytes(size)
    assert _records.crc32c(data) == crc_bit_by_bit(data)


ONE = Histogram(np.array([0.0, 1.0, 2.0]), np.array([3, 4]), 0)


def read(folder) -> dict[str, dict[int, list]]:
    """Tag, step, rows of left edge, right edge and count, as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    return {
        tag: {e.step: make_ndarray(e.tensor_proto).tolist() for e in accumulator.Tensors(tag)}
        for tag in accumulator.Tags()["tensors"]
    }


def write(folder, steps=(0,)) -> EventWriter:
    writer = EventWriter(str(folder))
    for step in steps:
        writer.add(step, [("w", ONE)])
        assert writer.wait()
    return writer


def test_tensorboard_reads_what_was_written(tmp_path):
    other = histogram(np.random.default_rng(0).normal(size=100))
    writer = EventWriter(str(tmp_path))
    for step in (0, 3, 2**40):
        writer.add(step, [("a/kernel/histogram", ONE), ("ä/bias", other)])
    writer.close()
    rows = np.stack([other.edges[:-1], other.edges[1:], other.counts], axis=1).tolist()
    assert writer.error is None
    assert read(tmp_path) == {
        "a/kernel/histogram": {step: [[0, 1, 3], [1, 2, 4]] for step in (0, 3, 2**40)},
        "ä/bias": {step: rows for step in (0, 3, 2**40)},
    }


def test_scalars_and_descriptions_are_shown_beside_histograms(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    writer = EventWriter(str(tmp_path))
    writer.add(2, [("w", ONE), ("norm", 0.1)], {"w": "A sample of 7 of 9 values."})
    writer.close()
    accumulator = EventAccumulator(str(tmp_path)).Reload()
    assert read(tmp_path)["norm"] == {2: np.float32(0.1)}
    assert list(accumulator.PluginTagToContent("scalars")) == ["norm"]
    descriptions = [accumulator.SummaryMetadata(tag).summary_description for tag in ("w", "norm")]
    assert descriptions == ["A sample of 7 of 9 values.", ""]


def test_a_remote_folder_is_written_through_the_file_layer_of_tensorboard():
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    store = fsspec.filesystem("memory")
    writer = write("memory://logs/run", range(3))
    writer.close()
    assert writer.error is None
    names = [entry["name"] for entry in store.ls("/logs/run")]
    assert len(names) == 1
    with tempfile.TemporaryDirectory() as folder:
        store.get(names[0], os.path.join(folder, os.path.basename(names[0])))
        assert list(read(folder)["w"]) == [0, 1, 2]
    assert "gopher" in event_file.remote_problem("gopher://logs")


def test_the_histogram_dashboard_finds_its_tags(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write(tmp_path).close()
    accumulator = EventAccumulator(str(tmp_path)).Reload()
    assert list(accumulator.PluginTagToContent("histograms")) == ["w"]


def test_checksums_are_those_that_tensorboard_writes(tmp_path):
    from tensorboard.summary.writer.record_writer import RecordWriter

    class Sink(bytearray):
        write = bytearray.extend

    sink, data = Sink(), bytes(range(256)) * 5
    RecordWriter(sink).write(data)
    assert _records._framed(data) == bytes(sink)


def test_names_of_files_are_in_the_order_of_their_making(tmp_path, monkeypatch):
    monkeypatch.setattr(event_file.time, "time", lambda: 1.7e9)
    names = []
    for _ in range(12):
        write(tmp_path).close()
        names += [name for name in os.listdir(tmp_path) if name not in names]
    assert names == sorted(names) and len(names) == 12
    assert all(name.startswith("events.out.tfevents.1700000000.") for name in names)


def test_a_record_is_on_disk_before_the_writer_is_closed(tmp_path):
    writer = write(tmp_path)
    assert list(read(tmp_path)["w"]) == [0]
    writer.close()


def test_the_work_is_done_by_another_thread(tmp_path):
    threads = []

    def lazy():
        threads.append(threading.current_thread())
        yield "w", ONE

    writer = EventWriter(str(tmp_path))
    writer.add(0, lazy())
    writer.close()
    assert threads and threads[0] is not threading.main_thread()
    assert not threads[0].is_alive()


def test_a_slow_write_is_waited_for_once(tmp_path, monkeypatch):
    go_on, seconds = threading.Event(), []

    def slow():
        assert go_on.wait(20)
        yield "w", ONE

    writer = EventWriter(str(tmp_path))
    assert writer.wait()
    monkeypatch.setattr(event_writer, "_PATIENCE_SECONDS", 0.01)
    writer.add(0, slow())
    wait = writer._last_is_done.wait
    monkeypatch.setattr(writer._last_is_done, "wait", lambda s: seconds.append(s) or wait(s))
    assert not writer.wait() and not writer.wait()
    assert seconds == [0.01, 0]
    go_on.set()
    assert wait(20) and writer.wait()
    writer.close()
    assert list(read(tmp_path)["w"]) == [0]


@pytest.mark.parametrize("in_the_way", [False, True])
def test_what_was_handed_over_is_let_go_once_written_or_given_up(tmp_path, in_the_way):
    array = np.ones(3)
    folder = tmp_path / "logs"
    if in_the_way:
        folder.write_text("in the way")
    writer = EventWriter(str(folder))
    references = sys.getrefcount(array)
    writer.add(0, ((tag, histogram(values)) for tag, values in [("a", array), ("b", array)]))
    assert writer.wait()
    assert sys.getrefcount(array) == references
    writer.close()


def test_closing_twice_is_harmless(tmp_path):
    writer = write(tmp_path)
    writer.close()
    writer.close()


def test_a_writer_that_is_dropped_closes_itself(tmp_path):
    writer = EventWriter(str(tmp_path))
    file = writer._file
    writer.add(0, [("w", ONE)])
    del writer
    gc.collect()
    assert file._stream is None
    assert list(read(tmp_path)["w"]) == [0]


class FailingStream:
    """Stands for a file on a full disk: some writes are cut short and fail."""

    def __init__(self, stream, fails):
        self._stream, self._fails, self.name = stream, fails, stream.name

    def write(self, data):
        outcome = self._fails()
        if outcome is None:
            return self._stream.write(data)
        self._stream.write(data[: len(data) // 2])
        if outcome == "short":
            return len(data) // 2
        raise OSError(28, "No space left on device")

    def close(self):
        self._stream.close()


def let_writes_fail(monkeypatch, outcomes):
    """Each write takes the next outcome: None writes, "error" and "short" tear the record."""
    outcomes, open_stream = iter(outcomes), event_file._opened
    monkeypatch.setattr(
        event_file,
        "_opened",
        lambda path: FailingStream(open_stream(path), lambda: next(outcomes, None)),
    )


@pytest.mark.parametrize("failure", ["error", "short"])
@pytest.mark.parametrize("before", [0, 1, 2, 4])
def test_one_failed_write_loses_nothing(tmp_path, monkeypatch, failure, before):
    let_writes_fail(monkeypatch, [None] * before + [failure])
    writer = write(tmp_path, range(6))
    writer.close()
    assert isinstance(writer.error, OSError)
    assert list(read(tmp_path)["w"]) == list(range(6))


def test_a_disk_that_stays_full_leaves_no_heap_of_files(tmp_path, monkeypatch):
    let_writes_fail(monkeypatch, [None, None] + ["error"] * 1000)
    writer = write(tmp_path, range(20))
    writer.close()
    assert len(os.listdir(tmp_path)) == 1
    assert list(read(tmp_path)["w"]) == [0]


def test_files_that_can_hold_no_record_leave_no_heap(tmp_path, monkeypatch):
    let_writes_fail(monkeypatch, [None, None, "error"] + [None, "error"] * 1000)
    writer = write(tmp_path, range(20))
    writer.close()
    assert len(os.listdir(tmp_path)) == 1
    assert list(read(tmp_path)["w"]) == [0]


def test_writing_goes_on_when_a_full_disk_has_room_again(tmp_path, monkeypatch):
    let_writes_fail(monkeypatch, [None, None] + ["error"] * 4)
    writer = write(tmp_path, range(5))
    writer.close()
    assert list(read(tmp_path)["w"]) == [0, 3, 4]


def test_a_deleted_folder_is_made_anew(tmp_path):
    folder = tmp_path / "logs" / "weights"
    writer = write(folder, [0])
    for name in os.listdir(folder):
        (folder / name).unlink()
    folder.rmdir()
    writer.add(1, [("w", ONE)])
    writer.close()
    assert isinstance(writer.error, FileNotFoundError)
    assert list(read(folder)["w"]) == [1]


def test_a_file_in_the_place_of_the_folder_is_an_error_that_can_be_cured(tmp_path):
    folder = tmp_path / "logs"
    folder.write_text("in the way")
    writer = write(folder, [0])
    assert isinstance(writer.error, OSError)
    folder.unlink()
    writer.add(1, [("w", ONE)])
    writer.close()
    assert list(read(folder)["w"]) == [1]


def test_a_step_that_cannot_be_computed_does_not_end_the_others(tmp_path):
    def broken():
        yield "w", ONE
        raise RuntimeError("broken")

    writer = EventWriter(str(tmp_path))
    writer.add(0, broken())
    writer.add(1, [("w", ONE)])
    writer.close()
    assert str(writer.error) == "broken"
    assert list(read(tmp_path)["w"]) == [1]
    assert len(os.listdir(tmp_path)) == 1


# The package itself imports Keras and with it a backend: this loads the module without it.
ROOM_ALONE = """
    import os, sys, types
    package = types.ModuleType("keras_regplus")
    package.__path__ = [sys.argv[1]]
    sys.modules["keras_regplus"] = package
    from keras_regplus.histograms import EventWriter, event_writer, histogram
    writer = EventWriter(sys.argv[2])
    writer.add(0, [("w", histogram([0.0, 1.0, 2.0], 2))])
"""


def run_room_alone(folder, code: str) -> str:
    program = textwrap.dedent(ROOM_ALONE) + textwrap.dedent(code)
    package = os.path.dirname(os.path.dirname(event_writer.__file__))
    command = [sys.executable, "-c", program, package, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_room_imports_neither_keras_nor_a_backend(tmp_path):
    heavy = run_room_alone(
        tmp_path,
        """
        writer.close()
        print({"keras", "tensorflow", "jax", "torch"} & set(sys.modules))
        """,
    )
    assert heavy.strip() == "set()"


def test_an_exit_without_closing_loses_nothing(tmp_path):
    run_room_alone(tmp_path, "sys.exit(0)")
    assert list(read(tmp_path)["w"]) == [0]


def test_a_write_that_hangs_does_not_hold_the_exit(tmp_path):
    run_room_alone(
        tmp_path,
        """
        import threading
        event_writer._PATIENCE_SECONDS = 0.05
        writer.add(1, (threading.Event().wait() for _ in range(1)))
        """,
    )
    assert list(read(tmp_path)["w"]) == [0]


@pytest.mark.skipif(os.name != "posix", reason="the system has no limit on the size of a file")
def test_files_that_may_not_grow_are_followed_by_new_ones(tmp_path):
    error = run_room_alone(
        tmp_path,
        """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        for step in range(1, 30):
            writer.add(step, [("w", histogram([0.0, 1.0, 2.0], 2))])
        writer.close()
        print(type(writer.error).__name__)
        """,
    )
    assert error.strip() == "OSError"
    assert len(os.listdir(tmp_path)) > 2
    assert list(read(tmp_path)["w"]) == list(range(30))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_leaves_the_file_to_its_parent(tmp_path):
    run_room_alone(
        tmp_path,
        """
        child = os.fork()
        if child == 0:
            sys.exit(0)
        os.waitpid(child, 0)
        writer.add(1, [("w", histogram([0.0, 1.0, 2.0], 2))])
        """,
    )
    assert list(read(tmp_path)["w"]) == [0, 1]
