"""The vendor's REST API: the token, where a model's predictions are created, one question about one, and files going in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from callsheet.plugin import (
    FileRef,
    FormFile,
    HttpLimits,
    HttpReply,
    JobContext,
    ProviderContext,
    ProviderRequest,
    Sent,
    Upload,
    data_url,
    extension_for,
    put_files,
)
from callsheet_replicate.errors import malformed, vendor_error

__all__ = [
    "LARGEST_DATA_URL",
    "LARGEST_FILE",
    "Address",
    "ask",
    "create",
    "create_path",
    "headers",
    "json_object",
    "moment_seconds",
    "with_files",
]

LARGEST_DATA_URL = 256_000
"""Bytes of a file that goes inside of the request (the vendor's document: "a small file <= 256kb")."""
LARGEST_FILE = 100_000_000
"""Bytes of a file that is uploaded first (its answer 413: "Files must be less than 100MB in size")."""
QUESTION = HttpLimits(read=30.0, total=60.0)
"""What is only asked can be asked again: nobody waits long for an answer that does not come."""
CANCEL_AFTER = "30m"
"""How long a prediction may live when nobody stops it: should this machine die, it does not run for ever."""

_OFFICIAL = re.compile(r"([\w-][\w.-]*)/([\w-][\w.-]*)", re.ASCII)
_PINNED = re.compile(r"(?:[\w-][\w.-]*/[\w-][\w.-]*:)?([0-9a-f]{40,64})", re.ASCII)


class Address:
    """Where the predictions of a model are created: `owner/name`, `owner/name:version` or a bare version.

    `version` is empty for the first: an official model has none.
    """

    def __init__(self, model: str) -> None:
        official, pinned = _OFFICIAL.fullmatch(model), _PINNED.fullmatch(model)
        self.valid = bool(official or pinned)
        self.version = pinned[1] if pinned and not official else ""
        self.name = model.partition(":")[0] if official or ":" in model else ""


async def headers(context: JobContext | ProviderContext) -> dict[str, str]:
    """The authorization. Raises ConfigError for a token that is not set."""
    key = await context.secrets.key()
    return {} if key is None else {"authorization": f"Bearer {key.reveal()}"}


def create_path(request: ProviderRequest) -> str:
    """Where a prediction is created: a version anywhere, an official model at its own address."""
    name = quote(Address(request.ref.model).name)
    return "/predictions" if "version" in request.body else f"/models/{name}/predictions"


async def create(context: JobContext, path: str, body: Mapping[str, object]) -> dict[str, Any]:
    """Create a prediction; it never waits for the output, so that no id is lost with the connection. Raises ProviderError."""
    told = {**await headers(context), "cancel-after": CANCEL_AFTER}
    reply = await context.http.send("POST", path, json=body, headers=told)
    return json_object(reply, context, sent=Sent.UNKNOWN)


async def ask(
    context: JobContext, path: str, *, method: str = "GET", query: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], HttpReply]:
    """Ask for (or, with POST, do something to) predictions that exist. Raises JobLostError when there is none."""
    reply = await context.http.send(method, path, query=query, headers=await headers(context), limits=QUESTION)
    return json_object(reply, context, sent=Sent.UNKNOWN, lost=True), reply


def json_object(
    reply: HttpReply, context: JobContext | ProviderContext, *, sent: Sent, lost: bool = False
) -> dict[str, Any]:
    """The JSON object of a success. Raises ProviderError."""
    if not 200 <= reply.status < 300:
        raise vendor_error(reply, context, lost=lost)
    value = reply.json()
    if not isinstance(value, dict):
        raise malformed("gave an answer that is no JSON object", context, sent=sent)
    return value


async def with_files(body: Mapping[str, object], context: JobContext) -> dict[str, Any]:
    """The body with its input files inside: small ones as data URLs, others uploaded first."""

    async def put(file: FileRef) -> str:
        if file.bytes <= LARGEST_DATA_URL:
            return await data_url(file, context.files)
        return await context.files.upload(file, lambda: _upload(file, context))

    filled: dict[str, Any] = await put_files(body, put)
    return filled


def moment_seconds(moment: object) -> float | None:
    """Seconds since the epoch, of an ISO 8601 moment; None for anything else."""
    try:
        when = datetime.fromisoformat(moment if isinstance(moment, str) else "")
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


async def _upload(file: FileRef, context: JobContext) -> Upload:
    """Upload a file under a name of ours; the user's own stays here."""
    name = f"{file.sha256[:12]}.{extension_for(file.media_type)}"
    content = FormFile("content", name, file.media_type, await context.files.read(file))
    reply = await context.http.send("POST", "/files", form={}, files=[content], headers=await headers(context))
    answer = json_object(reply, context, sent=Sent.NOT_SENT)
    urls = answer.get("urls")
    url = urls.get("get") if isinstance(urls, dict) else None
    if not isinstance(url, str) or not url:
        raise malformed("took a file and gave no URL for it", context, sent=Sent.NOT_SENT)
    expires = moment_seconds(answer.get("expires_at"))
    return Upload(url, context.clock() if expires is None else expires)  # for this call alone, where it does not say
