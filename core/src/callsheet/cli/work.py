"""Doing a command's work: one event loop, one client, and signals that cancel instead of kill."""

from __future__ import annotations

import asyncio
import shlex
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from callsheet.cli.terminal import Session
from callsheet.client import Client
from callsheet.config import find_project
from callsheet.opening import open_client, project_at
from callsheet.sheet import CallSheet

__all__ = ["command_line", "has_ledger", "open_project", "open_sheet", "perform", "resume_command"]

T = TypeVar("T")


def perform(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end. The first SIGINT or SIGTERM cancels (jobs are aborted), and KeyboardInterrupt is raised then."""
    try:
        return asyncio.run(_cancelled_by_signal(work))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _cancelled_by_signal(work: Coroutine[Any, Any, T]) -> T:
    # asyncio.run does this for SIGINT; whoever ends a service sends SIGTERM and wants paid jobs stopped just as well.
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def cancel() -> None:
        loop.remove_signal_handler(signal.SIGTERM)
        task.cancel()

    try:
        loop.add_signal_handler(signal.SIGTERM, cancel)
    except (NotImplementedError, RuntimeError, ValueError):
        return await work  # not in the main thread: signals are somebody else's
    try:
        return await work
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


@asynccontextmanager
async def open_sheet(session: Session, path: Path) -> AsyncIterator[tuple[Client, CallSheet]]:
    """A sheet and a client of the project that it lies in. Raises ConfigError."""
    sheet = CallSheet.load(path)
    async with open_client(sheet.folder) as client:
        session.redact = client.runtime.services.redactor.text
        yield client, sheet


@asynccontextmanager
async def open_project(session: Session, folder: Path | None, *, user: bool = False) -> AsyncIterator[Client]:
    """A client of `folder`'s project; with `user`, of the user's own state when no project is named or around."""
    async with open_client(folder, user=user and folder is None) as client:
        session.redact = client.runtime.services.redactor.text
        yield client


def has_ledger(folder: Path | None) -> bool:
    """True when something was run in this project: looking must not create a state folder."""
    project = project_at(Path.cwd() if folder is None else folder.absolute())
    return (project.state / "ledger.sqlite3").is_file()


def resume_command(run: str, client: Client) -> str:
    """The command that goes on with a run, as it has to be typed in the working folder."""
    here = find_project(Path.cwd()) == client.runtime.project.folder.resolve()
    return command_line("resume", run, *([] if here else ["--project", str(client.runtime.project.folder)]))


def command_line(*words: str) -> str:
    """A callsheet command for people to copy."""
    return shlex.join(["callsheet", *words])
