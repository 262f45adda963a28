"""Commands that plugins bring: known by their manifests, imported when one of them is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from callsheet.cli.terminal import Session
from callsheet.errors import PluginError

if TYPE_CHECKING:
    from callsheet.discovery import Discovery, FoundPlugin

__all__ = ["guest_command", "guest_names"]


def guest_names() -> list[str]:
    """The names of all commands that usable plugins declare."""
    return [name for found in _discover().plugins if found.usable for name in _declared(found)]


def guest_command(name: str, session: Session) -> click.Command | None:
    """A plugin's command, or None when none declares it. Raises PluginError when it cannot be loaded."""
    discovery = _discover()
    owners = [found for found in discovery.plugins if found.usable and name in _declared(found)]
    if not owners:
        return None
    if len(owners) > 1:
        who = " and ".join(found.label for found in owners)
        raise PluginError(f"the command {name!r} is declared by {who}: disable one of them")
    from callsheet.plugin_host import PluginHost

    # A group of its own: what a plugin registers beside what it declares takes the place of nothing.
    collected = click.Group()
    PluginHost(discovery).register_commands(owners[0].name, collected)
    command = collected.commands.get(name)
    if command is None:
        what = f"{owners[0].label} declares the command {name!r} in its plugin.toml and does not register it"
        raise PluginError(what, plugin=owners[0].distribution)
    session.guest = owners[0].label
    return command


def _declared(found: FoundPlugin) -> tuple[str, ...]:
    return found.manifest.commands if found.manifest is not None else ()


def _discover() -> Discovery:
    from callsheet.config import find_project, load_settings
    from callsheet.discovery import discover

    settings = load_settings(find_project(Path.cwd()))
    return discover(allow=settings.allow, deny=settings.deny, pins=settings.pins)
