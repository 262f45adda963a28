"""A process that dies, or is interrupted, while it reads a prediction's stream: nothing is lost, and nothing is left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from callsheet_replicate.testing import Fault, ReplicateServer, Script

MODEL = "google/gemini-2.5-flash"
PIECES = ["The ", "lava ", "flows."]


@pytest.fixture
def server():
    """A vendor whose stream falls silent after its first piece."""
    with ReplicateServer() as running:
        running.script(MODEL, Script(PIECES, streams=True))
        running.fail("stream", Fault(events=1, stall=True))
        yield running


@pytest.fixture
def stage(tmp_path, stages):
    """A project, and processes in it."""
    return stages.Stage.build(tmp_path)


@pytest.fixture
def interrupted(stage, server):
    """Start a streamed call, and send it a signal once it has printed the first piece: exit code, stdout, stderr."""

    def interrupt(number):
        words = ("call", f"replicate:{MODEL}", "-p", "prompt=lava", "--stream")
        process = subprocess.Popen(
            stage.command(*words),
            cwd=stage.folder,
            env=stage.environment(**reached(server)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        first = os.read(process.stdout.fileno(), 1000)
        process.send_signal(number)
        rest, said = process.communicate(timeout=60)
        return process.returncode, (first + rest).decode(), said.decode()

    return interrupt


def reached(server):
    """What leads a process to the server."""
    return {"REPLICATE_BASE_URL": server.origin, "REPLICATE_API_TOKEN": server.key}


def test_killed_in_the_middle(stage, server, interrupted):
    """The receipt was durable before the stream was read: another process collects the whole answer by the job's id."""
    code, shown, _ = interrupted(signal.SIGKILL)
    assert (code, shown) == (-9, PIECES[0])
    ((state, receipt),) = stage.query("SELECT state, receipt FROM calls")
    (created,) = server.predictions
    assert (state, json.loads(receipt)["job_id"]) == ("submitted", created)
    orphans = stage.run("jobs", "--orphans", "--json")
    assert created in orphans.stdout, orphans.stderr
    resumed = stage.run("resume", created, **reached(server))
    assert (resumed.returncode, resumed.stdout.strip()) == (0, "".join(PIECES)), resumed.stderr
    assert stage.query("SELECT state FROM calls") == [("succeeded",)]
    assert len(server.asked("create")) == 1
    assert server.running == []


def test_interrupted_in_the_middle(stage, server, interrupted):
    """Ctrl-C stops the prediction at the vendor before the process ends."""
    code, shown, _ = interrupted(signal.SIGINT)
    assert (code, shown.strip()) == (130, PIECES[0].strip())
    assert server.running == []
    assert len(server.asked("cancel")) == 1
    assert stage.query("SELECT state FROM calls") == [("failed",)]
