"""Between a cassette's file and vcrpy: what is known, what was recorded, and what is said of a request without an answer."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from callsheet.testing.cassette import Asked, CassetteError, Interaction, differences, write_cassette
from callsheet.testing.cassette_redaction import CassetteRedactor

__all__ = ["READABLE", "RECORD_VARIABLE", "Shelf", "advice"]

RECORD_VARIABLE = "CALLSHEET_RECORD"
"""The mode of recordings that are given none: `none`, `new` or `all`."""

READABLE = ("gzip", "x-gzip", "deflate", "identity")
"""The encodings of an answer that can be undone, so that it can be looked through for secrets."""


def advice(mode: str) -> str:
    """How to record, for messages."""
    return f"To ask the vendor, which may cost money, run this test with {RECORD_VARIABLE}={mode} and the vendor's key."


class Shelf:
    """vcrpy's persister, in memory: what is recorded is written by `keep`, which can still refuse it.

    `known` is what may be played; `stamp` the day and the plugin of what is recorded now; `problems` tell of the requests
    that had no answer.
    """

    def __init__(
        self, path: Path, known: list[Interaction], redactor: CassetteRedactor, stamp: tuple[str, str]
    ) -> None:
        self.path = path
        self.redactor = redactor
        self.problems: list[str] = []
        self._known = known
        self._stamp = stamp
        self._made: list[tuple[Asked, Mapping[str, Any]]] | None = None

    def asked(self, request: Any) -> Asked:
        """What is kept of a request; the same for what already is of that kind."""
        if isinstance(request, Asked):
            return request
        self.redactor.learn(request.uri, request.headers)
        body = request.body or b""
        data = body.encode() if isinstance(body, str) else body
        return Asked.of(request.method, request.uri, request.headers, data, self.redactor)

    @property
    def size(self) -> int:
        """How many exchanges are known."""
        return len(self._known)

    def load_cassette(self, _path: str, serializer: object) -> tuple[list[Asked], list[dict[str, Any]]]:  # noqa: ARG002
        """What is known, as vcrpy wants it."""
        return [each.asked for each in self._known], [_reply(each) for each in self._known]

    def save_cassette(self, _path: str, made: Mapping[str, Any], serializer: object) -> None:  # noqa: ARG002
        """What vcrpy would write."""
        self._made = list(zip(made["requests"], made["responses"], strict=True))

    def keep(self) -> None:
        """Write what was recorded, if anything was. Raises CassetteError for what must not be written."""
        if self._made is not None:
            write_cassette(self.path, [self._interaction(*each) for each in self._made], self.redactor)

    def _interaction(self, asked: Asked, reply: Mapping[str, Any]) -> Interaction:
        recorded, by = reply.get("stamp", self._stamp)
        return Interaction(asked, int(reply["status"]["code"]), reply["headers"], _decoded(asked, reply), recorded, by)

    def unmatched(self, asked: Asked, played: Mapping[int, int]) -> CassetteError:
        """The error for a request that there is no answer to: which, why, and how to record it."""
        self.problems.append(f"there is no answer to\n  {asked.method} {asked.uri}\n{self._why(asked, played)}")
        return CassetteError(self.problems[-1], where=str(self.path))

    def _why(self, asked: Asked, played: Mapping[int, int]) -> str:
        equal = sum(each.asked == asked for each in self._known)
        if equal:
            return f"It was recorded {equal} time{'s' if equal > 1 else ''}, and is sent once more.\n{advice('all')}"
        near = [(number in played, each) for number, each in enumerate(self._known) if each.asked.place == asked.place]
        if not near:
            return f"Nothing like it was recorded.\n{advice('new')}"
        _, nearest = min(near, key=lambda found: (found[0], len(differences(found[1].asked, asked))))
        by = nearest.by and f" by {nearest.by}"
        if by and self._stamp[1] != nearest.by:
            by += f" (now {self._stamp[1] or 'unnamed'})"
        changes = "".join(f"\n  {line}" for line in differences(nearest.asked, asked))
        return f"It has changed since it was recorded on {nearest.recorded}{by}:{changes}\n{advice('all')}"


def _reply(each: Interaction) -> dict[str, Any]:
    status = {"code": each.status, "message": ""}
    return {"status": status, "headers": each.headers, "body": {"string": each.body}, "stamp": (each.recorded, each.by)}


def _decoded(asked: Asked, reply: Mapping[str, Any]) -> bytes:
    """A body as it can be looked through for secrets. Raises CassetteError for an encoding that cannot be undone."""
    named = [
        value for name, values in reply["headers"].items() if name.lower() == "content-encoding" for value in values
    ]
    encoding = ", ".join(named).strip().lower()
    body: bytes = reply["body"]["string"]
    if not body or encoding in ("", "identity"):
        return body
    if encoding not in READABLE:
        raise CassetteError(f"{asked.place}: the reply is encoded as {encoding!r}: ask for `accept-encoding: gzip`")
    raw = encoding == "deflate" and body[:1] != b"x"  # RFC 9110, section 8.4.1.2: some send it without the zlib wrapper
    try:
        return zlib.decompress(body, -zlib.MAX_WBITS if raw else zlib.MAX_WBITS | 32)
    except zlib.error as error:
        raise CassetteError(f"{asked.place}: the reply is no whole {encoding}, as it says it is ({error})") from None
