"""The project's configuration file, `callsheet.toml`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from callsheet.errors import CallsheetError, ConfigError
from callsheet.models import ModelInfo
from callsheet.plugin_manifest import PROVIDER_NAME, model_row
from callsheet.settings import ProviderSettings, Settings
from callsheet.toml_tables import Table, plain, quoted, read_toml, url_problem

__all__ = ["CONFIG_NAME", "find_project", "load_settings"]

CONFIG_NAME = "callsheet.toml"
MAX_BYTES = 1 << 20
MAX_CONCURRENCY = 1000

_TOP = ("run", "plugins", "providers", "aliases", "models")
_SECRET_KEYS = ("api_key", "apikey", "key", "token", "api_token", "password")
_LENT_WIRE = re.compile(rf"{PROVIDER_NAME.pattern}:[A-Za-z0-9][A-Za-z0-9._-]{{0,63}}")
_SECRET_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,127}")


def find_project(start: Path) -> Path:
    """The nearest folder at or above `start` with a `callsheet.toml`, else `start` itself (made absolute)."""
    folder = start.resolve()
    return next((each for each in (folder, *folder.parents) if (each / CONFIG_NAME).is_file()), folder)


def load_settings(folder: Path) -> Settings:
    """The settings in `folder`'s `callsheet.toml`; the defaults when there is none.

    Raises ConfigError that names file, table, key and, for an unknown key, the nearest known one.
    """
    path = folder / CONFIG_NAME
    if not path.is_file():
        return Settings()
    top = Table(read_toml(path, limit=MAX_BYTES, fail=_fail), plain(path), _fail)
    top.only(_TOP)
    run, plugins = top.table("run"), top.table("plugins")
    run.only(("concurrency", "salt"))
    plugins.only(("allow", "deny", "pins"))
    providers = _providers(top.table("providers"))
    return Settings(
        concurrency=run.whole("concurrency", least=1, most=MAX_CONCURRENCY) or Settings().concurrency,
        salt=run.text("salt"),
        allow=frozenset(plugins.texts("allow")) if "allow" in plugins else None,
        deny=frozenset(plugins.texts("deny")),
        pins=plugins.pairs("pins"),
        providers=providers,
        aliases=_aliases(top.table("aliases")),
        models=_models(top, path, providers),
        origin=str(path),
    )


def _fail(message: str) -> CallsheetError:
    return ConfigError(message)


def _providers(table: Table) -> Mapping[str, ProviderSettings]:
    settings = {}
    for name in table.values:
        if not PROVIDER_NAME.fullmatch(name):
            raise table.error(f"{quoted(name)} is not a provider's name: lower-case letters, digits, dots and dashes")
        one = table.table(name)
        for key in one.values:
            if key.lower() in _SECRET_KEYS:
                what = "secrets come from the environment, never from this file"
                raise one.error(f'{key!r} does not belong here: {what} (secret = "NAME" says which variable)')
        one.only(("base_url", "wire", "secret"))
        base_url = one.text("base_url").rstrip("/")
        problem = url_problem(base_url) if base_url else ""
        if problem:
            raise one.error(f"base_url {problem}")
        settings[name] = ProviderSettings(base_url, _wire(one, name, base_url), _secret(one))
    return settings


def _wire(table: Table, name: str, base_url: str) -> str:
    wire = table.text("wire", form=_LENT_WIRE, wanted="provider:wire, the wire of an installed plugin")
    if wire.partition(":")[0] == name:
        raise table.error(f"wire = {quoted(wire)} is a wire of its own: name the plugin that lends it")
    if wire and not base_url:
        raise table.error("a provider with a lent wire needs its base_url, for example https://api.example.com/v1")
    return wire


def _secret(table: Table) -> str:
    secret = table.values.get("secret", "")
    if secret and not (isinstance(secret, str) and _SECRET_NAME.fullmatch(secret)):
        # What stands here may be the key itself: it is not shown.
        raise table.error(
            "secret must be the name of an environment variable like EXAMPLE_API_KEY, never the key itself"
        )
    if secret and "wire" not in table:
        raise table.error("secret goes with wire; an installed plugin says itself which secret it needs")
    return str(secret)


def _aliases(table: Table) -> Mapping[str, str]:
    aliases = {name: table.text(name) for name in table.values}
    for name, target in aliases.items():
        if not name or any(c.isspace() or c in ":@" for c in name):
            raise table.error(f"{quoted(name)} cannot be an alias: no spaces, colons and @")
        if not target.strip():
            raise table.error(f'{name} must name a model, for example {name} = "provider:model"')
    return aliases


def _models(top: Table, path: Path, providers: Mapping[str, ProviderSettings]) -> tuple[ModelInfo, ...]:
    models: dict[str, ModelInfo] = {}
    for row in top.tables("models"):
        provider = row.text("provider", form=PROVIDER_NAME, wanted="lower-case letters, digits, dots and dashes")
        if not provider:
            raise row.error("needs a provider: the name before the colon in provider:model")
        raw = {key: value for key, value in row.values.items() if key != "provider"}
        info = model_row(raw, provider, "", file=str(path))
        lent = providers.get(provider, ProviderSettings()).wire
        if lent and ":" not in info.wire:
            info = replace(info, wire=f"{lent.partition(':')[0]}:{info.wire}" if info.wire else lent)
        if info.name in models:
            raise row.error(f"{info.name} stands here twice: remove one of the two")
        models[info.name] = info
    return tuple(models.values())
