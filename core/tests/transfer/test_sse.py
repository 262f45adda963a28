"""Server-sent events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.errors import MalformedOutputError, Sent
from callsheet.http import ServerSentEvent as Event
from callsheet.transfer.sse import EventReader

STREAMS = {
    "usual": (b'data: {"a": 1}\n\ndata: [DONE]\n\n', [Event('{"a": 1}'), Event("[DONE]")]),
    "named": (b"event: delta\ndata: x\n\n", [Event("x", "delta")]),
    "named-without-space": (b"event:delta\ndata:x\n\n", [Event("x", "delta")]),
    "lines-by-return": (b"data: a\r\rdata: b\r\r", [Event("a"), Event("b")]),
    "lines-by-both": (b"event: e\r\ndata: a\r\n\r\ndata: b\r\n\r\n", [Event("a", "e"), Event("b")]),
    "many-data-lines": (b"data: a\ndata: b\ndata\ndata:  c\n\n", [Event("a\nb\n\n c")]),
    "empty-data": (b"data\n\ndata:\n\n", [Event(""), Event("")]),
    "comments-and-retry": (b": ping\n\nretry: 10\n\ndata: a\n: within\n\n", [Event("a")]),
    "name-alone-is-forgotten": (b"event: e\n\ndata: a\n\n", [Event("a")]),
    "id-stays": (b"id: 7\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", [Event("a", id="7"), Event("b", id="7"), Event("c")]),
    "id-with-nul": (b"id: 7\0\ndata: a\n\n", [Event("a")]),
    "byte-order-mark": (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", [Event("a")]),
    "letters": ("data: ä€😀\n\n".encode(), [Event("ä€😀")]),
    "no-utf-8": (b"data: a\xff\n\n", [Event("a\ufffd")]),
    "unknown-fields": (b"data: a\nDATA: b\ndata : c\nnodata: d\n\n", [Event("a")]),
    "data-within-data": (
        b"data: x data: y\n\nevent: e data: z\ndata: w\n\n",
        [Event("x data: y"), Event("w", "e data: z")],
    ),
    "not-finished": (b"data: a\n\ndata: b\n", [Event("a")]),
    "separators-of-unicode": ("data: a\u2028b\x0bc\n\n".encode(), [Event("a\u2028b\x0bc")]),
    "blank-lines": (b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n", [Event("a"), Event("b")]),
    "nothing": (b"", []),
}


def read(pieces: list[bytes], longest: int = 1 << 20) -> list[Event]:
    reader = EventReader(longest=longest)
    events = [event for piece in pieces for event in reader.feed(piece)]
    return [*events, *reader.finish()]


@pytest.mark.parametrize(("stream", "events"), STREAMS.values(), ids=STREAMS)
def test_events(stream, events):
    """A stream gives the events of the standard, whole or byte by byte."""
    assert read([stream]) == events
    assert read([stream[i : i + 1] for i in range(len(stream))]) == events


@pytest.mark.parametrize("stream", [stream for stream, _ in STREAMS.values()], ids=STREAMS)
def test_two_pieces(stream):
    """Wherever a stream is split in two, the events are the same."""
    assert all(read([stream[:at], stream[at:]]) == read([stream]) for at in range(len(stream) + 1))


LINES = st.sampled_from(
    ["data: x", "data:ä", "data", "event: e", "id: 1", ": c", "", "", "retry: 5", "data: {}", "😀: 1"]
)


@given(st.lists(LINES, max_size=20), st.sampled_from(["\n", "\r", "\r\n"]), st.lists(st.integers(0, 300), max_size=12))
def test_any_split(lines, newline, cuts):
    """Any stream, split anywhere, gives the events of the whole, and any kind of line's end gives the same."""
    stream = "".join(line + newline for line in lines).encode()
    places = sorted({min(cut, len(stream)) for cut in cuts})
    pieces = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]
    assert read(pieces) == read([stream]) == read(["".join(line + "\n" for line in lines).encode()])


@given(st.lists(st.binary(max_size=12), max_size=12))
def test_any_bytes(pieces):
    """Whatever bytes come, in whatever pieces: no exception, and the same events as at once."""
    assert read(pieces) == read([b"".join(pieces)])


@pytest.mark.parametrize(
    "pieces", [[b"data: " + b"x" * 50], [b"data: ", *[b"x"] * 50], [b"data: x\n" * 9]], ids=["one", "many", "lines"]
)
def test_an_endless_event(pieces):
    """An event over the limit is refused while it comes."""
    with pytest.raises(MalformedOutputError, match="event of more than 40 bytes") as caught:
        read(pieces, longest=40)
    assert caught.value.sent is Sent.UNKNOWN
