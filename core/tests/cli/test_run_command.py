"""`callsheet plan`, `run` and `resume` with real runs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COUNTS = ("executed", "reused", "failed", "blocked")


def counts(document):
    """The four counts that are always there."""
    return tuple(document[name] for name in COUNTS)


def test_run_from_nothing_and_again(cli, sheet):
    """The first run pays for everything, the second for nothing."""
    folder = sheet()
    first = cli("run", folder)
    assert first.code == 0
    assert [Path(line).name for line in first.out.splitlines()] == ["script.txt", "still-0.png", "still-1.png"]
    assert "still[1]  succeeded  toy:image (mock)" in first.err
    assert "3 executed" in first.err
    again = cli("run", folder)
    assert again.code == 0
    assert "nothing to do: all 3 results are there already" in again.err


def test_run_document(cli, sheet):
    """The JSON document, and nothing else anywhere."""
    folder = sheet()
    ended = cli("run", folder, "--json")
    assert (ended.code, ended.err) == (0, "")
    document = ended.document
    assert counts(document) == (3, 0, 0, 0)
    assert document["status"] == "succeeded"
    assert document["cost"] == {"usd": "0.00"}
    assert not {"unknown", "pending", "cancelled", "skipped", "errors"} & document.keys()
    assert {"job", "file", "media_type", "sha256", "bytes"} == document["artifacts"][0].keys()
    assert all(Path(artifact["file"]).is_file() for artifact in document["artifacts"])
    assert counts(cli("run", folder, "--json").document) == (0, 3, 0, 0)


def test_plan_and_dry_run(cli, sheet):
    """Both show the same and send nothing; the plan ends with the command that runs it."""
    folder = sheet()
    plan = cli("plan", folder, "--mode", "mock", "--input", "topic=ash")
    assert plan.code == 0
    assert "script" in plan.out
    assert "3 jobs: 1 run, 2 maybe" in plan.out
    assert "run it with: callsheet run film --mode mock --input topic=ash" in plan.err
    document = cli("run", folder, "--dry-run", "--json").document
    assert document["counts"] == {"cached": 0, "run": 1, "maybe": 2, "blocked": 0}
    assert document["jobs"][1]["upstream"] == ["script"]
    wanted = {"id", "state", "reason", "detail", "ref", "fallbacks", "mapping", "dispatch", "cost", "price", "upstream"}
    assert document["jobs"][0].keys() == wanted
    assert document.keys() == {"sheet", "title", "mode", "jobs", "counts", "cost", "warnings", "notes"}
    assert not (folder / "output").exists()
    assert cli("run", folder).code == 0
    assert cli("plan", folder, "--json").document["counts"]["cached"] == 3


def test_selection_is_kept_told_and_forgotten(cli, sheet):
    """--model is remembered; the run says so until --reset-selection."""
    folder = sheet()
    assert cli("run", folder, "--model", "script=toytext").code == 0
    again = cli("run", folder, "--json").document
    assert "chosen earlier with --model" in again["notes"][0]
    assert cli("run", folder, "--reset-selection", "--json").document["notes"] == []
    assert cli("run", folder, "--json").document["notes"] == []


def test_output_folder_of_ones_own(cli, sheet):
    """-o takes an empty or new folder, never one with somebody else's files."""
    folder = sheet()
    assert cli("run", folder, "-o", "there").code == 0
    assert Path("there/manifest.json").is_file()
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    refused = cli("run", folder, "-o", "full")
    assert refused.code == 2
    assert refused.err.startswith("error: ")


@pytest.mark.parametrize(
    "args",
    [
        ("--input", "topic"),
        ("--input", "=x"),
        ("--input", "topic=a", "--input", "topic=b"),
        ("--input", "topc=a"),
        ("--model", "still="),
        ("--model", "stil=toy:image"),
        ("--mock", "still,"),
        ("--mock", "nothing"),
        ("--mode", "hybrid"),
        ("--on-unknown", "ask"),
        ("--max-cost", "much"),
        ("--max-cost", "-1"),
    ],
)
def test_wrong_flags(cli, sheet, args):
    """Each is exit code 2 with a message on stderr, or one error document."""
    folder = sheet()
    ended = cli("run", folder, *args)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err
    document = cli("run", folder, *args, "--json").document
    assert document["error"]["kind"] == "config"
    assert document["error"]["sent"] == "not_sent"


def test_bad_sheets(cli, sheet):
    """No sheet, a wrong key, a model that nobody has: file and key are named, also in JSON."""
    assert cli("run", "nowhere").code == 2
    assert cli("run", sheet("title = 1", "one")).code == 2
    folder = sheet('[producers.clip]\noperation = "image.generate"\nmodels = ["nobody:x"]\nprompt = "x"\n', "two")
    ended = cli("plan", folder, "--json")
    assert ended.code == 3
    assert ended.document["error"]["producer"] == "clip"


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        (("authentication",), 3),
        (("authentication", "access_denied"), 3),
        (("content_rejected", "invalid_request"), 4),
        (("authentication", "invalid_request"), 1),
        (("overloaded",), 1),
        (("overloaded", ""), 5),
    ],
)
def test_exit_codes_of_failures(cli, sheet, producer, kinds, code):
    """What all root failures agree on, 1 when they do not, 5 when something succeeded."""
    text = "".join(producer(f"p{n}", f"prompt {n}", **({"fail": kind} if kind else {})) for n, kind in enumerate(kinds))
    blocked = '[producers.after]\noperation = "video.generate"\nmodels = ["toy:video"]\nimage = "p0"\n'
    ended = cli("run", sheet(text + blocked), "--json")
    assert ended.code == code
    assert ended.document["blocked"] == 1
    assert [error["kind"] for error in ended.document["errors"]] == [kind for kind in kinds if kind]


def test_missing_secret_in_every_job(cli, sheet, producer):
    """A secret that is not set is 3."""
    ended = cli("run", sheet(producer("a", needs_key=True)))
    assert ended.code == 3
    assert "export TOY_KEY=" in ended.err


def test_a_refused_prompt_is_told(cli, sheet, producer):
    """The error, the prompt, what to do, and nothing that a terminal would obey."""
    ended = cli("run", sheet(producer("still", "a forbidden thing", fail="content_rejected")))
    assert ended.code == 4
    assert "error: still failed: toy says \\x1b[31mno" in ended.err
    assert "the prompt was: a forbidden thing" in ended.err
    assert "what to do: change the prompt" in ended.err
    assert "see https://toy.test/" in ended.err
    assert "\x1b" not in ended.err + ended.out
    assert "callsheet resume " in ended.err


def test_warnings_once_and_strict(cli, sheet):
    """Two jobs with the same warning tell it once; --strict makes it an error."""
    folder = sheet(
        '[producers.still]\noperation = "image.generate"\nmodels = ["toy:image"]\nfor_each = 2\nseed = 1\n'
        'prompt = "{{ index }}"\n'
    )
    assert cli("run", folder, "--json").document["warnings"] == ["no seed here"]
    assert cli("run", folder, "--strict").code == 2


def test_resume_goes_on(cli, sheet, producer):
    """A failed run is resumed under its id, from another folder too, once the sheet is right."""
    folder = sheet(producer("a") + producer("b", "y", fail="overloaded"))
    first = cli("run", folder, "--json").document
    assert counts(first) == (1, 0, 1, 0)
    sheet(producer("a") + producer("b", "y"))
    assert cli("resume", first["run"][:6]).code == 3  # the working folder is another project
    ended = cli("resume", first["run"][:6], "--project", folder, "--json")
    assert (ended.code, ended.document["run"], counts(ended.document)) == (0, first["run"], (2, 0, 0, 0))
    assert cli("resume", first["run"], "--mode", "mock", "--project", folder).code == 2


def test_interrupted_run(sheet, producer):
    """SIGINT tells the provider, writes what there is, says how to go on, and exits with 130."""
    folder = sheet(producer("a", operation="text") + producer("clip", operation="video", hang=True))
    process = subprocess.Popen(
        [sys.executable, "-m", "callsheet", "run", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(Path("hanging"), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert Path("aborted").exists()
    assert "clip  aborted  toy:video  stopped" in err
    assert "cancelled" in err
    assert "callsheet resume " in err
    assert "Traceback" not in err
    assert out.splitlines()[0].endswith("a.txt")


def wait_for(path, process):
    """Until the file is there, or the process is gone."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline


def test_not_a_terminal_is_plain(sheet):
    """In a pipe nothing is drawn, whatever the environment wishes."""
    folder = sheet()
    done = subprocess.run(
        [sys.executable, "-m", "callsheet", "run", str(folder)], capture_output=True, text=True, check=True
    )
    assert "\x1b" not in done.stdout + done.stderr
    assert "script  succeeded  toy:text" in done.stderr
