"""`callsheet runs open|events|cancel` and `callsheet jobs`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest


@pytest.fixture
def browser(monkeypatch):
    """What would be opened."""
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    return opened


def killed(sheet, producer):
    """A run whose process was killed while its job was with the provider: its folder and its id."""
    folder = sheet(producer("a") + producer("v", operation="video", hang=True))
    process = subprocess.Popen(
        [sys.executable, "-m", "callsheet", "run", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    for line in process.stderr:
        if b"v  submitted" in line:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.stderr.close()
    process.wait()
    return folder


def test_open_prints_and_opens_the_report(cli, sheet, browser):
    """The latest, or the one that is named; as a document, too."""
    folder = sheet()
    run = cli("run", folder, "--json").document["run"]
    report = (folder / "output" / "report.html").absolute()
    ended = cli("runs", "open", "--project", folder)
    assert (ended.code, ended.out) == (0, f"{report}\n")
    assert browser == [report.as_uri()]
    document = cli("runs", "open", run[:6], "--project", folder, "--json").document
    assert document == {"run": run, "report": str(report), "opened": True}


def test_open_writes_a_lost_report_again(cli, sheet, browser):
    """The report comes from the events, so it can be had at any time; verify notes its loss."""
    folder = sheet()
    cli("run", folder)
    report = folder / "output" / "report.html"
    before = report.read_bytes()
    report.unlink()
    verified = cli("runs", "verify", "--project", folder)
    assert (verified.code, "runs open" in verified.err) == (0, True)
    assert cli("runs", "open", "--project", folder).code == 0
    assert report.read_bytes() == before


def test_open_says_when_there_is_nothing_to_open(cli, sheet, toy, browser, monkeypatch):
    """No run, outputs that are gone, a folder that a later run has taken, no browser."""
    assert cli("runs", "open").code == 3
    folder = sheet()
    first = cli("run", folder, "--json").document["run"]
    second = cli("run", folder, "--json").document["run"]
    later = cli("runs", "open", first, "--project", folder, "--json")
    assert (later.document["run"], f"later run {second}" in later.err) == (second, True)
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    assert "by hand" in cli("runs", "open", "--project", folder).err
    (folder / "output" / "manifest.json").unlink()
    gone = cli("runs", "open", "--project", folder)
    assert (gone.code, "callsheet resume" in gone.err) == (3, True)


def test_events(cli, sheet):
    """Lines for people, or one JSON object a line; an ended run is not waited for."""
    folder = sheet()
    run = cli("run", folder, "--json").document["run"]
    told = [json.loads(line) for line in cli("runs", "events", "--jsonl", "--project", folder).out.splitlines()]
    assert (told[0]["type"], told[-1]["type"]) == ("run.started", "run.finished")
    assert {event["run"] for event in told} == {run}
    assert [event["seq"] for event in told] == sorted(event["seq"] for event in told)
    followed = cli("runs", "events", run, "--follow", "--project", folder)
    assert (followed.code, len(followed.out.splitlines())) == (0, len(told))
    assert "job.succeeded  script  toy:text  new" in followed.out
    assert cli("runs", "events", "nothing", "--project", folder).code == 3


def test_jobs_lists_orphans_and_cancel_stops_them(cli, sheet, producer):
    """A killed run leaves its job with the provider: it is found, aborted, and gone from the list."""
    folder = killed(sheet, producer)
    [row] = cli("jobs", "--orphans", "--project", folder, "--json").document["jobs"]
    assert (row["state"], row["job"], row["ref"], row["job_id"], row["owner"]) == (
        "submitted", "v", "toy:video", "job-1", "dead",
    )  # fmt: skip
    assert row["receipt"]["key"] == row["key"]
    text = cli("jobs", "--project", folder)
    assert "submitted  v" in text.out
    assert f"callsheet resume {row['run']}" in text.err
    assert f"callsheet runs cancel {row['run']}" in text.err
    followed = cli("runs", "events", "--follow", "--project", folder)
    assert followed.code == 0
    ended = cli("runs", "cancel", row["run"][:8], "--project", folder, "--json")
    assert (ended.code, ended.document["status"]) == (0, "cancelled")
    assert [(call["job"], call["outcome"]) for call in ended.document["calls"]] == [("v", "stopped")]
    assert Path("aborted").exists()
    assert cli("jobs", "--project", folder, "--json").document == {"jobs": []}
    assert cli("runs", "verify", "--project", folder).code == 0
    again = cli("runs", "cancel", row["run"], "--project", folder)
    assert (again.code, "is cancelled" in again.err) == (0, True)


def test_jobs_sees_the_runs_of_a_folder_that_is_no_project_by_name(cli, sheet, producer, monkeypatch):
    """A sheet's folder without a `callsheet.toml` keeps its runs; `jobs` there shows them beside the user's own calls."""
    folder = killed(sheet, producer)
    monkeypatch.chdir(folder)
    [row] = cli("jobs", "--json").document["jobs"]
    assert (row["job"], row["job_id"], row["resume"]) == ("v", "job-1", f"callsheet resume {row['run']}")


def test_nothing_is_under_way(cli, sheet, toy):
    """Looking creates no state; a project without open calls says so."""
    assert cli("jobs", "--json").document == {"jobs": []}
    assert not Path(".callsheet").exists()
    folder = sheet()
    cli("run", folder)
    assert cli("jobs", "--project", folder).err == "no call is under way\n"
    assert cli("jobs", "--orphans", "--project", folder).err == "no call was left behind\n"
    assert cli("runs", "cancel", "x", "--project", folder).code == 3
    run = cli("runs", "list", "--project", folder, "--json").document["runs"][0]["run"]
    ended = cli("runs", "cancel", run, "--project", folder)
    assert (ended.code, "nothing to cancel" in ended.err) == (0, True)


def test_a_running_process_is_stopped_by_another(cli, sheet, producer):
    """The owner aborts its jobs, writes its manifest, and ends as interrupted."""
    folder = sheet(producer("a") + producer("v", operation="video", hang=True))
    process = subprocess.Popen(
        [sys.executable, "-m", "callsheet", "run", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    for line in process.stderr:
        if b"v  submitted" in line:
            break
    run = cli("runs", "list", "--project", folder, "--json").document["runs"][0]["run"]
    assert cli("runs", "open", "--project", folder).code == 2
    [row] = cli("jobs", "--project", folder, "--json").document["jobs"]
    assert row["owner"] == "alive"
    ended = cli("runs", "cancel", run, "--project", folder, "--json")
    _, said = process.communicate()
    assert (ended.code, ended.document["status"]) == (0, "cancelled")
    assert [(call["job"], call["outcome"]) for call in ended.document["calls"]] == [("v", "stopped")]
    assert process.returncode == 130
    assert f"run {run} cancelled".encode() in said
    assert cli("runs", "verify", "--project", folder).code == 0
