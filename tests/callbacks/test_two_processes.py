"""All processes of a distributed training decide the same, and one alone prints and writes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import pytest

SCRIPT = Path(__file__).with_name("two_processes.py")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The folder of two processes, and the lines that each has printed."""
    folder = tmp_path_factory.mktemp("two")
    arguments = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # One device each, whatever the environment says.
    environment = {**os.environ, "XLA_FLAGS": ""}
    # JAX takes neither a socket nor port 0. So the port is ours all the while, and the
    # server of JAX, which sets SO_REUSEPORT as well, may bind to it beside us.
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        port = str(held.getsockname()[1])
        processes = [
            subprocess.Popen(
                [sys.executable, str(SCRIPT), str(rank), port, str(folder)],
                env=environment,
                **arguments,
            )
            for rank in (0, 1)
        ]
        ended = [(process, *process.communicate(timeout=120)) for process in processes]
    printed = []
    for process, out, errors in ended:
        assert process.returncode == 0, errors
        printed.append(out.splitlines())
    return folder, printed


pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax",
    reason="Keras's `fit` trains one model in several processes on JAX alone",
)


def test_all_processes_decide_the_same(outputs):
    _, printed = outputs
    chief, other = (json.loads(lines[-1]) for lines in printed)
    assert chief["history"]["epoch"][:4] == [0, 1, 2, 3]
    assert chief["stopped"] is not None
    assert chief["stopped"] == chief["history"]["epoch"][-1] < 39
    assert other == chief


def test_one_process_alone_prints_and_writes(outputs):
    folder, printed = outputs
    chief, other = (lines[:-1] for lines in printed)
    assert any("training is stopped" in line for line in chief)
    assert any(line.startswith("Epoch: 0, ") for line in chief)
    assert not [line for line in other if "Gloo" not in line]
    # State and best weights are removed at the end, by the process that wrote them.
    assert [path.name for path in folder.iterdir()] == ["logs_of_0"]
