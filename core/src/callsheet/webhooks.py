"""Webhooks: a provider says that a job has news. Nothing of it is believed but the job's id; the job is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from callsheet.adoption import adopt
from callsheet.errors import CallsheetError, ConfigError, PluginError
from callsheet.failures import cleanse
from callsheet.handler import WebhookNotice, Webhooks
from callsheet.jobs import JobResult
from callsheet.models import ModelRef
from callsheet.runtime import Runtime
from callsheet.storage import CallRecord

__all__ = ["WebhookOutcome", "WebhookStatus", "take_webhook"]


class WebhookStatus(StrEnum):
    """What a webhook brought about."""

    WOKEN = "woken"
    """This process waits for the job, and asks for it at once."""
    COLLECTED = "collected"
    """Nobody waited for the job: its result is on record now."""
    FAILED = "failed"
    """Nobody waited for the job: it ended without a result, and that is on record now."""
    HELD = "held"
    """Another living process waits for the job: it polls by itself."""
    KNOWN = "known"
    """How the job ended was on record already."""
    UNKNOWN = "unknown"
    """No call of this project's ledger has such a job."""


@dataclass(frozen=True, slots=True)
class WebhookOutcome:
    """What a webhook brought about: the job's id at the provider, the call's key (if any), and what is new of it."""

    status: WebhookStatus
    job_id: str
    key: str = ""
    result: JobResult | None = None
    error: CallsheetError | None = None


async def take_webhook(runtime: Runtime, provider: str, headers: Mapping[str, str], body: bytes) -> WebhookOutcome:
    """Verify and act. Raises AccessDeniedError, ConfigError, PluginError, and what asking for the job raises."""
    try:
        notice = await _read(runtime, provider, headers, body)
    except CallsheetError as error:
        cleanse(error, runtime.services.redactor)
        raise
    found = await runtime.services.ledger.calls_of_job(notice.job_id)
    calls = [call for call in found if ModelRef.parse(call.ref).provider == provider]
    if not calls:  # without a ledger, a job is known to who waits for it
        woken = runtime.services.naps.wake(provider, notice.job_id)
        return WebhookOutcome(WebhookStatus.WOKEN if woken else WebhookStatus.UNKNOWN, notice.job_id)
    waiting = [call for call in calls if not call.state.final]
    if not waiting:
        return WebhookOutcome(WebhookStatus.KNOWN, notice.job_id, calls[0].key, calls[0].result)
    return await _act(runtime, provider, notice.job_id, waiting)


async def _act(runtime: Runtime, provider: str, job_id: str, calls: list[CallRecord]) -> WebhookOutcome:
    services, first = runtime.services, calls[0]
    if first.owner == services.ledger.owner.id and services.naps.wake(provider, job_id):
        return WebhookOutcome(WebhookStatus.WOKEN, job_id, first.key)
    if services.ledger.owner.is_alive(first.owner):
        return WebhookOutcome(WebhookStatus.HELD, job_id, first.key)
    adopted = (await adopt(runtime, calls))[0]
    if adopted.outcome in ("collected", "failed", "held"):
        status = WebhookStatus(adopted.outcome)
        return WebhookOutcome(status, job_id, first.key, adopted.result, adopted.error)
    raise adopted.error or CallsheetError(f"the job {job_id} cannot be asked for now")


async def _read(runtime: Runtime, provider: str, headers: Mapping[str, str], body: bytes) -> WebhookNotice:
    plugin, access, handlers = runtime.registry.provider_handlers(provider)
    reader = next((handler for handler in handlers if isinstance(handler, Webhooks)), None)
    if reader is None:
        raise ConfigError(f"{plugin} knows no webhooks of {provider}: its jobs are polled")
    context = runtime.services.provider_context(provider, plugin, access)
    try:
        return await reader.read_webhook({name.lower(): value for name, value in headers.items()}, body, context)
    except CallsheetError:
        raise
    except Exception as error:
        text = f"{plugin} broke over a webhook of {provider}: {type(error).__name__}"
        raise PluginError(text, plugin=plugin) from error
