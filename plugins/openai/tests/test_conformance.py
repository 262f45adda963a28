"""The checks that callsheet has for every plugin, with whole streams of both text wires."""

from __future__ import annotations

import json

import pytest
from openai_counterpart.answers import Answer, chat_events, response_events

from callsheet.testing import CHECKS, conformance


def stream(events: list[dict[str, object]], end: str = "") -> bytes:
    """The events as the vendor writes them."""
    lines = [
        (f"event: {each['type']}\n" if "type" in each else "") + f"data: {json.dumps(each)}\n\n" for each in events
    ]
    return ("".join(lines) + end).encode()


@pytest.fixture(scope="module")
def streams():
    """One answer for each text wire."""
    asked = {"model": "gpt-5", "stream_options": {"include_usage": True}}
    return {
        "responses": stream(response_events(Answer(), asked)),
        "chat": stream(chat_events(Answer(), asked), "data: [DONE]\n\n"),
    }


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_conformance(check, streams):
    """It does what it declares, and refuses what it does not; no check goes without something to look at."""
    report = conformance("callsheet_openai", only=[check.id], streams=streams)
    report.assert_ok()
    assert [outcome.reason for outcome in report.outcomes] == [""]
