"""A cassette: a JSON file of requests and the answers that a vendor once gave to them, which people can read and review."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from callsheet.errors import ConfigError
from callsheet.stores.filesystem import whole_file
from callsheet.testing.cassette_redaction import CassetteRedactor

__all__ = ["Asked", "CassetteError", "Interaction", "differences", "read_cassette", "write_cassette"]

FORMAT = 1
LARGEST_KEPT = 64 << 10
"""Bytes of a request's body; of a larger one and of bytes that are no text there is the digest alone."""
MOST_DIFFERENCES = 6
_LONGEST_SHOWN = 60
_BOUNDARY = re.compile(r"(?i)(multipart/[\w.-]+;\s*boundary=)\"?([^\s\";]+)\"?")


class CassetteError(ConfigError):
    """A cassette that is missing, unreadable, stale or holds a secret; or a request that it has no answer to."""


@dataclass(frozen=True)
class Asked:
    """A request without its secrets. `text` is its body where it is kept, `digest` the SHA-256 of the whole body."""

    method: str
    uri: str
    digest: str = ""
    media_type: str = field(default="", compare=False)
    text: str | None = field(default=None, compare=False)

    @classmethod
    def of(cls, method: str, url: str, headers: Mapping[str, str], body: bytes, redactor: CassetteRedactor) -> Asked:
        """What is kept of a request as it was sent. The random boundary of a form is none of its content."""
        media_type = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
        boundary = _BOUNDARY.search(media_type)
        if boundary is not None:
            body = body.replace(boundary[2].encode(), b"boundary")
            media_type = _BOUNDARY.sub(r"\g<1>boundary", media_type)
        text = _text(body)
        if text is not None:
            text = redactor.text(text)
        digest = body_digest(body if text is None else text.encode())
        kept = text if text is not None and len(text.encode()) <= LARGEST_KEPT else None
        return cls(method, redactor.text(url), digest, media_type, kept)

    @property
    def place(self) -> str:
        """Method and URL without the query: what a changed request still has."""
        return f"{self.method} {self.uri.partition('?')[0]}"


@dataclass(frozen=True)
class Interaction:
    """A request, its answer (status, headers, decoded body), the day, and the plugin's version that asked."""

    asked: Asked
    status: int
    headers: Mapping[str, list[str]]
    body: bytes = field(repr=False)
    recorded: str = ""
    by: str = ""


def body_digest(body: bytes) -> str:
    """SHA-256 of a body, of JSON whatever the order of its keys; empty for none."""
    if not body:
        return ""
    try:
        body = _canonical(json.loads(body)).encode()
    except (ValueError, RecursionError):
        """Not JSON: the bytes count."""
    return hashlib.sha256(body).hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def read_cassette(path: Path, redactor: CassetteRedactor) -> list[Interaction]:
    """The exchanges of a cassette. Raises CassetteError for what is none, was edited, or shows a secret."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = [_interaction(each) for each in document["interactions"]]
        version = document["callsheet_cassette"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        message = f"is no cassette ({type(error).__name__}: {error}): delete it and record anew"
        raise CassetteError(message, where=str(path)) from None
    if version != FORMAT:
        raise CassetteError(f"has the format {version!r}; this callsheet reads {FORMAT}: record anew", where=str(path))
    for number, each in enumerate(found):
        kept = each.asked.text
        if kept is not None and body_digest(kept.encode()) != each.asked.digest:
            message = (
                f"interactions[{number}]: the request ({each.asked.place}) was edited after it was recorded, so nobody "
                "knows what the vendor answers to it: record anew"
            )
            raise CassetteError(message, where=str(path))
    _refuse_secrets(path, found, redactor)
    return found


def write_cassette(path: Path, interactions: list[Interaction], redactor: CassetteRedactor) -> None:
    """Redact, and write, whole or not at all: what the file has was paid for. Raises CassetteError.

    It is left as it was when a secret would stand in it, or it cannot be written.
    """
    cleaned = [_cleaned(each, redactor) for each in interactions]
    _refuse_secrets(path, cleaned, redactor)
    document = {"callsheet_cassette": FORMAT, "interactions": [_document(each) for each in cleaned]}
    data = f"{json.dumps(document, indent=2, ensure_ascii=False)}\n".encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as draft:
            draft.write_bytes(data)
    except OSError as error:
        raise CassetteError(f"cannot be written: {error.strerror or error}", where=str(path)) from error


def differences(recorded: Asked, sent: Asked) -> list[str]:
    """How a request has changed, a line for each place, the first few."""
    lines = []
    if recorded.uri != sent.uri:
        lines.append(f"query: {_query(recorded)} was recorded, {_query(sent)} is sent")
    if recorded.digest != sent.digest:
        try:
            before, now = json.loads(recorded.text or ""), json.loads(sent.text or "")
            lines += _changes("$", before, now)
        except (ValueError, RecursionError):
            lines.append(
                f"body: sha256 {recorded.digest[:12] or 'of none'} was recorded, {sent.digest[:12] or 'none'} is sent"
            )
    more = len(lines) - MOST_DIFFERENCES
    return lines if more <= 0 else [*lines[:MOST_DIFFERENCES], f"and {more} more"]


def _query(asked: Asked) -> str:
    return asked.uri.partition("?")[2] or "none"


def _changes(where: str, before: Any, now: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(key for key in now if key not in before)]:
            if key not in now:
                yield f"{where}.{key}: is missing; {_shown(before[key])} was recorded"
            elif key not in before:
                yield f"{where}.{key}: is new: {_shown(now[key])}"
            else:
                yield from _changes(f"{where}.{key}", before[key], now[key])
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from _changes(f"{where}[{number}]", old, new)
    elif _canonical(before) != _canonical(now):  # in JSON, true is not 1
        yield f"{where}: {_shown(before)} was recorded, {_shown(now)} is sent"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def _cleaned(each: Interaction, redactor: CassetteRedactor) -> Interaction:
    text = _text(each.body)
    body = each.body if text is None else redactor.text(text).encode()
    headers = {
        name.lower(): [redactor.header(name, value) for value in values] for name, values in each.headers.items()
    }
    for name in ("transfer-encoding", "content-encoding", "connection"):
        headers.pop(name, None)
    if "content-length" in headers:
        headers["content-length"] = [str(len(body))]
    return Interaction(each.asked, each.status, headers, body, each.recorded, each.by)


def _refuse_secrets(path: Path, interactions: list[Interaction], redactor: CassetteRedactor) -> None:
    for number, each in enumerate(interactions):
        for where, told in _places(each):
            shown = redactor.shown_in(told) if isinstance(told, bytes) else redactor.text(told) != told
            if shown:
                message = (
                    f"interactions[{number}].{where} ({each.asked.place}) shows what looks like a secret or an account: "
                    "such a cassette is neither written nor played; if it was committed, revoke the key"
                )
                raise CassetteError(message, where=str(path))


def _places(each: Interaction) -> Iterator[tuple[str, str | bytes]]:
    yield "request.url", each.asked.uri
    yield "request.body", each.asked.text or ""
    for name, values in each.headers.items():
        for value in values:
            yield f"response.headers.{name}", value
    text = _text(each.body)
    yield "response.body", each.body if text is None else text


def _text(body: bytes) -> str | None:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _document(each: Interaction) -> dict[str, Any]:
    asked = each.asked
    request: dict[str, Any] = {"method": asked.method, "url": asked.uri}
    if asked.digest:
        request |= {"type": asked.media_type, "sha256": asked.digest}
    if asked.text:
        request["body"] = _lines(asked.text)
    text = _text(each.body)
    body = {"base64": base64.b64encode(each.body).decode()} if text is None else {"body": _lines(text)}
    headers = {name: values[0] if len(values) == 1 else values for name, values in each.headers.items()}
    response = {"status": each.status, "headers": headers, **body}
    return {"recorded": each.recorded, "by": each.by, "request": request, "response": response}


def _interaction(document: dict[str, Any]) -> Interaction:
    request, response = document["request"], document["response"]
    text = _joined(request["body"]) if "body" in request else None
    asked = Asked(request["method"], request["url"], request.get("sha256", ""), request.get("type", ""), text)
    encoded = response.get("base64")
    body = _joined(response["body"]).encode() if encoded is None else base64.b64decode(encoded, validate=True)
    recorded = date.fromisoformat(document["recorded"]).isoformat()
    headers = {
        name: [values] if isinstance(values, str) else [str(value) for value in values]
        for name, values in response["headers"].items()
    }
    return Interaction(asked, int(response["status"]), headers, body, recorded, document["by"])


def _lines(text: str) -> str | list[str]:
    """A text as reviews can show it: by lines where it has several."""
    lines = text.splitlines(keepends=True)
    return lines if len(lines) > 1 else text


def _joined(lines: str | list[str]) -> str:
    return "".join(lines)
