"""The settings that `callsheet.toml` and the command line give, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from callsheet.models import ModelInfo
from callsheet.policies import MoneyPolicy, Policies

__all__ = ["Key", "ProviderSettings", "SecretSettings", "Settings"]

Key = tuple[str, ...]
"""A setting's name: tables, then key, as `("retry", "acme", "attempts")`."""


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One provider's settings: where it is reached, and the public URL where this host takes its webhooks.

    A provider without a package also says which `wire` of an installed plugin it speaks (`lender:wire`) and, if it wants
    a key, the name of its `secret`.
    """

    base_url: str = ""
    wire: str = ""
    secret: str = ""
    webhook: str = ""


@dataclass(frozen=True, slots=True)
class SecretSettings:
    """Where secrets are looked for besides the environment.

    `env_file` is the path of a file of variables, or empty; `keyring` asks the operating system's; `commands` are the
    words of a command each, by the secret's name, which prints it.
    """

    env_file: str = ""
    keyring: bool = False
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """A project's settings.

    `salt` goes into every cache key; `allow` (None means all) and `deny` name plugins before they are imported;
    `pins` says which distribution owns a provider that two plugins claim; `models` are rows of one's own;
    `wrong_models` says of others, by `provider:model`, why they cannot be used, and `unread_models` what is wrong with
    files of rows. `origin` is the project's file, `origins` the file (or files) that each setting comes from; what is not
    in there is a default. `untrusted` says of providers why their keys are not sent where the project's file sends them,
    `overheard` why their jobs are not told to a webhook of its choosing.
    """

    concurrency: int = 8
    salt: str = ""
    allow: frozenset[str] | None = None
    deny: frozenset[str] = frozenset()
    pins: Mapping[str, str] = field(default_factory=dict)
    providers: Mapping[str, ProviderSettings] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    models: tuple[ModelInfo, ...] = ()
    wrong_models: Mapping[str, str] = field(default_factory=dict)
    unread_models: tuple[str, ...] = ()
    policies: Policies = field(default_factory=Policies)
    secrets: SecretSettings = field(default_factory=SecretSettings)
    origin: str = ""
    origins: Mapping[Key, str] = field(default_factory=dict)
    untrusted: Mapping[str, str] = field(default_factory=dict)
    overheard: Mapping[str, str] = field(default_factory=dict)

    def with_env_file(self, file: str) -> Settings:
        """These settings with another .env file, if one is named."""
        return replace(self, secrets=replace(self.secrets, env_file=file)) if file else self

    def bounded(self, most: Decimal | None) -> MoneyPolicy:
        """The money policy of who asks for a run or a call that costs at most so much; None: nobody has said.

        Calls of unknown price are refused under such a bound, unless a file allows them.
        """
        money = self.policies.money
        if most is None:
            return money
        unknown = money.unknown if ("money", "unknown") in self.origins else "refuse"
        return replace(money, max_run=most, unknown=unknown)
