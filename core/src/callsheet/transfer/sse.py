"""Server-sent events (WHATWG HTML, section 9.2) out of bytes that may be split anywhere."""

from __future__ import annotations

from callsheet.errors import MalformedOutputError, Sent
from callsheet.http import ServerSentEvent

__all__ = ["LONGEST_EVENT", "EventReader"]

LONGEST_EVENT = 16 << 20
"""Bytes of one event; more is no event but an attack or a mistake."""
_BOM = b"\xef\xbb\xbf"


class EventReader:
    """Takes a body's bytes as they come, and gives the events that are whole.

    One without the blank line at its end is not delivered, as the standard says. `retry` fields are ignored: nothing is
    opened again.
    """

    def __init__(self, *, where: str = "the stream", longest: int = LONGEST_EVENT) -> None:
        self._where = where
        self._longest = longest
        self._held: list[bytes] = []
        self._size = 0
        self._begun = False
        self._last_id = ""

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """The events that end in this piece. Raises MalformedOutputError for one that is too long."""
        if self._begun and b"\n" not in piece and b"\r" not in piece and not self._after_return():
            # The middle of a long event is not copied again for each piece of it.
            self._hold(piece)
            return []
        text = b"".join((*self._held, piece)) if self._held else piece
        self._held.clear()
        self._size = 0
        if not self._begun:
            if len(text) < len(_BOM) and _BOM.startswith(text):
                self._hold(text)
                return []
            self._begun = True
            text = text.removeprefix(_BOM)
        if b"\r" in text:
            # A lone CR ends a line as well, but the last one may be the first half of a CRLF: it waits.
            waits = text.endswith(b"\r")
            text = _lines_by_newline(text[:-1]) + b"\r" if waits else _lines_by_newline(text)
        blocks = text.split(b"\n\n")
        rest = blocks.pop()
        if rest:
            self._hold(rest)
        return self._events(blocks)

    def finish(self) -> list[ServerSentEvent]:
        """The events that the end of the body completes: a CR that waited for its LF."""
        if not self._after_return():
            return []
        blocks = _lines_by_newline(b"".join(self._held)).split(b"\n\n")
        return self._events(blocks[:-1])

    def _after_return(self) -> bool:
        return bool(self._held) and self._held[-1].endswith(b"\r")

    def _hold(self, piece: bytes) -> None:
        self._held.append(piece)
        self._size += len(piece)
        if self._size > self._longest:
            message = f"{self._where}: an event of more than {self._longest:,} bytes"
            raise MalformedOutputError(message, sent=Sent.UNKNOWN)

    def _events(self, blocks: list[bytes]) -> list[ServerSentEvent]:
        events: list[ServerSentEvent] = []
        for block in blocks:
            before, found, data = block.partition(b"data: ")
            if found and b"\n" not in data:
                if not before:  # nearly all there are
                    events.append(ServerSentEvent(data.decode("utf-8", "replace"), "", self._last_id))
                    continue
                if before.startswith(b"event: ") and before.find(b"\n") == len(before) - 1:
                    name = before[7:-1].decode("utf-8", "replace")
                    events.append(ServerSentEvent(data.decode("utf-8", "replace"), name, self._last_id))
                    continue
            if block:
                event = self._slowly(block)
                if event is not None:
                    events.append(event)
        return events

    def _slowly(self, block: bytes) -> ServerSentEvent | None:
        data: list[str] = []
        name = ""
        for line in block.decode("utf-8", "replace").split("\n"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "data":
                data.append(value)
            elif field == "event":
                name = value
            elif field == "id" and "\0" not in value:
                self._last_id = value
        return ServerSentEvent("\n".join(data), name, self._last_id) if data else None


def _lines_by_newline(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
