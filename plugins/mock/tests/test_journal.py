"""The journal: the mock's own list of jobs."""

from __future__ import annotations

import json
import subprocess
import sys

from callsheet_mock.journal import VARIABLE, Journal

WRITER = """
import sys
from pathlib import Path
from callsheet_mock.journal import Journal
journal = Journal(Path(sys.argv[1]))
for number in range(200):
    journal.write("accepted", sys.argv[2], number=number, filler="x" * 500)
"""


def test_empty_journal(tmp_path):
    """Nothing was written: nothing is there, and reading makes no file."""
    journal = Journal(tmp_path / "deep")
    assert list(journal.lines("k")) == []
    assert journal.count("accepted", "k") == 0
    assert list(tmp_path.iterdir()) == []


def test_lines_of_one_call(tmp_path):
    """Lines are found by their call, oldest first, and counted by event and job."""
    journal = Journal(tmp_path / "deep" / "er")
    journal.write("accepted", "k1", job="a")
    journal.write("accepted", "k2", job="b")
    journal.write("accepted", "k1", job="c")
    journal.write("aborted", "k1", job="a")
    assert [line.get("job") for line in journal.lines("k1")] == ["a", "c", "a"]
    assert journal.count("accepted", "k1") == 2
    assert journal.count("aborted", "k1", "a") == 1
    assert journal.count("aborted", "k1", "c") == 0


def test_key_inside_another_line(tmp_path):
    """A key that turns up in other places of a line is not the line's key."""
    journal = Journal(tmp_path)
    journal.write("accepted", "other", ref="k1")
    assert list(journal.lines("k1")) == []


def test_torn_and_foreign_lines(tmp_path):
    """A line torn by a crash and lines of others are passed over, and the next line stands alone."""
    file = tmp_path / "journal.jsonl"
    file.write_bytes(b'\xff\xfe\n["k"]\n"k"\n{"key":"k"}\n{"event":"accepted","key":"k","jo')
    journal = Journal(tmp_path)
    assert list(journal.lines("k")) == []
    journal.write("accepted", "k", job="a")
    assert [line["job"] for line in journal.lines("k")] == ["a"]
    assert json.loads(file.read_bytes().split(b"\n")[-2])["job"] == "a"


def test_another_place(tmp_path, monkeypatch):
    """The environment variable names another file."""
    file = tmp_path / "elsewhere" / "all.jsonl"
    monkeypatch.setenv(VARIABLE, str(file))
    Journal(tmp_path / "workspace").write("accepted", "k")
    assert json.loads(file.read_text()) == {"event": "accepted", "key": "k"}
    assert not (tmp_path / "workspace").exists()


def test_only_the_owner_reads_it(tmp_path):
    """The journal may hold words of prompts: it is the user's own."""
    Journal(tmp_path).write("accepted", "k")
    assert (tmp_path / "journal.jsonl").stat().st_mode & 0o077 == 0


def test_several_processes_write_at_once(tmp_path):
    """Lines of several processes never mix."""
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, tmp_path, f"k{n}"]) for n in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    for n in range(3):
        assert [line["number"] for line in Journal(tmp_path).lines(f"k{n}")] == list(range(200))
