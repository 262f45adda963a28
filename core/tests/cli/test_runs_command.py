"""`callsheet runs list|show|verify`."""

from __future__ import annotations

import json
from pathlib import Path


def test_nothing_was_run(cli, toy):
    """Looking creates no state."""
    assert cli("runs", "list", "--json").document == {"runs": []}
    assert cli("runs", "show").code == 3
    assert cli("runs", "verify").code == 3
    assert not Path(".callsheet").exists()


def test_list_and_show(cli, sheet):
    """Newest first; a run's jobs with status, reason, model and cost."""
    folder = sheet()
    first, second = (cli("run", folder, "--json").document["run"] for _ in range(2))
    assert [run["run"] for run in cli("runs", "list", "--project", folder, "--json").document["runs"]] == [
        second,
        first,
    ]
    assert first in cli("runs", "list", "--project", folder).out
    shown = cli("runs", "show", first[:8], "--project", folder, "--json").document
    assert (shown["run"], shown["status"], shown["counts"]) == (first, "succeeded", {"executed": 3})
    text = cli("runs", "show", first, "--project", folder).out
    assert [line.split()[:3] for line in text.splitlines()[2:5]] == [
        ["script", "executed", "new"],
        ["still[0]", "executed", "new"],
        ["still[1]", "executed", "new"],
    ]
    assert cli("runs", "show", "nothing", "--project", folder).code == 3


def test_a_run_that_is_not_done_says_how_to_go_on(cli, sheet, producer):
    """The command that finishes it stands below what there is."""
    folder = sheet(producer("a") + producer("b", fail="overloaded"))
    run = cli("run", folder, "--json").document["run"]
    assert f"callsheet resume {run}" in cli("runs", "show", "--project", folder).err
    done = sheet(producer("a"))
    assert cli("run", done).code == 0
    assert cli("runs", "show", "--project", done).err == ""


def verified(cli, folder):
    """The exit code and the problems of the latest run."""
    ended = cli("runs", "verify", "--project", folder, "--json")
    return ended.code, ended.document["problems"]


def test_verify_a_sound_run(cli, sheet):
    """Everything is as it was written, also when the run was reused or resumed."""
    folder = sheet()
    first = cli("run", folder, "--json").document["run"]
    assert verified(cli, folder) == (0, [])
    assert cli("runs", "verify", "--project", folder).err.endswith("(2 blobs and 3 output files compared)\n")
    assert cli("run", folder).code == 0
    assert verified(cli, folder) == (0, [])
    older = cli("runs", "verify", first, "--project", folder)
    assert older.code == 0
    assert "holds the later run" in older.err
    assert cli("resume", first, "--project", folder).code == 0
    assert cli("runs", "verify", first, "--project", folder, "--json").document["files"] == 3


def test_verify_a_failed_run(cli, sheet, producer):
    """A run that did not succeed can be verified as well."""
    folder = sheet(producer("a") + producer("b", fail="overloaded"))
    assert cli("run", folder).code == 5
    assert verified(cli, folder) == (0, [])


def test_verify_puts_back_a_changed_output_file(cli, sheet):
    """One that was changed (it is kept beside), and one that is gone."""
    folder = sheet()
    cli("run", folder)
    (folder / "output" / "script.txt").write_text("other")
    (folder / "output" / "still-0.png").unlink()
    ended = cli("runs", "verify", "--project", folder, "--json")
    problems = ended.document["problems"]
    assert (ended.code, ended.document["ok"], len(problems)) == (0, True, 2)
    assert "script.txt was changed" in problems[0]
    assert "still-0.png is missing" in problems[1]
    assert [path.rpartition("/")[2] for path in ended.document["repaired"]] == ["script.txt", "still-0.png"]
    assert (folder / "output" / "script.altered.txt").read_text() == "other"
    assert verified(cli, folder) == (0, [])


def test_verify_notices_a_changed_blob(cli, sheet):
    """A blob that was altered, and one that is gone."""
    folder = sheet()
    cli("run", folder)
    one, other = sorted(path for path in (folder / ".callsheet" / "blobs" / "sha256").rglob("*") if path.is_file())
    one.chmod(0o644)
    one.write_bytes(b"other")
    other.unlink()
    code, problems = verified(cli, folder)
    assert code == 1
    assert problems[0].startswith(f"the blob {one.name} is altered")
    assert problems[1].startswith(f"the blob {other.name} is missing")


def test_verify_derives_an_edited_manifest_again(cli, sheet):
    """Edited, edited with a new digest, or gone: the events say what it was."""
    folder = sheet()
    cli("run", folder)
    path = folder / "output" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["jobs"][0]["ref"] = "toy:better"
    path.write_text(json.dumps(manifest))
    code, problems = verified(cli, folder)
    assert code == 0
    assert "was edited" in problems[0]
    assert 'jobs[0].ref is "toy:better", the events say "toy:text"' in problems[1]
    from callsheet.digests import digest

    del manifest["digest"]
    path.write_text(json.dumps({**manifest, "digest": digest(manifest)}))
    code, problems = verified(cli, folder)
    assert code == 0
    assert len(problems) == 1
    path.unlink()
    code, problems = verified(cli, folder)
    assert code == 0
    assert "missing or no manifest" in problems[0]
    assert "resume" in problems[0]
