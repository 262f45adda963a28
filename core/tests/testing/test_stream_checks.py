"""Checks of streams: each finds the plugin that it is for."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize("case", BROKEN, ids=[f"{case[0]}-{n}" for n, case in enumerate(BROKEN)])
def test_a_broken_plugin_is_found(find_fault, case: tuple[str, ...]) -> None:
    """By the check that is for it, in words that say what is wrong and how to repair it."""
    find_fault(case, streams={"answers": STREAM})


def test_every_check_is_known_to_fail() -> None:
    """No check without a plugin that it finds fault with."""
    assert {case[0] for case in BROKEN} == {check.id for _, check in TABLE}


def test_a_connection_that_stays_open_is_found(install_toy) -> None:
    """A stream that was left must not keep its connection until the client is closed."""
    block = '        async with context.http.stream("POST", "/stream", json=dict(request.body)) as reply:\n'
    opened = block.replace("        async with ", "        KEPT.append(").replace(" as reply:\n", ")\n")
    kept = opened + "        reply = await KEPT[-1].__aenter__()\n        if True:\n"
    name = install_toy((CODE, block, kept), (CODE, "COUNT =", "KEPT = []\nCOUNT ="))
    report = conformance(name, only=["streams"], streams={"answers": STREAM})
    assert "the connection stays open after the stream was left" in report.text
