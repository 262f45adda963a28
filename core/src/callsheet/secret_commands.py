"""Secrets that a command of the user's own prints: no shell, a process group of its own, limits on time and output."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from contextlib import suppress

from callsheet.errors import ConfigError
from callsheet.secrets import Secret

__all__ = ["CommandSecrets"]

SECONDS = 60.0
"""Long enough for somebody to lay a finger on a sensor."""
MAX_BYTES = 1 << 16


class CommandSecrets:
    """`commands` are the words of a command each, by the secret's name; what it prints is the secret.

    The command gets this process's environment, because password managers keep their sessions there, and nothing to
    read. Its words and what it prints are never shown, on stderr neither: both may hold secrets.
    """

    def __init__(self, commands: Mapping[str, tuple[str, ...]], seconds: float = SECONDS) -> None:
        self.commands = commands
        self._seconds = seconds

    async def get(self, name: str) -> Secret | None:
        """What the command for this name prints, without white space around it; None when there is no command.

        Raises ConfigError when it cannot be started, fails, prints nothing or too much, or does not end in time.
        """
        words = self.commands.get(name)
        if not words:
            return None
        try:
            process = await asyncio.create_subprocess_exec(
                *words, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, start_new_session=True
            )
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "a word of it holds a NUL character"
            raise _failed(name, words, f"cannot be started ({why})") from None
        try:
            async with asyncio.timeout(self._seconds):
                printed = await _output(process)
                code = await process.wait() if len(printed) <= MAX_BYTES else None
        except TimeoutError:
            raise _failed(name, words, f"did not end within {self._seconds:g} s") from None
        finally:
            await _end(process)
        if code is None:
            raise _failed(name, words, f"printed more than {MAX_BYTES >> 10} KiB")
        if code != 0:
            ending = f"exit code {code}" if code > 0 else f"signal {-code}"
            raise _failed(name, words, f"ended with {ending}; run it by hand to see what it says")
        value = printed.decode(errors="replace").strip()
        if not value:
            raise _failed(name, words, "printed nothing")
        return Secret(value)


async def _output(process: Process) -> bytes:
    assert process.stdout is not None
    printed = b""
    while len(printed) <= MAX_BYTES and (piece := await process.stdout.read(MAX_BYTES)):
        printed += piece
    return printed


async def _end(process: Process) -> None:
    """Kill it and what it started, unless it has ended by itself: a password manager's daemon may live on."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    await process.wait()


def _failed(name: str, words: tuple[str, ...], what: str) -> ConfigError:
    return ConfigError(f"the command for the secret {name} ({os.path.basename(words[0])} …) {what}", missing=True)  # noqa: PTH119
