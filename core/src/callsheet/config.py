"""The configuration: the project's file, `callsheet.toml`, over the user's own, key by key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from callsheet.config_tables import TABLES, file_values
from callsheet.discovery import normalised
from callsheet.errors import ConfigError
from callsheet.models import ModelInfo
from callsheet.own_models import MODELS, checked_row, own_models, own_row
from callsheet.policies import Policies
from callsheet.policy_tables import policies_of
from callsheet.settings import Key, ProviderSettings, SecretSettings, Settings
from callsheet.toml_tables import Table, plain, read_toml
from callsheet.trust import Place, TrustedPlaces, places_of
from callsheet.user_folders import user_folder

__all__ = [
    "CONFIG_NAME",
    "Configuration",
    "find_project",
    "load_settings",
    "read_configuration",
    "settings_of",
    "user_config",
]

CONFIG_NAME = "callsheet.toml"
MAX_BYTES = 1 << 20

_ALLOW, _DENY = ("plugins", "allow"), ("plugins", "deny")
_BOUNDS = (("money", "max_run"), ("money", "max_day"), ("money", "confirm_above"))
_UNKNOWN = ("money", "unknown")


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the files say: the value of each key, and the file (or files) where it stands.

    `project` is the project's document; None without one.
    """

    values: Mapping[Key, Any] = field(default_factory=dict)
    origins: Mapping[Key, str] = field(default_factory=dict)
    project: Table | None = None

    def below(self, *tables: str) -> dict[str, Any]:
        """The values of one table, by their last key."""
        depth = len(tables)
        return {key[depth]: value for key, value in self.values.items() if key[:depth] == tables and len(key) > depth}


def find_project(start: Path) -> Path:
    """The nearest folder at or above `start` with a `callsheet.toml`, else `start` itself (made absolute)."""
    folder = start.resolve()
    return next((each for each in (folder, *folder.parents) if (each / CONFIG_NAME).is_file()), folder)


def user_config() -> Path:
    """The user's own file, which need not be there."""
    return user_folder("config") / "config.toml"


def read_configuration(folder: Path) -> Configuration:
    """What the user's file and that of the project in `folder` say. Raises ConfigError with file, table and key."""
    layers: list[tuple[str, Mapping[Key, Any]]] = []
    mine, project = user_config(), folder / CONFIG_NAME
    users, top = _document(mine), _document(project)
    if users is not None:
        if MODELS in users:
            raise users.error(f"model rows of your own stand in files of the folder {plain(mine.parent / MODELS)}")
        users.only(TABLES)
        layers.append((str(mine), file_values(users, mine, of_user=True)))
    if top is not None:
        top.only((*TABLES, MODELS))
        layers.append((str(project), file_values(top, project, of_user=False)))
    return Configuration(*_merged(layers), project=top)


def load_settings(folder: Path, defaults: Policies | None = None) -> Settings:
    """The settings of the project in `folder`; the defaults where neither its file nor the user's says anything.

    Raises ConfigError that names file, table, key and, for an unknown key, the nearest known one.
    """
    return settings_of(read_configuration(folder), folder, defaults)


def settings_of(configuration: Configuration, folder: Path, defaults: Policies | None = None) -> Settings:
    """The settings that the configuration of the project in `folder` makes. Raises ConfigError."""
    run, plugins = configuration.below("run"), configuration.below("plugins")
    providers = _providers(configuration)
    top, path = configuration.project, folder / CONFIG_NAME
    places = _untrusted(configuration, providers, folder)
    here = {} if top is None else _models(top, path, providers)
    own = own_models(folder, providers)
    return Settings(
        concurrency=run.get("concurrency", Settings().concurrency),
        salt=run.get("salt", ""),
        allow=frozenset(plugins["allow"]) if "allow" in plugins else None,
        deny=frozenset(plugins.get("deny", ())),
        pins=configuration.below("plugins", "pins"),
        providers=providers,
        aliases=configuration.below("aliases"),
        models=tuple({**own.models, **here}.values()),
        wrong_models={name: why for name, why in own.wrong.items() if name not in here},
        unread_models=own.unread,
        policies=policies_of(configuration.values, defaults or Policies()),
        secrets=_secrets(configuration),
        origin="" if top is None else str(path),
        origins=configuration.origins,
        untrusted={place.provider: place.complaint(str(path)) for place in places if not place.webhook},
        overheard={place.provider: place.complaint(str(path)) for place in places if place.webhook},
    )


def _untrusted(configuration: Configuration, providers: Mapping[str, ProviderSettings], folder: Path) -> list[Place]:
    places = places_of(providers, configuration.origins, str(folder / CONFIG_NAME))
    trusted = TrustedPlaces().of(folder) if places else ()
    return [place for place in places if place not in trusted]


def _document(path: Path) -> Table | None:
    if not path.is_file():
        return None
    return Table(read_toml(path, limit=MAX_BYTES, fail=ConfigError), plain(path), ConfigError)


def _merged(layers: Iterable[tuple[str, Mapping[Key, Any]]]) -> tuple[dict[Key, Any], dict[Key, str]]:
    """Each layer over those before it; but a plugin has to be allowed by both and denied by none, and the lower bound holds."""
    values: dict[Key, Any] = {}
    origins: dict[Key, str] = {}
    for origin, layer in layers:
        for key, value in layer.items():
            if key in values and _is_looser(key, value, values[key]):
                continue
            both = key in (_ALLOW, _DENY) and key in values
            values[key] = _narrower(key, values[key], value) if both else value
            origins[key] = f"{origins[key]} and {origin}" if both else origin
    return values, origins


def _narrower(key: Key, names: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    """What both allow, or what either denies: a project widens nothing."""
    if key == _DENY:
        return tuple(dict.fromkeys((*names, *others)))
    allowed = {normalised(name) for name in others}
    return tuple(name for name in names if normalised(name) in allowed)


def _is_looser(key: Key, value: Any, than: Any) -> bool:
    """True for a word that would let more money go than the one before: a project is often somebody else's."""
    if key in _BOUNDS:
        return than is not None and (value is None or value > than)
    return key == _UNKNOWN and (value, than) == ("allow", "refuse")


def _providers(configuration: Configuration) -> dict[str, ProviderSettings]:
    providers = {}
    for name in configuration.below("providers"):
        said = configuration.below("providers", name)
        lent = "secret" if said.get("secret") else "wire"
        where = f"{plain(configuration.origins.get(('providers', name, lent), ''))}: [providers]: [{name}]"
        if said.get("wire") and not said.get("base_url"):
            what = "a provider with a lent wire needs its base_url, for example https://api.example.com/v1"
            raise ConfigError(f"{where}: {what}")
        if said.get("secret") and not said.get("wire"):
            raise ConfigError(f"{where}: secret goes with wire; an installed plugin says itself which secret it needs")
        providers[name] = ProviderSettings(**said)
    return providers


def _secrets(configuration: Configuration) -> SecretSettings:
    said = configuration.below("secrets")
    return SecretSettings(
        said.get("env_file", ""), said.get("keyring", False), configuration.below("secrets", "commands")
    )


def _models(top: Table, path: Path, providers: Mapping[str, ProviderSettings]) -> dict[str, ModelInfo]:
    models: dict[str, ModelInfo] = {}
    for table in top.tables(MODELS):
        row = own_row(table, path)
        info = checked_row(row, providers)
        if info.name in models:
            raise table.error(f"{info.name} stands here twice: remove one of the two")
        models[info.name] = info
    return models
