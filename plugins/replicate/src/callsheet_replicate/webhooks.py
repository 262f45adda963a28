"""Webhooks of Replicate: ordered with a prediction, and verified when they arrive.

Source: replicate.com/docs/topics/webhooks/verify-webhook (the scheme of standardwebhooks.com), and the vendor's OpenAPI
document (`webhook`, `webhook_events_filter`, `GET /webhooks/default/secret`).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from callsheet.plugin import (
    AccessDeniedError,
    ConfigError,
    JobContext,
    MalformedOutputError,
    ProviderContext,
    Secret,
    Sent,
    WebhookNotice,
)
from callsheet_replicate.api import headers as authorization
from callsheet_replicate.api import json_object

__all__ = ["SECRET", "TOLERANCE", "WebhookReader", "ordered"]

SECRET = "REPLICATE_WEBHOOK_SECRET"  # noqa: S105 - the name of it
TOLERANCE = 300.0
"""Seconds by which a delivery may be old, or ahead of our clock: what somebody recorded is of no use to him later."""
ASK_AGAIN = 60.0
"""Seconds before the vendor is asked for another secret: a forged signature must not make us ask each time."""

_PREFIX = "whsec_"
_MOMENT = re.compile(r"\d{1,12}", re.ASCII)


def ordered(context: JobContext) -> dict[str, object]:
    """What a create request has when this host takes webhooks: one, at the end. It is no part of the call's digest."""
    return {"webhook": context.webhook, "webhook_events_filter": ["completed"]} if context.webhook else {}


@dataclass(frozen=True, slots=True)
class _Fetched:
    key: bytes
    at: float


class WebhookReader:
    """Verifies deliveries; the secret of each account is fetched once."""

    def __init__(self) -> None:
        self._fetched: dict[Secret | None, _Fetched] = {}
        self._fetching = asyncio.Lock()

    async def read(self, headers: Mapping[str, str], body: bytes, context: ProviderContext) -> WebhookNotice:
        """Raises AccessDeniedError for a delivery that the vendor has not signed, or that is old."""
        delivery, moment, signatures = (
            _header(headers, f"webhook-{name}", context) for name in ("id", "timestamp", "signature")
        )
        if not _MOMENT.fullmatch(moment) or abs(context.clock() - int(moment)) > TOLERANCE:
            raise _refused("was signed at another time: check this machine's clock, or somebody sent it again", context)
        signed = f"{delivery}.{moment}.".encode(errors="surrogatepass") + body
        if not await self._fits(signed, signatures, context):
            raise _refused("is not signed by the provider", context)
        return WebhookNotice(_job_id(body, context), delivery)

    async def _fits(self, signed: bytes, signatures: str, context: ProviderContext) -> bool:
        own = await context.secrets.get(SECRET)
        if own is not None:
            key = _decoded(own.reveal())
            if key is None:
                raise ConfigError(f"{SECRET} is no webhook secret: it begins with {_PREFIX}, and base64 follows")
            return _fits(signed, signatures, key)
        known = await self._secret(context)
        if _fits(signed, signatures, known.key):
            return True
        if context.clock() - known.at < ASK_AGAIN:
            return False
        return _fits(signed, signatures, (await self._secret(context, instead_of=known)).key)

    async def _secret(self, context: ProviderContext, instead_of: _Fetched | None = None) -> _Fetched:
        """The account's secret, as the vendor last gave it; `instead_of` is one that has perhaps been exchanged."""
        account = await context.secrets.key()
        async with self._fetching:
            known = self._fetched.get(account)
            if known is None or known is instead_of:
                known = self._fetched[account] = _Fetched(await _fetch(context), context.clock())
            return known


async def _fetch(context: ProviderContext) -> bytes:
    """Ask for the secret; that is free."""
    reply = await context.http.send("GET", "/webhooks/default/secret", headers=await authorization(context))
    key = _decoded(json_object(reply, context, sent=Sent.NOT_SENT).get("key"))
    if key is None:
        text = f"{context.provider} gave a webhook secret of another form than documented: set {SECRET}"
        raise MalformedOutputError(text, sent=Sent.NOT_SENT, ref=context.provider)
    return key


def _decoded(secret: object) -> bytes | None:
    """The key inside of a secret; None for what is none."""
    try:
        return (
            base64.b64decode(secret.removeprefix(_PREFIX), validate=True) or None if isinstance(secret, str) else None
        )
    except (binascii.Error, ValueError):
        return None


def _fits(signed: bytes, signatures: str, key: bytes) -> bool:
    """True when one of the signatures (several while a secret is exchanged) is ours, told in constant time."""
    ours = base64.b64encode(hmac.digest(key, signed, "sha256"))
    versions = (each.partition(",") for each in signatures.split(" "))
    given = [text.encode(errors="surrogatepass") for version, _, text in versions if version == "v1"]
    return any(hmac.compare_digest(ours, each) for each in given)


def _header(headers: Mapping[str, str], name: str, context: ProviderContext) -> str:
    value = headers.get(name, "")
    if not value:
        raise _refused(f"has no header {name}", context)
    return value


def _job_id(body: bytes, context: ProviderContext) -> str:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    job_id = told.get("id") if isinstance(told, dict) else None
    if not isinstance(job_id, str) or not job_id:
        raise MalformedOutputError(f"the webhook of {context.provider} names no prediction", ref=context.provider)
    return job_id


def _refused(why: str, context: ProviderContext) -> AccessDeniedError:
    return AccessDeniedError(f"this webhook of {context.provider} {why}", sent=Sent.NOT_SENT, ref=context.provider)
