"""How a provider is reached: its base URL, the secrets that may go there, and what it counts calls by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from callsheet.discovery import FoundPlugin
from callsheet.errors import ConfigError
from callsheet.models import ModelInfo
from callsheet.plugin_manifest import BatchLimits, ProviderTable
from callsheet.settings import ProviderSettings, Settings
from callsheet.toml_tables import url_problem

__all__ = ["Access", "access_of", "base_url_of", "borrowed_access"]


@dataclass(frozen=True, slots=True)
class Access:
    """`origin` is the base URL, `secrets` are the names a handler may ask for (the key first), `rate_key` is what counts.

    `batch` says how much goes into one batch; None where the provider takes none. `webhook` is the public URL where this
    host takes the provider's webhooks.
    """

    origin: str
    secrets: tuple[str, ...]
    rate_key: str
    batch: BatchLimits | None = None
    webhook: str = ""


def access_of(plugin: FoundPlugin, info: ModelInfo, settings: Settings, environ: Mapping[str, str]) -> Access:
    """A plugin's own provider.

    Raises ConfigError for an environment variable that holds no base URL, and for a key or results that a project's file
    sends to a place which nobody trusts.
    """
    table = _table(plugin)
    _refuse_untrusted(table, settings, environ)
    counted = {"model": info.model, "operation": str(info.operation), "wire": info.wire}
    rate_key = "/".join([table.name, *(counted[name] for name in table.rate_keys)])
    webhook = settings.providers.get(table.name, ProviderSettings()).webhook
    return Access(base_url_of(table, settings, environ), table.secrets, rate_key, table.batch, webhook)


def borrowed_access(
    provider: str, owner: FoundPlugin | None, lender: FoundPlugin, settings: Settings, environ: Mapping[str, str]
) -> Access:
    """A provider that speaks another's wire: nothing of the lender's goes there, neither its key nor its URLs.

    `owner` is the provider's own plugin, if it has one. How finely the vendor counts is not known: all calls together.
    Raises ConfigError when nobody says where the provider is, and for an untrusted place as `access_of`.
    """
    configured = settings.providers.get(provider, ProviderSettings())
    own = ProviderTable(provider, secrets=(configured.secret,) if configured.secret else ())
    table = _table(owner) if owner is not None else own
    _refuse_untrusted(table, settings, environ)
    origin = base_url_of(table, settings, environ)
    if not origin:
        where = f"[providers.{provider}]"
        raise ConfigError(f"{provider} uses a wire of {lender.label}: write its base_url into {where}")
    return Access(origin, table.secrets, provider, table.batch, configured.webhook)


def base_url_of(table: ProviderTable, settings: Settings, environ: Mapping[str, str]) -> str:
    """The environment's URL, else the configured one, else the manifest's. Raises ConfigError for a wrong variable."""
    from_environ = environ.get(table.origin_env, "").strip().rstrip("/") if table.origin_env else ""
    problem = url_problem(from_environ) if from_environ else ""
    if problem:
        raise ConfigError(f"the environment variable {table.origin_env} {problem}")
    configured = settings.providers.get(table.name, ProviderSettings()).base_url
    return from_environ or configured.rstrip("/") or table.origin


def _refuse_untrusted(table: ProviderTable, settings: Settings, environ: Mapping[str, str]) -> None:
    moved = table.origin_env and environ.get(table.origin_env, "").strip()
    complaint = settings.untrusted.get(table.name) if table.secrets and not moved else None
    complaint = complaint or settings.overheard.get(table.name)
    if complaint:
        raise ConfigError(complaint, missing=True)


def _table(plugin: FoundPlugin) -> ProviderTable:
    table = plugin.manifest.provider if plugin.manifest is not None else None
    return table if table is not None else ProviderTable("")
