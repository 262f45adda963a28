"""The settings that `callsheet.toml` and the command line give, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from callsheet.models import ModelInfo

__all__ = ["ProviderSettings", "Settings"]


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One provider's settings: where it is reached.

    A provider without a package also says which `wire` of an installed plugin it speaks (`lender:wire`) and, if it wants
    a key, the name of its `secret`.
    """

    base_url: str = ""
    wire: str = ""
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """A project's settings.

    `salt` goes into every cache key; `allow` (None means all) and `deny` name plugins before they are imported;
    `pins` says which distribution owns a provider that two plugins claim; `models` are rows of the project's own.
    """

    concurrency: int = 8
    salt: str = ""
    allow: frozenset[str] | None = None
    deny: frozenset[str] = frozenset()
    pins: Mapping[str, str] = field(default_factory=dict)
    providers: Mapping[str, ProviderSettings] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    models: tuple[ModelInfo, ...] = ()
    origin: str = ""
