"""One configuration file as values by key: each is checked here, and every complaint names file, table and key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from callsheet.plugin_manifest import PROVIDER_NAME
from callsheet.policy_tables import POLICY_TABLES, policy_values
from callsheet.settings import Key
from callsheet.toml_tables import Table, quoted, url_problem

__all__ = ["PROVIDER_KEYS", "SECRET_NAME", "TABLES", "file_values"]

MAX_CONCURRENCY = 1000
TABLES = ("run", "plugins", "providers", "aliases", *POLICY_TABLES, "secrets")
PROVIDER_KEYS = ("base_url", "wire", "secret", "webhook")

_KEYS_THEMSELVES = ("api_key", "apikey", "key", "token", "api_token", "password")
_LENT_WIRE = re.compile(rf"{PROVIDER_NAME.pattern}:[A-Za-z0-9][A-Za-z0-9._-]{{0,63}}")
SECRET_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,127}")


def file_values(top: Table, file: Path, *, of_user: bool) -> dict[Key, object]:
    """What a file says, by key. Raises what the tables raise. `of_user`: it is the user's own, and not a project's."""
    return {
        **dict(_run(top.table("run"))),
        **dict(_plugins(top.table("plugins"))),
        **dict(_providers(top.table("providers"))),
        **dict(_aliases(top.table("aliases"))),
        **dict(policy_values(top)),
        **dict(_secrets(top.table("secrets"), file.parent, of_user=of_user)),
    }


def _run(table: Table) -> Iterator[tuple[Key, object]]:
    table.only(("concurrency", "salt"))
    if "concurrency" in table:
        yield ("run", "concurrency"), table.whole("concurrency", least=1, most=MAX_CONCURRENCY)
    if "salt" in table:
        yield ("run", "salt"), table.text("salt")


def _plugins(table: Table) -> Iterator[tuple[Key, object]]:
    table.only(("allow", "deny", "pins"))
    for key in ("allow", "deny"):
        if key in table:
            yield ("plugins", key), table.texts(key)
    for provider, distribution in table.pairs("pins").items():
        yield ("plugins", "pins", provider), distribution


def _providers(table: Table) -> Iterator[tuple[Key, object]]:
    for name in table.values:
        if not PROVIDER_NAME.fullmatch(name):
            raise table.error(f"{quoted(name)} is not a provider's name: lower-case letters, digits, dots and dashes")
        one = table.table(name)
        for key in one.values:
            if key.lower() in _KEYS_THEMSELVES:
                what = "secrets come from the environment, never from this file"
                raise one.error(f'{key!r} does not belong here: {what} (secret = "NAME" says which variable)')
        one.only(PROVIDER_KEYS)
        said = {
            "base_url": _url(one, "base_url").rstrip("/"),
            "wire": _wire(one, name),
            "secret": _secret(one),
            "webhook": _url(one, "webhook", https_only=True),
        }
        yield from ((("providers", name, key), said[key]) for key in one.values)


def _url(table: Table, key: str, *, https_only: bool = False) -> str:
    url = table.text(key)
    problem = url_problem(url, https_only=https_only) if url else ""
    if problem:
        raise table.error(f"{key} {problem}")
    return url


def _wire(table: Table, name: str) -> str:
    wire = table.text("wire", form=_LENT_WIRE, wanted="provider:wire, the wire of an installed plugin")
    if wire.partition(":")[0] == name:
        raise table.error(f"wire = {quoted(wire)} is a wire of its own: name the plugin that lends it")
    return wire


def _secret(table: Table) -> str:
    secret = table.values.get("secret", "")
    if secret and not (isinstance(secret, str) and SECRET_NAME.fullmatch(secret)):
        # What stands here may be the key itself: it is not shown.
        raise table.error(
            "secret must be the name of an environment variable like EXAMPLE_API_KEY, never the key itself"
        )
    return str(secret)


def _aliases(table: Table) -> Iterator[tuple[Key, object]]:
    for name in table.values:
        target = table.text(name)
        if not name or any(c.isspace() or c in ":@" for c in name):
            raise table.error(f"{quoted(name)} cannot be an alias: no spaces, colons and @")
        if not target.strip():
            raise table.error(f'{name} must name a model, for example {name} = "provider:model"')
        yield ("aliases", name), target


def _secrets(table: Table, folder: Path, *, of_user: bool) -> Iterator[tuple[Key, object]]:
    table.only(("env_file", "keyring", "commands"), "; the keys themselves never stand in this file")
    if "env_file" in table:
        file = table.text("env_file")
        yield ("secrets", "env_file"), str(folder / Path(file).expanduser()) if file else ""
    if "keyring" in table:
        yield ("secrets", "keyring"), table.flag("keyring")
    commands = table.table("commands")
    if commands.values and not of_user:
        # Whoever clones a project and runs its sheet has not read its configuration as he would read a program.
        raise commands.error("commands that print secrets stand in your own config.toml, not in a project's file")
    for name in commands.values:
        if not SECRET_NAME.fullmatch(name):
            raise commands.error(f"{quoted(name)} is not the name of a secret like EXAMPLE_API_KEY")
        yield ("secrets", "commands", name), _command(commands, name)


def _command(table: Table, name: str) -> tuple[str, ...]:
    words = table.values[name]
    if not isinstance(words, list) or not words or not all(isinstance(word, str) and word for word in words):
        # Not shown: it may hold a secret.
        raise table.error(f'{name} must be a command as a list of its words, for example ["pass", "show", "acme"]')
    return tuple(words)
