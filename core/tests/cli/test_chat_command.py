"""`callsheet chat`: lines in, answers out, and a history that can be gone on with."""

from __future__ import annotations

import io
import os
import pty
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def chat(cli, toy, monkeypatch):
    """Carries out `callsheet chat` with these lines on stdin."""

    def carry_out(*args, said=()):
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in said)))
        return cli("chat", *args)

    return carry_out


def states():
    """The states of all calls."""
    with sqlite3.connect(Path(os.environ["XDG_STATE_HOME"], "callsheet", "ledger.sqlite3")) as db:
        rows = db.execute("SELECT state FROM calls ORDER BY created").fetchall()
    db.close()
    return [row[0] for row in rows]


def test_answers_alone_go_to_stdout(chat):
    """Each line is a message, and is sent with what was said before it."""
    ended = chat("toy:text", said=["hello", "", "more"])
    assert ended.code == 0
    first = "text for ['user', 'hello']"
    assert ended.out.splitlines() == [first, f"text for ['user', 'hello', 'assistant', {first!r}, 'user', 'more']"]
    assert re.search(r"to go on: callsheet chat --continue \w{12}\n", ended.err)


def test_a_warning_is_told_once_in_a_chat(chat):
    """What holds for every answer, like the end of a model, is read with the first."""
    ended = chat("toy:text", "--system", "warn", said=["one", "two"])
    assert len(ended.out.splitlines()) == 2
    assert ended.err.count("warning: no seed here") == 1


def test_an_interrupted_chat_says_how_to_go_on(cli, toy, monkeypatch):
    """Ctrl-C instead of the next message."""

    class Interrupted(io.StringIO):
        def readline(self, *size):
            if line := super().readline(*size):
                return line
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Interrupted("hello\n"))
    ended = cli("chat", "toy:text")
    assert ended.code == 130
    assert "to go on: callsheet chat --continue " in ended.err


def test_a_chat_is_gone_on_with(chat):
    """The latest, or by the beginning of an id; with another model too."""
    begun = chat("toy:text", "--system", "be brief", said=["one"])
    (name,) = re.findall(r"--continue (\w{12})", begun.err)
    chat("toy:text", said=["another chat"])
    assert "'one'" in chat("--continue", name[:8], said=["two"]).out
    latest = chat("--continue", said=["three"])
    assert re.search(r"'one'.*'two'.*'three'\]$", latest.out)
    assert "another" not in latest.out
    assert re.search(r"'three'.*'four'\]$", chat("toytext", "--continue", name, said=["four"]).out)


def test_the_list(chat):
    """The latest first, as a table and as a document."""
    chat("toy:text", said=["hello  there", "more"])
    chat("toy:text", "--mode", "mock", said=["second"])
    chat("toy:text", said=[])
    rows = chat("--list", "--json").document["chats"]
    assert [(row["ref"], row["mode"], row["messages"], row["begins"]) for row in rows] == [
        ("toy:text", "mock", 1, "second"),
        ("toy:text", "live", 2, "hello there"),
    ]
    assert rows[0]["id"] in chat("--list").out


def test_a_failed_turn_keeps_the_message(chat):
    """The answer until then and how to go on are told; asking again is the same call, and a decision when in doubt."""
    ended = chat("toy:text", said=["cut", "never heard"])
    assert (ended.code, ended.out) == (1, "")
    assert "the answer until then: text for ['user', 'cut']" in ended.err
    assert "your message is kept: /retry sends it again" in ended.err
    again = chat("--continue", said=["/retry"])
    assert "your last message has no answer" in again.err
    assert "/retry anyway sends it again" in again.err
    assert states() == ["unknown"]
    chat("--continue", said=["/retry anyway"])
    assert states() == ["unknown"]
    other = chat("--continue", said=["fine"])
    assert other.out == "text for ['user', 'fine']\n"
    assert states() == ["unknown", "succeeded"]


def test_an_answer_that_is_paid_for_is_not_paid_again(chat):
    """The process died between the call's record and the chat's: asking again replays."""
    chat("toy:text", said=["hello"])
    path = Path(os.environ["XDG_STATE_HOME"], "callsheet", "ledger.sqlite3")
    with sqlite3.connect(path) as db:
        db.execute("UPDATE exchanges SET answer = NULL")
        made = db.execute("SELECT count(*) FROM attempts").fetchone()
    db.close()
    assert chat("--continue", said=["/retry"]).out == "text for ['user', 'hello']\n"
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM attempts").fetchone() == made == (1,)
    db.close()


def test_a_process_that_died_while_it_waited_is_put_to_the_user(chat):
    """Nobody knows how the question ended: it is not sent again unasked."""
    chat("toy:text", said=["hello"])
    path = Path(os.environ["XDG_STATE_HOME"], "callsheet", "ledger.sqlite3")
    with sqlite3.connect(path) as db:
        db.execute("UPDATE exchanges SET answer = NULL")
        db.execute("UPDATE calls SET state = 'sending', result = NULL, owner = 'dead'")
        db.execute("DELETE FROM attempts")
    db.close()
    ended = chat("--continue", said=["/retry"])
    assert (ended.code, ended.out) == (1, "")
    assert "nobody knows how that ended" in ended.err
    assert "/retry anyway" in ended.err
    assert chat("--continue", said=["/retry anyway"]).out == "text for ['user', 'hello']\n"


def test_commands(chat):
    """Files go with the next message, // is a slash, /exit ends."""
    Path("notes.txt").write_text("notes")
    Path("more.txt").write_text("more")
    said = ["look", "/help", "/attach more.txt", "//slash", "/exit", "unheard"]
    ended = chat("toy:text", "--attach", "notes.txt", said=said)
    assert ended.code == 0
    first, second = ended.out.splitlines()
    assert "notes.txt" in first
    assert "more.txt" in second
    assert second.endswith("'/slash']")
    assert "/retry anyway" in ended.err


@pytest.mark.parametrize("line", ["/unknown", "/attach", "/attach nothing.txt", "/retry"])
def test_wrong_commands(chat, line):
    """When nobody types, the first failure ends the chat with its exit code."""
    ended = chat("toy:text", said=[line, "unheard"])
    assert (ended.code, ended.out) == (2, "")


@pytest.mark.parametrize(
    ("args", "code"),
    [((), 2), (("toy:image",), 2), (("toy:none",), 2), (("--continue",), 3), (("--continue", "abc"), 3),
     (("--continue", "--system", "x"), 2), (("toy:text", "--json"), 2)],
)  # fmt: skip
def test_wrong_command_lines(chat, args, code):
    """Before anything is asked."""
    assert chat(*args).code == code


def test_on_a_terminal(toy):
    """A prompt, streamed and harmless answers, errors that do not end the chat, and the end of the input."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "callsheet", "chat", "toy:text"],
        stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "dumb"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""

    def until(*words: bytes) -> None:
        nonlocal shown
        place = len(shown)
        while not all(word in shown[place:] for word in words):
            shown += os.read(ours, 4096)

    until(b"/help", b"> ")
    os.write(ours, b"cut\n")
    until(b"text for ['user', 'cut']", b"your message is kept", b"> ")
    os.write(ours, b"hello\n")
    until(b"text for ['user', 'hello']", b"> ")
    os.write(ours, b"\x04")
    until(b"to go on: callsheet chat --continue")
    os.close(ours)
    assert process.wait(timeout=60) == 0
    assert shown.count(b"error: ") == 1
