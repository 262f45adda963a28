"""Checks of streams: each finds the plugin that it is for."""

from __future__ import annotations

from kit_tests.faults import BrokenPlugins

from callsheet.testing import conformance
from callsheet.testing.stream_checks import TABLE

STREAM = b'data: {"text": "lava "}\n\ndata: {"text": "cools"}\n\ndata: {"done": true}\n\n'
CODE = "answers.py"
END = '        raise MalformedOutputError("the stream ends without its last event", sent=Sent.UNKNOWN)\n'
BROKEN = [
    ("streams", CODE, END, "", "an empty stream: ends in silence"),
    ("streams", CODE, END, "        yield StreamFinished(JobResult(()))\n", "says that it is finished"),
    ("streams", CODE, END, '        raise ValueError("x")\n', "lets through ValueError"),
    ("streams", CODE, "last event\", sent=Sent.UNKNOWN", "last event\"", "with sent = finished"),
    ("streams", CODE, "                    return\n", "", "the whole sample: raises"),
    ("streams", CODE, "                yield TextDelta", "                yield StreamFinished(JobResult(()))\n                yield TextDelta", "is not the last event, once"),
    ("streams", CODE, "        async with context.http.stream(", "        await context.http.send('GET', '/x')\n        async with context.http.stream(", "sends 2 requests"),
    ("streams", CODE, "            if reply.status >= 400:\n                raise reply_error(await reply.whole()", "            if reply.status >= 500:\n                raise reply_error(await reply.whole()", "the status 401: raises MalformedOutputError, and not authentication"),
]  # fmt: skip
GIVEN = {"streams": {"answers": STREAM}}


class TestTable(BrokenPlugins):
    """Each of the plugins above, and each check."""

    table, broken = TABLE, BROKEN
    given = GIVEN


def test_a_connection_that_stays_open_is_found(install_toy) -> None:
    """A stream that was left must not keep its connection until the client is closed."""
    block = '        async with context.http.stream("POST", "/stream", json=dict(request.body)) as reply:\n'
    opened = block.replace("        async with ", "        KEPT.append(").replace(" as reply:\n", ")\n")
    kept = opened + "        reply = await KEPT[-1].__aenter__()\n        if True:\n"
    name = install_toy((CODE, block, kept), (CODE, "COUNT =", "KEPT = []\nCOUNT ="))
    report = conformance(name, only=["streams"], **GIVEN)
    assert "the connection stays open after the stream was left" in report.text
