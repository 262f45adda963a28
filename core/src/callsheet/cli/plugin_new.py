"""`callsheet plugins new`: a complete package for a new provider."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from callsheet.cli.options import json_option
from callsheet.cli.terminal import Session, put, put_json, say
from callsheet.errors import ConfigError

__all__ = ["new"]


@click.command()
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="The package's folder; it must be empty, or not there.  [default: callsheet-NAME]",
)
@click.option(
    "--api-style",
    type=click.Choice(["answer", "job"]),
    help="The wire to begin with: one request and its answer, or jobs that take their time.  [default: one of each]",
)
@json_option
@click.pass_obj
def new(session: Session, name: str, into: Path | None, api_style: str | None) -> int:
    """Begin a plugin: a package whose tests pass, for the provider NAME.

    A vendor that speaks OpenAI's chat API needs none: four lines of callsheet.toml do.
    """
    from callsheet.template_plugin import template_files

    files = template_files(name, api_style or "")
    _check_free(name)
    folder = into or Path(f"callsheet-{name}")
    _write(folder, files)
    following = [f"cd {shlex.quote(str(folder))}", "callsheet plugins install .", f"callsheet plugins check {name}"]
    if session.json:
        document = {"name": name, "folder": str(folder.resolve()), "files": sorted(files), "next": following}
        put_json(session, document)
        return 0
    say(f"{len(files)} files in {folder}; next:")
    for command in following:
        put(command)
    return 0


def _check_free(name: str) -> None:
    """Raises ConfigError for the name of a provider that is installed, or that callsheet tells users to install."""
    from callsheet.discovery import discover
    from callsheet.install_hints import install_hints

    discovery = discover()
    found = discovery.owner(name) or discovery.plugin(name)
    if found is not None:
        raise ConfigError(f"the provider {name!r} is installed ({found.label}): two of a name cannot be used together")
    known, _ = install_hints()
    if name in known:
        raise ConfigError(f"there is a plugin for {name!r}: callsheet plugins install {name}")


def _write(folder: Path, files: dict[str, str]) -> None:
    """Write a package into a folder. Raises ConfigError for one that is not empty, or cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty: give another folder with --into")
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}") from error
