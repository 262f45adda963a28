"""A model's text on stdout while it comes."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing

import click

from callsheet.cli.terminal import Session, printable
from callsheet.jobs import JobResult
from callsheet.streams import StreamEvent, StreamFinished, TextDelta

__all__ = ["LiveText"]


class LiveText:
    """Shows a stream's text: harmless on a terminal, as it is in a pipe. Reasoning and tool calls are not shown.

    With `quiet` it only reads along.
    """

    def __init__(self, session: Session, *, quiet: bool = False) -> None:
        self.shown = False
        self._quiet = quiet
        self._session = session
        self._terminal = sys.stdout.isatty()
        self._in_line = False

    async def follow(self, events: AsyncGenerator[StreamEvent, None]) -> JobResult:
        """Read a stream to its end and give its result; the line is ended however that goes."""
        result = JobResult(())
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, TextDelta):
                        self._write(event.text)
                    elif isinstance(event, StreamFinished):
                        result = event.result
        finally:
            if self._in_line:
                click.echo()
        return result

    def _write(self, text: str) -> None:
        if self._quiet or not text:
            return
        self.shown = self._session.partial_shown = True
        self._in_line = not text.endswith("\n")
        click.echo(printable(text) if self._terminal else text.encode("utf-8", "replace").decode(), nl=False)
