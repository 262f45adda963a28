"""Commands that print secrets: real child processes, and nothing of what they say in any error."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from callsheet.errors import ConfigError
from callsheet.secret_commands import CommandSecrets
from callsheet.secrets import Secret

KEY = "pLanted-k3y-0f-a-command"


def python(code: str) -> tuple[str, ...]:
    """The words of a command that runs this code."""
    return (sys.executable, "-c", code)


async def refused(*words: str, seconds: float = 20.0) -> str:
    """The message about a command that gives no secret."""
    with pytest.raises(ConfigError) as caught:
        await CommandSecrets({"A": words}, seconds).get("A")
    assert caught.value.exit_code == 3
    return str(caught.value)


async def test_what_a_command_prints_is_the_secret() -> None:
    """Without the line end; a name without a command has none."""
    source = CommandSecrets({"A": python(f"print({KEY!r})")})
    assert await source.get("A") == Secret(KEY)
    assert await source.get("B") is None


async def test_words_are_words(tmp_path: Path) -> None:
    """No shell reads them, and nobody waits for input that never comes."""
    words = (sys.executable, "-c", "import sys; print(sys.stdin.read() + sys.argv[1])", "$(touch x); `id` > y")
    assert await CommandSecrets({"A": words}).get("A") == Secret("$(touch x); `id` > y")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (f"import sys; print({KEY!r}); print({KEY!r}, file=sys.stderr); sys.exit(4)", "ended with exit code 4"),
        (f"import sys; print({KEY!r}, file=sys.stderr)", "printed nothing"),
        (f"print({KEY!r} * 10000)", "printed more than 64 KiB"),
        (f"import os, signal; os.kill(os.getpid(), signal.SIGKILL); print({KEY!r})", "ended with signal 9"),
    ],
)
async def test_a_command_that_fails_is_named_and_not_quoted(code: str, why: str) -> None:
    """The secret's name, the program and what happened; no word of the command, nothing of its output."""
    told = await refused(*python(code))
    assert f"the command for the secret A ({Path(sys.executable).name} …) {why}" in told
    assert "pLanted" not in told


async def test_a_command_that_cannot_be_started() -> None:
    """A program that is not there, and a word that no program can be given."""
    assert "cannot be started (No such file or directory)" in await refused("/nowhere/op", "read", KEY)
    assert "cannot be started (a word of it holds a NUL character)" in await refused(sys.executable, "a\0b")


CHILD = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
child.wait()
"""


async def ended(process: int) -> None:
    """Until a process (by its file descriptor) runs no longer."""
    over, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(process, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(process)
        os.close(process)


@pytest.mark.parametrize("end", ["time", "cancel"])
async def test_one_that_does_not_end_is_killed_with_what_it_started(tmp_path: Path, end: str) -> None:
    """When its time is over, and when nobody waits for it any more."""
    pids = tmp_path / "pids"
    os.mkfifo(pids)
    words = (*python(CHILD), str(pids))
    asked = asyncio.create_task(CommandSecrets({"A": words}, 3.0 if end == "time" else 600.0).get("A"))
    started = [int(pid) for pid in (await asyncio.to_thread(pids.read_text)).split()]
    processes = [os.pidfd_open(pid) for pid in started]
    if end == "time":
        with pytest.raises(ConfigError, match="did not end within 3 s"):
            await asked
    else:
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    assert len(started) == 2
    for process in processes:
        await ended(process)
    assert os.getpid() not in started
