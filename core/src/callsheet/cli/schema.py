"""`callsheet schema`: the JSON Schemas that let an editor complete and check the files that people write."""

from __future__ import annotations

from importlib.resources import files

import click

__all__ = ["KINDS", "schema"]

KINDS = {"plugin": "plugin.toml", "config": "callsheet.toml", "sheet": "sheet.toml"}
"""Each kind, and the file that it describes."""


@click.command(epilog="For example: callsheet schema sheet > sheet.schema.json")
@click.argument("kind", type=click.Choice(list(KINDS)))
def schema(kind: str) -> None:
    """Print the JSON Schema of plugin.toml, callsheet.toml or sheet.toml, for an editor."""
    click.echo(files("callsheet").joinpath("schemas", f"{kind}.json").read_text(encoding="utf-8"), nl=False)
