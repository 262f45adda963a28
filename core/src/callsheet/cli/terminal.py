"""Where words go: data to stdout, all else to stderr, tables drawn only on a terminal, nothing raw from outside."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import click

__all__ = ["Session", "on_terminal", "printable", "put", "put_data", "put_json", "put_table", "say"]


def _by_shape(text: str) -> str:
    """Before a project is open nobody knows its secrets; what looks like one is masked all the same."""
    from callsheet.secrets import Redactor

    return Redactor().text(text)


@dataclass(slots=True)
class Session:
    """One command's life. `redact` masks secrets once a client is open; `told` says that the JSON document is out.

    `guest` is the plugin whose command runs. `partial_shown`: what came of an answer stands on stdout already.
    `log_level` and `env_file` are what `--log-level` and `--env-file` say.
    """

    json: bool = False
    redact: Callable[[str], str] = field(default=_by_shape)
    told: bool = False
    guest: str = ""
    partial_shown: bool = False
    log_level: str = ""
    env_file: str = ""

    @property
    def live(self) -> bool:
        """True when progress may be drawn: people look at stderr, and nobody asked for JSON."""
        return not self.json and on_terminal(sys.stderr)


def on_terminal(stream: object) -> bool:
    """True for a terminal that can be drawn on; a CI's log cannot."""
    isatty = getattr(stream, "isatty", None)
    dumb = os.environ.get("TERM") == "dumb" or os.environ.get("CI", "") not in ("", "0", "false")
    return isatty is not None and bool(isatty()) and not dumb


def printable(text: object) -> str:
    """Text as a terminal may get it: control and format characters escaped; line ends and tabs stay."""
    text = str(text)
    if text.isprintable():
        return text
    from unicodedata import category

    def shown(c: str) -> str:
        if c in "\n\t" or c.isprintable() or category(c) == "Zs":
            return c
        return c.encode("unicode_escape").decode("ascii")

    return "".join(map(shown, text))


def put(text: object) -> None:
    """A line of data, for stdout."""
    click.echo(printable(text))


def say(text: object) -> None:
    """A line for people, on stderr."""
    click.echo(printable(text), err=True)


def put_data(text: str) -> None:
    """What a model wrote: as it is into a file or pipe, made harmless on a terminal; ends with a line end."""
    shown = printable(text) if sys.stdout.isatty() else text.encode("utf-8", "replace").decode()
    click.echo(shown, nl=not shown.endswith("\n"))


def put_json(session: Session, document: object) -> None:
    """The one JSON document of a command. ASCII, so that it is harmless on a terminal and in every encoding."""
    try:
        text = json.dumps(document, indent=2, allow_nan=False)
    except ValueError:
        # NaN and infinities are not JSON; what was paid for is told nevertheless.
        text = json.dumps(json.loads(json.dumps(document), parse_constant=lambda _: None), indent=2)
    session.told = True
    click.echo(text)


def put_table(headers: Sequence[str], rows: Sequence[Sequence[object]], *, right: Collection[str] = ()) -> None:
    """A table on stdout: drawn on a terminal, else aligned columns. Columns named in `right` are numbers."""
    cells = [[printable(cell).replace("\n", " ") for cell in row] for row in rows]
    if on_terminal(sys.stdout):
        _draw(headers, cells, right)
        return
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    for row in (headers, *cells):
        aligned = (
            cell.rjust(width) if header in right else cell.ljust(width)
            for header, cell, width in zip(headers, row, widths, strict=True)
        )
        click.echo("  ".join(aligned).rstrip())


def _draw(headers: Sequence[str], cells: Sequence[Sequence[str]], right: Collection[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        table.add_column(header, justify="right" if header in right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    Console(file=sys.stdout, highlight=False).print(table)
