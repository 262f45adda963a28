"""The vendor's REST API: the key, one request with its answer as JSON, and input files on their way in."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from callsheet.plugin import FileRef, HttpLimits, HttpReply, JobContext, ProviderContext, Sent, data_url, put_files
from callsheet_openai.errors import malformed, vendor_error

__all__ = ["ask", "call", "checked", "headers", "json_object", "moment", "with_files"]


async def headers(context: JobContext | ProviderContext) -> dict[str, str]:
    """The authorization; none for a compatible vendor that has no secret. Raises ConfigError for a key that is not set."""
    key = await context.secrets.key()
    return {} if key is None else {"authorization": f"Bearer {key.reveal()}"}


async def call(
    context: JobContext,
    path: str,
    body: Mapping[str, object],
    *,
    limits: HttpLimits | None = None,
    sent: Sent = Sent.FINISHED,
) -> dict[str, Any]:
    """POST a JSON body, and the answer as a JSON object. Raises ProviderError; `sent` is told of an answer that is none.

    It is `unknown` where the request starts a job, which may run whatever the answer looks like.
    """
    reply = await context.http.send("POST", path, json=body, headers=await headers(context), limits=limits)
    return json_object(checked(reply, context), context, sent=sent)


async def ask(context: JobContext, path: str, *, method: str = "GET") -> dict[str, Any]:
    """Ask for (or, with POST, do something to) a job that exists. Raises JobLostError when the vendor knows it no more."""
    reply = await context.http.send(method, path, headers=await headers(context))
    if reply.status == 404:
        raise vendor_error(reply, context, lost=True)
    return json_object(checked(reply, context), context, sent=Sent.UNKNOWN)  # an odd answer does not end the job


def checked(reply: HttpReply, context: JobContext | ProviderContext) -> HttpReply:
    """The reply, if it is a success. Raises ProviderError for any other."""
    if not 200 <= reply.status < 300:
        raise vendor_error(reply, context)
    return reply


async def with_files(body: Mapping[str, object], context: JobContext) -> dict[str, Any]:
    """The body with its input files inside: as data URLs, sounds as bare base64 (the vendor wants them so)."""

    async def put(file: FileRef) -> object:
        if file.media_type.startswith("audio/"):
            return base64.b64encode(await context.files.read(file)).decode("ascii")
        return await data_url(file, context.files)

    filled: dict[str, Any] = await put_files(body, put)
    return filled


def json_object(reply: HttpReply, context: JobContext, *, sent: Sent = Sent.FINISHED) -> dict[str, Any]:
    """The reply's JSON object. Raises MalformedOutputError for anything else."""
    value = reply.json()
    if not isinstance(value, dict):
        raise malformed("gave an answer that is no JSON object", context, sent=sent)
    return value


def moment(value: object) -> float | None:
    """Seconds since the epoch, as the vendor writes times; None for anything else."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e12
    return float(value) if known else None  # type: ignore[arg-type]
