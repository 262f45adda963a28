"""Doing a command's work: one event loop, one client, and signals that cancel instead of kill."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from callsheet.cli.logs import shown_log
from callsheet.cli.observers import observed
from callsheet.cli.terminal import Session, say
from callsheet.client import Client
from callsheet.config import find_project
from callsheet.first_seen import announce_new
from callsheet.opening import open_client, project_at
from callsheet.sheet import CallSheet

__all__ = [
    "command_line",
    "has_ledger",
    "ledgers",
    "open_project",
    "open_sheet",
    "perform",
    "performing",
    "project_command",
    "resume_command",
]

T = TypeVar("T")

INTERRUPTED = 130


def perform(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end. The first SIGINT or SIGTERM cancels (jobs are aborted), and KeyboardInterrupt is raised then.

    A second one ends the process at once: whatever is under way is on record, as after any crash.
    """
    with performing() as on_one_loop:
        done: T = on_one_loop(work)
        return done


@contextmanager
def performing() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """`perform` for several works, one after the other, which share one event loop."""
    with asyncio.Runner() as runner:

        def perform_next(work: Coroutine[Any, Any, Any]) -> Any:
            try:
                return runner.run(_cancelled_by_signal(work))
            except asyncio.CancelledError:
                raise KeyboardInterrupt from None

        yield perform_next


async def _cancelled_by_signal(work: Coroutine[Any, Any, T]) -> T:
    # asyncio.run does this for SIGINT; whoever ends a service sends SIGTERM and wants paid jobs stopped just as well.
    # Not loop.add_signal_handler: the second signal must be heard also while the loop is busy or closing down.
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    heard: list[int] = []

    def hear(number: int, _frame: object) -> None:
        if heard:
            _leave_at_once()
        heard.append(number)
        loop.call_soon_threadsafe(task.cancel)

    if threading.current_thread() is not threading.main_thread():
        return await work  # signals are somebody else's
    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return await work
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave_at_once() -> NoReturn:
    show_cursor = "\x1b[?25h" if os.isatty(2) else ""
    told = "interrupted again: ended at once; jobs may go on at their providers, `callsheet resume RUN` asks for them"
    with suppress(OSError):
        os.write(2, f"{show_cursor}\n{told}\n".encode())
    os._exit(INTERRUPTED)


@asynccontextmanager
async def open_sheet(session: Session, path: Path) -> AsyncIterator[tuple[Client, CallSheet]]:
    """A sheet and a client of the project that it lies in. Raises ConfigError."""
    sheet = CallSheet.load(path)
    async with _opened(session, sheet.folder) as client:
        yield client, sheet


@asynccontextmanager
async def open_project(session: Session, folder: Path | None, *, user: bool = False) -> AsyncIterator[Client]:
    """A client of `folder`'s project; with `user`, of the user's own state when no project is named or around."""
    async with _opened(session, folder, user=user and folder is None) as client:
        yield client


@asynccontextmanager
async def _opened(session: Session, folder: Path | None, *, user: bool = False) -> AsyncIterator[Client]:
    with shown_log(session):
        async with open_client(folder, user=user, env_file=session.env_file) as client:
            services = client.runtime.services
            session.redact = services.redactor.text
            if not session.json and (news := announce_new(services.host.discovery)):
                say(news)
            async with observed(session, services.host):
                yield client


def has_ledger(folder: Path | None, *, user: bool = False) -> bool:
    """True when something was run in this project (`user` as in `open_project`): looking creates no state folder."""
    project = project_at(Path.cwd() if folder is None else folder.absolute(), user=user and folder is None)
    return (project.state / "ledger.sqlite3").is_file()


def ledgers(folder: Path | None) -> list[Path | None]:
    """The folders to open to see all calls from here, None for the user's own state; only those where something is.

    In a folder without a `callsheet.toml`, runs of its sheet are on record there, and calls in the user's own state.
    """
    here = Path.cwd() if folder is None else folder.absolute()
    places = {project_at(here).state: here, project_at(here, user=folder is None).state: folder}
    return [place for place in places.values() if has_ledger(place, user=True)]


def resume_command(run: str, client: Client) -> str:
    """The command that goes on with a run, as it has to be typed in the working folder."""
    return project_command(client, "resume", run)


def project_command(client: Client, *words: str) -> str:
    """A command of this project, as it has to be typed in the working folder."""
    here = find_project(Path.cwd()) == client.runtime.project.folder.resolve()
    return command_line(*words, *([] if here else ["--project", str(client.runtime.project.folder)]))


def command_line(*words: str) -> str:
    """A callsheet command for people to copy."""
    return shlex.join(["callsheet", *words])
