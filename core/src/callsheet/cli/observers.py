"""Observers: what plugins have watch a command, from its beginning to its end; none of them can make it fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager

from callsheet.cli.terminal import Session, say
from callsheet.errors import CallsheetError
from callsheet.isolation import run_apart
from callsheet.plugin_host import PluginHost

__all__ = ["observed"]

LAST_SECONDS = 5.0
"""How long observers may take at the end (to send what they have) before the command ends without them."""


@asynccontextmanager
async def observed(session: Session, host: PluginHost) -> AsyncIterator[None]:
    """The work of a command, in front of the observers that plugins register."""
    entered = ExitStack()
    watched = _enter(session, host, entered)
    try:
        yield
    finally:
        if watched:
            await _leave(session, entered)


def _enter(session: Session, host: PluginHost, entered: ExitStack) -> bool:
    watched = False
    try:
        for each in host.registered("events", "callsheet_register_observers", AbstractContextManager):  # type: ignore[type-abstract]
            entered.enter_context(each)
            watched = True
    except Exception as error:  # noqa: BLE001 - a plugin's code
        _complain(session, error)
    return watched


async def _leave(session: Session, entered: ExitStack) -> None:
    try:
        await run_apart(entered.close, seconds=LAST_SECONDS)
    except TimeoutError:
        say(f"observers did not end within {LAST_SECONDS:g} s: what they had left is lost")
    except Exception as error:  # noqa: BLE001 - a plugin's code
        _complain(session, error)


def _complain(session: Session, error: Exception) -> None:
    what = str(error) if isinstance(error, CallsheetError) else f"{type(error).__name__}: {error}"
    say(session.redact(f"not observed: {what}"))
