"""`callsheet plugins install` and `remove`: uv or pip does it, in the environment that callsheet runs in."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import click

from callsheet.cli.terminal import put, say
from callsheet.errors import ConfigError

if TYPE_CHECKING:
    from callsheet.installation import Command

__all__ = ["install", "remove"]

_STDERR = 2
dry_run_option = click.option("--dry-run", is_flag=True, help="Print the command, and do nothing.")


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@dry_run_option
def install(names: tuple[str, ...], dry_run: bool) -> int:
    """Install plugins beside callsheet, with uv or pip.

    NAME is a plugin (acme), a distribution (callsheet-acme), a wheel, or a folder with a package of your own (it is
    installed editable). Exit code 3 when neither uv nor pip is here: the command is printed then.
    """
    from callsheet.installation import install_command, wanted

    return _carry_out(install_command([wanted(name) for name in names], os.environ), dry_run=dry_run)


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@dry_run_option
def remove(names: tuple[str, ...], dry_run: bool) -> int:
    """Remove plugins, with uv or pip.

    NAME is the plugin, its provider or its distribution. Exit code 3 when neither uv nor pip is here: the command is
    printed then.
    """
    from callsheet.discovery import discover
    from callsheet.installation import installed_distribution, remove_command

    discovery = discover()
    distributions = [installed_distribution(name, discovery) for name in names]
    return _carry_out(remove_command(dict.fromkeys(distributions), os.environ), dry_run=dry_run)


def _carry_out(command: Command, *, dry_run: bool) -> int:
    if dry_run:
        put(command.text)
        return 0
    if not command.tool:
        raise ConfigError(f"neither uv nor pip is here; install one of them, then: {command.text}", missing=True)
    say(command.text)
    words = [command.tool, *command.words[1:]]
    # no shell; what the tool says is for people
    done = subprocess.run(words, env={**os.environ, **command.variables}, stdout=_STDERR, check=False)  # noqa: S603
    if done.returncode:
        say(f"error: it ended with {done.returncode}; the command was: {command.text}")
        return 1
    return 0
