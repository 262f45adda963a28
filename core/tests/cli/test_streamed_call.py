"""`callsheet call --stream`: text while it comes, on a terminal and in a pipe, and the short flags of `call`."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

PNG = b"\x89PNG\r\n\x1a\n"


def on_a_terminal(*args):
    """Carry out a command line whose stdin, stdout and stderr are a terminal; its exit code and all that it shows."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "callsheet", *args],
        stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(ours, 4096)
        except OSError:
            break  # the other end is closed
        if not data:
            break
        shown += data
    os.close(ours)
    return process.wait(timeout=60), shown.decode()


def test_streamed_into_a_pipe(cli, toy):
    """The same text as without, once; and nothing else on stdout."""
    ended = cli("call", "toy:text", "-p", "prompt=a b c", "--stream")
    assert (ended.code, ended.out) == (0, "text for a b c\n")
    assert "cost: $0.00" in ended.err
    assert ended.out == cli("call", "toy:text", "-p", "prompt=a b c", "--no-stream").out


def test_replayed_with_reuse(cli, toy):
    """What is paid for is shown again, as a stream too."""
    cli("call", "toy:text", "-p", "prompt=x")
    ended = cli("call", "toy:text", "-p", "prompt=x", "--reuse", "--stream")
    assert ended.out == "text for x\n"
    assert "it was paid for before" in ended.err


def test_a_cut_stream_keeps_its_text_visible(cli, toy):
    """The text until then on stdout, its line ended; the error on stderr, without saying it again."""
    ended = cli("call", "toy:text", "-p", "prompt=a cut b", "--stream")
    assert (ended.code, ended.out) == (1, "text for a cut b\n")
    assert "ended without its finished event" in ended.err
    assert "text for" not in ended.err


@pytest.mark.parametrize(
    "args",
    [
        ("toy:text", "-p", "prompt=x", "--stream", "--json"),
        ("toy:text", "-p", "prompt=x", "--stream", "-o", "x.txt"),
        ("toy:image", "-p", "prompt=x", "--stream"),
    ],
)
def test_what_does_not_go_together(cli, toy, args):
    """A flag is never taken and then ignored."""
    ended = cli("call", *args)
    assert ended.code == 2
    assert "--stream" in ended.out + ended.err


def test_on_a_terminal_text_is_streamed_and_harmless(toy):
    """By default; control characters are shown, not obeyed."""
    code, shown = on_a_terminal("call", "toy:text", "-p", "prompt=a \x1b[31mred\x07 b")
    assert code == 0
    assert "text for a \\x1b[31mred\\x07 b\r\n" in shown
    assert shown.count("text for") == 1
    assert "\x07" not in shown


def test_on_a_terminal_a_cut_is_told_below_the_text(toy):
    """The error begins on a line of its own."""
    code, shown = on_a_terminal("call", "toy:text", "-p", "prompt=a cut")
    assert code == 1
    assert "text for a cut\r\nerror: " in shown


def test_no_stream_on_a_terminal(toy):
    """A stream that would be cut is an ordinary answer when it is called for as a whole."""
    code, shown = on_a_terminal("call", "toy:text", "-p", "prompt=a cut", "--no-stream")
    assert code == 0
    assert "text for a cut" in shown


def test_system_schema_and_attachments(cli, toy):
    """The short flags are the attributes; a file's place is chosen by what it really is."""
    Path("picture.dat").write_bytes(PNG + b"x")
    Path("sound.bin").write_bytes(b"ID3" + b"x")
    Path("notes.txt").write_text("notes")
    Path("role.md").write_text("a geologist")
    Path("shape.json").write_text('{"type": "object"}')
    attached = [word for name in ("picture.dat", "sound.bin", "notes.txt") for word in ("--attach", name)]
    ended = cli("call", "toy:text", "-p", "prompt=x", "--system", "@role.md", "--schema", "shape.json", *attached)
    assert ended.code == 0, ended.err
    jobs = cli("call", "toy:image", "-p", "prompt=x", "--attach", "picture.dat", "-o", "out.png")
    assert jobs.code == 0, jobs.err
    assert cli("call", "toy:image", "-p", "prompt=x", "--attach", "notes.txt").code == 2
    assert cli("call", "toy:text", "-p", "prompt=x", "-p", "system=a", "--system", "b").code == 2
    requests = stored_requests()
    text = next(body for body in requests if body.get("system") == "a geologist")
    assert text["output_schema"] == {"type": "object"}
    assert [name for name in ("images", "audio", "files") if "callsheet-file:" in json.dumps(text[name])] == [
        "images", "audio", "files",
    ]  # fmt: skip
    assert any("images" in body and "system" not in body for body in requests)


def stored_requests():
    """The bodies of all requests in the user's ledger."""
    import sqlite3

    with sqlite3.connect(Path(os.environ["XDG_STATE_HOME"], "callsheet", "ledger.sqlite3")) as db:
        rows = db.execute("SELECT request FROM calls").fetchall()
    db.close()
    return [json.loads(row[0])["body"] for row in rows]
