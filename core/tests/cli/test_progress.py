"""What is seen while jobs run, and what a terminal may get."""

from __future__ import annotations

import io

from rich.console import Console

from callsheet.cli.progress import EventLines, JobBoard
from callsheet.cli.terminal import Session, on_terminal, printable, put_table
from callsheet.storage import Event


def event(kind, job="still[0]", **body):
    """An event of a run."""
    return Event(1, "run", 0.0, kind, job, body)


def drawn(board, height):
    """The board as text."""
    stream = io.StringIO()
    Console(file=stream, width=100).print(board.table(height))
    return stream.getvalue().splitlines()


def test_board_has_a_row_a_job():
    """State, model, elapsed time and cost; what is under way stands at the end, above the count."""
    now = [100.0]
    board = JobBoard(lambda: now[0])
    board.hear(event("job.started", "a", ref="toy:image"))
    board.hear(event("job.submitted", "b", ref="toy:video"))
    now[0] = 107.0
    board.hear(event("job.succeeded", "b", ref="toy:video", mocked=True, cost={"usd": "0.03"}))
    board.hear(event("run.finished", ""))
    now[0] = 109.0
    lines = [line.split() for line in drawn(board, 10)]
    assert lines == [
        ["b", "succeeded", "toy:video", "(mock)", "7", "s", "$0.03"],
        ["a", "started", "toy:image", "9", "s"],
        ["1", "done,", "1", "under", "way"],
    ]


def test_board_fits_the_terminal():
    """However many jobs there are, jobs under way are shown before others."""
    board = JobBoard(lambda: 0.0)
    for number in range(100):
        board.hear(event("job.succeeded", f"done[{number}]"))
    board.hear(event("job.started", "busy"))
    lines = drawn(board, 5)
    assert len(lines) == 5
    assert lines[-2].startswith("busy")
    assert lines[-1] == "100 done, 1 under way"


def test_lines_are_told_once():
    """Steps that say little are left out, a repeated line too; messages are one harmless line."""
    lines: list[str] = []
    told = EventLines(lines.append)
    for kind in ("job.started", "job.sending", "job.pending", "job.pending"):
        told.hear(event(kind, ref="toy:video"))
    told.hear(event("attempt.failed", ref="toy:video", message="no\x1b[2J\nmore"))
    told.hear(event("job.blocked", needs=["script"]))
    assert lines == [
        "still[0]  pending  toy:video",
        "still[0]  attempt failed  toy:video  no\\x1b[2J",
        "still[0]  blocked  needs script",
    ]


def test_printable():
    """Control and format characters are escaped; words of every language stay as they are."""
    assert printable("a\tb\nc") == "a\tb\nc"
    assert printable("\x1b]0;x\x07\x9b\r\u202e") == "\\x1b]0;x\\x07\\x9b\\r\\u202e"
    assert printable("火山\u3000ñ – «lave\u00a0!»") == "火山\u3000ñ – «lave\u00a0!»"
    assert printable("\ud800") == "\\ud800"


def test_terminals(monkeypatch):
    """A dumb one, a CI's and a file are not drawn on, and nothing is live with JSON."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    assert on_terminal(Terminal())
    assert not on_terminal(io.StringIO())
    monkeypatch.setattr("sys.stderr", Terminal())
    assert Session().live
    assert not Session(json=True).live
    monkeypatch.setenv("CI", "true")
    assert not on_terminal(Terminal())
    monkeypatch.delenv("CI")
    monkeypatch.setenv("TERM", "dumb")
    assert not on_terminal(Terminal())


def test_tables(monkeypatch, capsys):
    """Aligned columns in a pipe; drawn on a terminal, without colour where NO_COLOR is set."""
    rows = [("a", "[red]x[/red]\x1b", 10), ("long", "", 9)]
    put_table(("job", "what", "cost"), rows, right=("cost",))
    assert (
        capsys.readouterr().out
        == "job   what              cost\na     [red]x[/red]\\x1b    10\nlong                       9\n"
    )

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("CI", raising=False)
    put_table(("job", "what", "cost"), rows, right=("cost",))
    assert "[red]x[/red]\\x1b" in stream.getvalue()
    assert "\x1b[3" not in stream.getvalue()
