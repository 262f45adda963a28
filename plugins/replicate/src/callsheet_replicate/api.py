"""The vendor's REST API: the token, where a model's predictions are created, one question about one, and files going in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from callsheet.plugin import (
    FileRef,
    FormFile,
    HttpReply,
    JobContext,
    ProviderError,
    Sent,
    data_url,
    put_files,
)
from callsheet_replicate.errors import malformed, vendor_error

__all__ = ["LARGEST_DATA_URL", "LARGEST_FILE", "Address", "ask", "create", "headers", "json_object", "with_files"]

LARGEST_DATA_URL = 256_000
"""Bytes of a file that goes inside of the request (the vendor's document: "a small file <= 256kb")."""
LARGEST_FILE = 100_000_000
"""Bytes of a file that is uploaded first (its answer 413: "Files must be less than 100MB in size")."""
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

    @property
    def path(self) -> str:
        """The path of the create request."""
        return "/predictions" if self.version else f"/models/{quote(self.name)}/predictions"


async def headers(context: JobContext) -> dict[str, str]:
    """The authorization. Raises ConfigError for a token that is not set."""
    key = await context.secrets.key()
    return {} if key is None else {"authorization": f"Bearer {key.reveal()}"}


async def create(context: JobContext, path: str, body: Mapping[str, object]) -> dict[str, Any]:
    """Create a prediction; it never waits for the output, so that no id is lost with the connection. Raises ProviderError."""
    told = {**await headers(context), "cancel-after": CANCEL_AFTER}
    reply = await context.http.send("POST", path, json=body, headers=told)
    return json_object(reply, context, sent=Sent.UNKNOWN)


async def ask(
    context: JobContext, path: str, *, method: str = "GET", query: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], HttpReply]:
    """Ask for (or, with POST, do something to) predictions that exist. Raises JobLostError when there is none."""
    reply = await context.http.send(method, path, query=query, headers=await headers(context))
    return json_object(reply, context, sent=Sent.UNKNOWN, lost=True), reply


def json_object(reply: HttpReply, context: JobContext, *, sent: Sent, lost: bool = False) -> dict[str, Any]:
    """The JSON object of a success. Raises ProviderError."""
    if not 200 <= reply.status < 300:
        raise vendor_error(reply, context, lost=lost)
    value = reply.json()
    if not isinstance(value, dict):
        raise malformed("gave an answer that is no JSON object", context, sent=sent)
    return value


async def with_files(body: Mapping[str, object], context: JobContext) -> dict[str, Any]:
    """The body with its input files inside: small ones as data URLs, others uploaded, each file once."""
    urls: dict[str, str] = {}

    async def put(file: FileRef) -> object:
        if file.sha256 not in urls:
            small = file.bytes <= LARGEST_DATA_URL
            urls[file.sha256] = await (data_url(file, context.files) if small else _upload(file, context))
        return urls[file.sha256]

    filled: dict[str, Any] = await put_files(body, put)
    return filled


async def _upload(file: FileRef, context: JobContext) -> str:
    """Upload a file. It is free, so whatever goes wrong here, nothing has been paid for."""
    content = FormFile("content", file.name or file.sha256[:12], file.media_type, await context.files.read(file))
    try:
        reply = await context.http.send("POST", "/files", form={}, files=[content], headers=await headers(context))
        answer = json_object(reply, context, sent=Sent.NOT_SENT)
    except ProviderError as error:
        if error.sent is Sent.UNKNOWN:
            error.sent = Sent.NOT_SENT
        raise
    urls = answer.get("urls")
    url = urls.get("get") if isinstance(urls, dict) else None
    if not isinstance(url, str) or not url:
        raise malformed("took a file and gave no URL for it", context, sent=Sent.NOT_SENT)
    return url
