"""`callsheet config`: the settings that hold here, as lines of TOML."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from callsheet.cli.commands import SuggestingGroup
from callsheet.cli.options import json_option, project_option
from callsheet.cli.terminal import Session, put, put_json, say

if TYPE_CHECKING:
    from callsheet.discovery import Discovery
    from callsheet.plugin_manifest import ProviderTable
    from callsheet.settings import Key, Settings

__all__ = ["config"]

DEFAULT = "default"


@click.group(cls=SuggestingGroup)
def config() -> None:
    """Show the settings that hold here."""


@config.command()
@click.option("--origin", is_flag=True, help="Also say where each comes from.")
@project_option
@json_option
@click.pass_obj
def show(session: Session, origin: bool, project: Path | None) -> None:
    """Show every setting that is in force: of the project, of your own file, of the environment, and the defaults.

    A line of what is printed can stand in a configuration file. No secret is shown, and of a command that prints one
    only its first word.
    """
    from callsheet.config import CONFIG_NAME, find_project, read_configuration, settings_of, user_config
    from callsheet.discovery import discover
    from callsheet.toml_tables import plain
    from callsheet.toml_text import dotted_key, toml_value

    folder = find_project(project or Path.cwd())
    configuration = read_configuration(folder)
    settings = settings_of(configuration, folder)
    discovery = discover(allow=settings.allow, deny=settings.deny, pins=settings.pins)
    values, origins = _effective(configuration.values, settings, discovery)
    notes = [*_unmatched(values, settings, discovery), *_narrowed()]
    if session.json:
        shown = [
            {"key": dotted_key(key), "value": _simple(key, value), "origin": origins.get(key, DEFAULT)}
            for key, value in values.items()
        ]
        files = {
            name: str(path) if path.is_file() else None
            for name, path in (("project", folder / CONFIG_NAME), ("user", user_config()))
        }
        put_json(session, {"files": files, "settings": shown, "notes": notes})
        return
    for key, value in values.items():
        simple = _simple(key, value)
        line = f"{dotted_key(key)} = {toml_value('none' if simple is None else simple)}"
        put(f"{line:<44}  # {plain(origins.get(key, DEFAULT))}" if origin else line)
    for note in notes:
        say(f"note: {note}")


def _effective(
    said: Mapping[Key, Any], settings: Settings, discovery: Discovery
) -> tuple[dict[Key, Any], dict[Key, str]]:
    """The value of every key that has one, table by table, and where it comes from if it is no default."""
    from callsheet.access import base_url_of
    from callsheet.config_tables import TABLES
    from callsheet.policy_tables import policy_defaults

    values: dict[Key, Any] = {
        ("run", "concurrency"): settings.concurrency,
        ("run", "salt"): settings.salt,
        ("plugins", "deny"): (),
        **policy_defaults(),
        ("secrets", "env_file"): settings.secrets.env_file,
        ("secrets", "keyring"): settings.secrets.keyring,
        **said,
    }
    origins = dict(settings.origins)
    for table in _providers(discovery):
        if table.origin_env and os.environ.get(table.origin_env, "").strip():
            key = ("providers", table.name, "base_url")
            values[key], origins[key] = base_url_of(table, settings, os.environ), table.origin_env
    return dict(sorted(values.items(), key=lambda each: TABLES.index(each[0][0]))), origins


def _providers(discovery: Discovery) -> Iterator[ProviderTable]:
    for found in discovery.plugins:
        if found.usable and found.manifest is not None and found.manifest.provider is not None:
            yield found.manifest.provider


def _unmatched(values: Mapping[Key, Any], settings: Settings, discovery: Discovery) -> Iterator[str]:
    """A line for each rate key and provider that nothing here has: a misspelt one would be without effect."""
    from callsheet.policy_tables import BY_RATE_KEY
    from callsheet.toml_tables import near_or_known
    from callsheet.toml_text import dotted_key

    counted = {table.name: bool(table.rate_keys) for table in _providers(discovery)}
    lent = {name for name, provider in settings.providers.items() if provider.wire}
    known = {**dict.fromkeys((*lent, *(info.provider for info in settings.models)), False), **counted}
    asked = [key[:2] for key in values if len(key) > 2 and key[0] in (*BY_RATE_KEY, "providers")]
    for table, rate_key in dict.fromkeys(asked):
        provider, _, finer = rate_key.partition("/")
        where = f"[{dotted_key((table, rate_key))}]"
        if provider not in known:
            yield f"{where} is without effect: no plugin here has {provider!r}{near_or_known(provider, known)}"
        elif finer and not counted.get(provider):
            yield f"{where} is without effect: all calls to {provider} count together, as [{table}.{provider}]"


def _narrowed() -> Iterator[str]:
    from callsheet.discovery import ALLOW_VARIABLE, DENY_VARIABLE

    for name in (ALLOW_VARIABLE, DENY_VARIABLE):
        if name in os.environ:
            yield f"the environment variable {name} narrows the plugins further"


def _simple(key: Key, value: Any) -> Any:
    """The value as TOML and JSON can hold it, None for no bound."""
    if isinstance(value, tuple):
        # What a command is given may be a secret.
        return [value[0], *["…"] * (len(value) > 1)] if key[:2] == ("secrets", "commands") else list(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return int(value) if isinstance(value, float) and value.is_integer() else value
