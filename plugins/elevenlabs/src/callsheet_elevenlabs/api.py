"""The vendor's REST API: the key, sounds on their way into the store, and what a call used up."""

from __future__ import annotations

import math
from collections.abc import Mapping

from callsheet.plugin import (
    BlobArtifact,
    HttpLimits,
    HttpReply,
    JobContext,
    JobResult,
    ProviderContext,
    ProviderRequest,
    Usage,
)
from callsheet_elevenlabs.errors import vendor_error

__all__ = ["QUERY", "checked", "headers", "split", "spoken", "usage_of"]

QUERY = ("output_format", "enable_logging", "optimize_streaming_latency")
"""Fields of a request that the vendor takes in the URL."""
LIMITS = HttpLimits(max_bytes=1 << 30)
_KNOWN = {"song_id": "song-id", "request_id": "request-id"}


async def headers(context: JobContext | ProviderContext) -> dict[str, str]:
    """The key, for the vendor's own origin. Raises ConfigError for a key that is not set."""
    key = await context.secrets.key()
    return {} if key is None else {"xi-api-key": key.reveal()}


def checked(reply: HttpReply, context: JobContext | ProviderContext) -> HttpReply:
    """The reply, if it is a success. Raises ProviderError for any other."""
    if reply.status != 200:
        raise vendor_error(reply, context)
    return reply


def split(body: Mapping[str, object]) -> tuple[dict[str, object], dict[str, str]]:
    """The JSON body, and the query."""
    asked = {name: _text(body[name]) for name in QUERY if name in body}
    return {name: value for name, value in body.items() if name not in asked}, asked


async def spoken(request: ProviderRequest, context: JobContext, path: str, body: Mapping[str, object]) -> JobResult:
    """Send a request whose answer is a sound, and keep the sound as it arrives. Raises ProviderError."""
    data, query = split(body)
    async with context.http.stream(
        "POST", path, json=data, query=query, headers=await headers(context), limits=LIMITS
    ) as reply:
        if reply.status != 200:
            raise vendor_error(await reply.whole(), context)
        expected = request.expects[0]
        artifact: BlobArtifact = await context.receive(reply, expected.media_type, duration=expected.duration)
        meta = {name: reply.headers[header] for name, header in _KNOWN.items() if reply.headers.get(header)}
        usage = usage_of(request, reply.headers)
    return JobResult((artifact,), usage=usage, warnings=request.warnings, meta=meta)


def usage_of(request: ProviderRequest, told: Mapping[str, str]) -> Usage:
    """What the request counted, with the vendor's own count: `character-cost` is in credits (a character costs 0.5 or 1)."""
    try:
        credit = float(told.get("character-cost", ""))
    except ValueError:
        return Usage(units=request.units)
    counted = {"credit": credit} if math.isfinite(credit) and credit >= 0 else {}
    return Usage(units={**request.units, **counted})


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
