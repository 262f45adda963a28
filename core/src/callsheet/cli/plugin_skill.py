"""`callsheet plugins skill`: what a coding agent reads before it writes a plugin."""

from __future__ import annotations

from importlib.resources import as_file, files

import click

__all__ = ["skill"]

_SKILL = ("skills", "write-a-callsheet-plugin", "SKILL.md")


@click.command(epilog="For example: callsheet plugins skill > SKILL.md")
@click.option("--path", "where", is_flag=True, help="Print where the file lies, instead of its text.")
def skill(where: bool) -> None:
    """Print how to write a plugin, for a coding agent: steps, names, checks and pitfalls of this version."""
    file = files("callsheet").joinpath(*_SKILL)
    if where:
        with as_file(file) as path:
            click.echo(str(path))
    else:
        click.echo(file.read_text(encoding="utf-8"), nl=False)
