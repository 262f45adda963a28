"""Processes that are killed while their jobs are with a provider, and what finds, collects or stops those from elsewhere.

The processes are real, and so is the kill -9; the vendor is Replicate's server on this machine, whose journal says what was
created, and what still runs.
"""

from __future__ import annotations

import io
import json
import subprocess

import pytest
from PIL import Image

from callsheet_replicate.testing import Delivery, ReplicateServer, Script

MODEL = "google/imagen-4"
SHEET = """
[producers.still]
operation = "image.generate"
models = ["replicate:google/imagen-4"]
for_each = 3
prompt = "lava {{ index }}"
"""


def picture(colour):
    """A PNG."""
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def server():
    """The vendor: its pictures need two questions."""
    with ReplicateServer() as running:
        pictures = [Delivery(picture(colour), "image/png") for colour in ("red", "green", "blue")]
        running.script(MODEL, *(Script(each, polls=2) for each in pictures))
        yield running


@pytest.fixture
def stage(tmp_path, stages, server):
    """A project with three stills, and processes in it that reach the server."""
    made = stages.Stage.build(tmp_path, SHEET)
    plain = made.environment
    reached = {"REPLICATE_BASE_URL": server.origin, "REPLICATE_API_TOKEN": server.key}
    made.environment = lambda **more: plain(**reached, **more)
    return made


@pytest.fixture
def killed(stage, server):
    """Carry out a command until the n-th request of a route has been acted on: there, before the answer, it is killed."""

    def kill(route, number, *words):
        process = subprocess.Popen(
            stage.command(*words),
            cwd=stage.folder,
            env=stage.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        seen = []

        def judge(exchange):
            seen.append(exchange.route)
            if seen.count(route) == number and process.returncode is None:
                process.kill()
                process.wait()
            return []

        server.judge = judge
        assert process.wait(60) == -9
        server.judge = None

    return kill


CALL = ("call", f"replicate:{MODEL}", "-p", "prompt=lava")


def rows(stage):
    """What `callsheet jobs` lists."""
    return json.loads(stage.run("jobs", "--orphans", "--json").stdout)["jobs"]


@pytest.mark.parametrize("by", ["job_id", "key", "beginning"])
def test_a_killed_call_is_resumed_by_its_job(stage, server, killed, by):
    """It had no run, and no receipt was saved: the provider's id is enough, and there is one prediction."""
    killed("get", 1, *CALL)
    [row] = rows(stage)
    (created,) = server.predictions
    assert (row["state"], row["job_id"], row["run"]) == ("submitted", created, "")
    assert row["resume"] == f"callsheet resume {created}"
    ended = stage.run("resume", {"beginning": created[:6]}.get(by, row.get(by)))
    assert (ended.returncode, ended.stdout) == (0, "image.png\n"), ended.stderr
    assert (stage.folder / "image.png").read_bytes() == picture("red")
    again = stage.run("resume", created, "--json")
    assert json.loads(again.stdout)["reused"]
    assert len(server.asked("create")) == 1
    assert server.running == []


def test_a_call_killed_before_its_reply_is_found(stage, server, killed):
    """Its row has no job id: the account's list has the prediction, which is collected, and not created again."""
    killed("create", 1, *CALL)
    [row] = rows(stage)
    assert (row["state"], row["job_id"]) == ("sending", "")
    ended = stage.run(*row["resume"].split()[1:])
    assert (ended.returncode, ended.stdout) == (0, "image.png\n"), ended.stderr
    assert len(server.asked("list")) == 1
    assert len(server.asked("create")) == 1


def test_what_cannot_be_found_yet_is_unknown(stage, server, killed):
    """Nobody knows yet whether it was taken; what to do is said, and the row stays."""
    killed("create", 1, *CALL)
    server.predictions.clear()
    ended = stage.run("jobs", "--adopt")
    assert (ended.returncode, ended.stdout.split()[:2]) == (1, ["call", "unknown"])
    [row] = rows(stage)
    assert "lists no such prediction yet" in ended.stderr
    assert f"to go on: {row['resume']}" in ended.stderr
    assert stage.run("jobs", "--cancel").returncode == 1
    assert len(rows(stage)) == 1
    assert len(server.asked("create")) == 1


def test_a_killed_run_is_adopted_and_goes_on(stage, server, killed):
    """Two predictions on record and one whose reply was lost: all are collected, and the run sends nothing again."""
    killed("create", 3, "run", ".")
    assert len(server.running) == 3
    ended = stage.run("jobs", "--orphans", "--adopt", "--json")
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)["jobs"]
    assert sorted((each["job"], each["outcome"]) for each in told) == [(f"still[{n}]", "collected") for n in range(3)]
    assert {each["job_id"] for each in told} == set(server.predictions)
    assert {each["resume"] for each in told} == {f"callsheet resume {stage.latest()}"}
    resumed = stage.run("resume", stage.latest(), "--json")
    assert (resumed.returncode, json.loads(resumed.stdout)["status"]) == (0, "succeeded"), resumed.stderr
    assert stage.run("runs", "verify").returncode == 0
    files = {path.read_bytes() for path in (stage.folder / "output").glob("still-*.png")}
    assert files == {picture(colour) for colour in ("red", "green", "blue")}
    assert len(server.asked("create")) == 3


def test_a_killed_run_is_stopped(stage, server, killed):
    """The one without a receipt, too: nothing is left running at the vendor."""
    killed("create", 3, "run", ".")
    assert len(server.running) == 3
    ended = stage.run("jobs", "--cancel", "--json")
    assert ended.returncode == 0, ended.stderr
    assert {each["outcome"] for each in json.loads(ended.stdout)["jobs"]} == {"stopped"}
    assert server.running == []
    assert len(server.asked("cancel")) == len(server.asked("create")) == 3
    assert rows(stage) == []
    again = stage.run("resume", stage.latest())
    assert again.returncode == 0, again.stderr
    assert len(server.asked("create")) == 6


def test_cancelling_a_dead_run_finds_what_was_lost(stage, server, killed):
    """`runs cancel` asks the provider, too."""
    killed("create", 3, "run", ".")
    ended = stage.run("runs", "cancel", stage.latest(), "--json")
    assert ended.returncode == 0, ended.stderr
    assert {call["outcome"] for call in json.loads(ended.stdout)["calls"]} == {"stopped"}
    assert server.running == []


def test_what_had_ended_is_collected_instead_of_stopped(stage, server, killed):
    """It is paid for, so its file is kept."""
    server.script(MODEL, Script(Delivery(picture("red"), "image/png"), polls=0))
    killed("get", 1, *CALL)
    ended = stage.run("jobs", "--cancel")
    (created,) = server.predictions
    assert (ended.returncode, ended.stdout) == (0, f"call  collected  replicate:{MODEL}  {created}\n"), ended.stderr
    assert stage.run("resume", created).stdout == "image.png\n"
    assert len(server.asked("create")) == 1


def test_a_failed_prediction_is_an_exit_code(stage, server, killed):
    """The message is the provider's."""
    server.script(MODEL, Script(status="failed", error="E1001: out of memory", polls=2))
    killed("get", 1, *CALL)
    ended = stage.run("jobs", "--adopt")
    assert (ended.returncode, ended.stdout.split()[:2]) == (1, ["call", "failed"])
    assert "out of memory" in ended.stderr
    (created,) = server.predictions
    again = stage.run("resume", created)
    assert (again.returncode, "out of memory" in again.stderr) == (1, True)
