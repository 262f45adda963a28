"""`callsheet jobs` with what was left behind, and `callsheet resume` by a job's id."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest


def started(*command):
    """Start a command whose job stays with the provider; it is there when this returns."""
    process = subprocess.Popen(
        [sys.executable, "-m", "callsheet", *map(str, command)],
        env={**os.environ, "TOY_HANGS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    for line in process.stderr:
        if b"submitted" in line:
            break
    return process


def killed(*command):
    """Start a command, and kill it while its job is with the provider."""
    process = started(*command)
    os.kill(process.pid, signal.SIGKILL)
    process.stderr.close()
    process.wait()


@pytest.fixture
def orphan(cli, toy):
    """A call without a run whose process was killed; the provider's job ends as soon as it is asked for."""
    killed("call", "toy:video", "-p", "prompt=x")
    return cli("jobs", "--json").document["jobs"][0]


@pytest.fixture
def run_orphan(cli, sheet, producer):
    """The same of a run: its folder and the row of its job."""
    folder = sheet(producer("a") + producer("v", operation="video"))
    killed("run", folder)
    return folder, cli("jobs", "--project", folder, "--json").document["jobs"][0]


@pytest.mark.parametrize("name", ["job-1", "job", "key", "beginning"])
def test_resume_collects_a_call_by_its_jobs_id(cli, orphan, name):
    """Or by the beginning of it, or by the call's key; the result is saved as `call` would have."""
    name = {"key": orphan["key"], "beginning": orphan["key"][:10]}.get(name, name)
    ended = cli("resume", name)
    assert (ended.code, ended.out) == (0, "video.png\n")
    assert Path("video.png").read_bytes().startswith(b"\x89PNG")
    assert cli("jobs", "--json").document == {"jobs": []}


def test_resume_gives_the_result_of_a_final_call_again(cli, orphan):
    """From the ledger, at no cost; as a document, too."""
    first = cli("resume", "job-1", "--json").document
    second = cli("resume", "job-1", "--json").document
    assert (first["reused"], second["reused"]) == (False, True)
    assert [a["sha256"] for a in first["artifacts"]] == [a["sha256"] for a in second["artifacts"]]
    assert (second["ref"], second["mode"]) == ("toy:video", "live")


def test_a_mocked_job_is_collected_from_who_made_it(cli, toy):
    """How it was made is on record: nobody has to say it again."""
    killed("call", "toy:video", "--mode", "mock", "-p", "prompt=x")
    ended = cli("resume", "job-1", "--json")
    assert (ended.code, ended.document["mode"]) == (0, "mock")


def test_the_list_says_how_to_go_on_by_the_jobs_id(cli, orphan):
    """And how to stop it; both commands work as they stand there."""
    assert (orphan["run"], orphan["resume"], orphan["cancel"]) == (
        "",
        "callsheet resume job-1",
        "callsheet jobs --cancel job-1",
    )
    shown = cli("jobs")
    assert "to go on with the job job-1: callsheet resume job-1; to stop it: callsheet jobs --cancel job-1" in shown.err
    assert cli(*orphan["cancel"].split()[1:]).code == 0
    assert Path("aborted").exists()


def test_resume_of_a_runs_job_says_how_to_go_on_with_the_run(cli, run_orphan):
    """That job alone is collected; the run goes on from there, and sends nothing for it again."""
    folder, row = run_orphan
    ended = cli("resume", row["job_id"], "--project", folder)
    assert (ended.code, ended.out) == (0, "video.png\n")
    assert f"to go on with the run {row['run']}: callsheet resume {row['run']} --project" in ended.err
    run = cli("resume", row["run"], "--project", folder, "--json")
    assert (run.code, run.document["status"]) == (0, "succeeded")
    assert cli("runs", "verify", "--project", folder).code == 0


def test_resume_of_what_nobody_knows(cli, sheet, toy):
    """It says what a run, a job and a receipt are; flags of runs and receipts are refused for a job."""
    folder = sheet()
    assert cli("resume", "nothing").code == 3
    cli("run", folder)
    ended = cli("resume", "nothing", "--project", folder)
    assert ended.code == 3
    for word in ("neither a run nor", "callsheet runs list", "callsheet jobs", "receipt is a file"):
        assert word in ended.err


def test_flags_that_are_for_others(cli, orphan):
    """A job is polled, and its mode is on record."""
    refused = cli("resume", "job-1", "--on-unknown", "retry")
    assert (refused.code, "for runs" in refused.err) == (2, True)
    assert cli("resume", "job-1", "--mode", "mock").code == 2
    assert cli("jobs", "--adopt", "--cancel").code == 2
    assert cli("jobs", "--yes").code == 2


def test_several_calls_with_one_name(cli, orphan):
    """None is guessed at: each is named by its key."""
    killed("call", "toy:video", "-p", "prompt=y")
    ended = cli("resume", "job-1")
    assert (ended.code, orphan["key"][:12] in ended.err) == (2, True)
    assert cli("resume", orphan["key"][:12]).code == 0


def test_a_job_of_a_living_process_is_not_collected(cli, toy):
    """Who works on it is alive."""
    process = started("call", "toy:video", "-p", "prompt=x")
    ended = cli("resume", "job-1")
    none = cli("jobs", "--adopt", "--json")
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert (ended.code, "another process" in ended.err) == (2, True)
    assert none.document == {"jobs": []}


def test_adopt_collects_all_that_was_left_behind(cli, orphan, run_orphan):
    """Calls and runs' jobs, each a line; what they gave is on record, and the commands that go on are told."""
    ended = cli("jobs", "--orphans", "--adopt")
    assert (ended.code, ended.out) == (0, "call  collected  toy:video  job-1\n")
    assert "to go on: callsheet resume job-1\n" in ended.err
    folder, row = run_orphan
    ended = cli("jobs", "--adopt", "--project", folder, "--json")
    [told] = ended.document["jobs"]
    assert (ended.code, told["outcome"], told["message"]) == (0, "collected", "")
    assert set(told) == {"job", "ref", "run", "key", "job_id", "resume", "outcome", "message", "artifacts"}
    assert told["artifacts"][0]["media_type"] == "image/png"
    assert told["resume"].startswith(f"callsheet resume {row['run']} ")
    assert cli("jobs", "--adopt").err == "no call was left behind\n"


def test_adopt_takes_those_that_are_named(cli, orphan):
    """The others stay; a name that fits none is an error, and nothing is done."""
    killed("call", "toy:video", "-p", "prompt=y")
    assert cli("jobs", "--adopt", orphan["key"], "nothing").code == 3
    assert len(cli("jobs", "--json").document["jobs"]) == 2
    assert [row["key"] for row in cli("jobs", orphan["key"][:9], "--json").document["jobs"]] == [orphan["key"]]
    assert cli("jobs", "--adopt", orphan["key"]).code == 0
    [left] = cli("jobs", "--json").document["jobs"]
    assert left["key"] != orphan["key"]


@pytest.mark.parametrize(("outcome", "code"), [("stopped", 0), ("already_finished", 0), ("unknown", 1)])
def test_cancel_says_what_it_reached(cli, toy, outcome, code):
    """Stopped, collected because it had finished, or still there; without a terminal nobody is asked."""
    killed("call", "toy:video", "-p", "prompt=x", "--option", f"abort={outcome}")
    ended = cli("jobs", "--cancel")
    word = "collected" if outcome == "already_finished" else outcome
    assert (ended.code, ended.out) == (code, f"call  {word}  toy:video  job-1\n")
    assert Path("aborted").exists()
    assert len(cli("jobs", "--json").document["jobs"]) == (1 if code else 0)


def test_cancel_asks_on_a_terminal(cli, orphan, monkeypatch):
    """`--yes` answers; no leaves everything as it is."""
    asked = []

    class Terminal:
        @staticmethod
        def isatty():
            return True

    def answer(text, **_more):
        asked.append(text)
        return False

    monkeypatch.setattr(sys, "stdin", Terminal)
    monkeypatch.setattr(click, "confirm", answer)
    ended = cli("jobs", "--cancel")
    assert (ended.code, asked) == (1, ["Stop this job at the provider?"])
    assert "nothing was stopped" in ended.err
    assert not Path("aborted").exists()
    assert cli("jobs", "--cancel", "--yes").code == 0
    assert asked == ["Stop this job at the provider?"]
    assert Path("aborted").exists()


def test_part_of_it_is_exit_code_five(cli, orphan):
    """As elsewhere."""
    killed("call", "toy:video", "-p", "prompt=y", "--option", "abort=unknown")
    ended = cli("jobs", "--cancel", "--json")
    assert (ended.code, sorted(each["outcome"] for each in ended.document["jobs"])) == (5, ["stopped", "unknown"])
