"""Health: what is open, what is held back and how calls fared; and, when asked, whether providers answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from callsheet.errors import CallsheetError, ConfigError, ErrorKind, ProviderError
from callsheet.failures import cleanse
from callsheet.handler import ChecksHealth
from callsheet.models import ModelRef
from callsheet.policies import LimitPolicy
from callsheet.runtime import Runtime
from callsheet.stores.breakers import Domain, Failing
from callsheet.stores.gates import GateRow
from callsheet.stores.track_records import TrackRecord

__all__ = ["CheckUp", "GateHealth", "Health", "check_up", "health_of", "reset_health"]

RECENT = 24 * 3600.0
"""Seconds of the past that are looked at."""
CHECK_SECONDS = 15.0
"""How long a provider may take to answer."""


@dataclass(frozen=True, slots=True)
class GateHealth:
    """A rate key: what is configured, and what the provider's refusals have made of it (None: none so far)."""

    rate_key: str
    limit: LimitPolicy
    row: GateRow | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """What a project's ledger knows; `moment` is when (seconds since the epoch)."""

    moment: float
    breakers: Sequence[Failing]
    gates: Sequence[GateHealth]
    models: Sequence[TrackRecord]


@dataclass(frozen=True, slots=True)
class CheckUp:
    """Whether a provider answers to our key: after so many seconds, or what the problem is.

    `refused`: the problem is the key itself. A key that may not ask this very question can be good for calls.
    """

    provider: str
    seconds: float
    problem: str = ""
    refused: bool = False


async def health_of(runtime: Runtime) -> Health:
    """How things stand, for all processes of the project, simulated calls left out. Asks nobody but the ledger."""
    ledger, limits = runtime.services.ledger, runtime.services.policies.limits
    moment = runtime.services.clock()
    rows = {row.rate_key: row for row in await ledger.gates.read()}
    keys = sorted({*rows, *(key for key in limits if key)})
    gates = [GateHealth(key, runtime.services.policies.limit(key), rows.get(key)) for key in keys]
    records = await ledger.track_records.since(moment - RECENT)
    made_up = {found.provider for found in runtime.services.host.discovery.plugins if found.simulates}
    models = [record for record in records if ModelRef.parse(record.ref).provider not in made_up]
    return Health(moment, await ledger.breakers.read(), gates, models)


async def reset_health(runtime: Runtime, provider: str) -> tuple[list[Domain], list[str]]:
    """Let a provider's calls through again. Gives the domains that were open, and the rate keys that are forgotten."""
    ledger = runtime.services.ledger
    return await ledger.breakers.reset(provider), await ledger.gates.reset(provider)


async def check_up(runtime: Runtime, among: Collection[str] | None = None) -> list[CheckUp]:
    """Ask each provider (of those that are named) that can be asked for nothing, and whose key is there, all at once."""
    plugins = runtime.services.host.discovery.plugins
    known = {found.provider for found in plugins if found.usable and found.provider}
    providers = sorted(known if among is None else known.intersection(among))
    checks = await asyncio.gather(*(_checked(runtime, provider) for provider in providers))
    return [check for check in checks if check is not None]


async def _checked(runtime: Runtime, provider: str) -> CheckUp | None:
    began = time.monotonic()
    try:
        plugin, access, handlers = runtime.registry.provider_handlers(provider)
        checker = next((handler for handler in handlers if isinstance(handler, ChecksHealth)), None)
        if checker is None:
            return None
        context = runtime.services.provider_context(provider, plugin, access)
        if access.secrets:
            await context.secrets.require(access.secrets[0])
        async with asyncio.timeout(CHECK_SECONDS):
            await checker.check_health(context)
    except ConfigError as error:
        cleanse(error, runtime.services.redactor)
        return CheckUp(provider, 0.0, str(error))
    except CallsheetError as error:
        cleanse(error, runtime.services.redactor)
        refused = isinstance(error, ProviderError) and error.kind is ErrorKind.AUTHENTICATION
        return CheckUp(provider, time.monotonic() - began, str(error), refused)
    except TimeoutError:
        return CheckUp(provider, CHECK_SECONDS, f"no answer within {CHECK_SECONDS:g} s")
    except Exception as error:  # noqa: BLE001 - a broken plugin must not hide the others
        return CheckUp(provider, time.monotonic() - began, f"its plugin broke: {type(error).__name__}")
    return CheckUp(provider, time.monotonic() - began)
