"""Whether the provider answers to our key: a question that costs nothing."""

from __future__ import annotations

import re

from callsheet.health import check_up
from callsheet.testing import Fault


async def test_the_question_is_one_that_costs_nothing(server, opened):
    """One GET, with the key."""
    async with opened() as client:
        problems = {each.provider: each.problem for each in await check_up(client.runtime)}
    assert problems["openai"] == ""
    assert [(seen.method, seen.path) for seen in server.journal] == [("GET", "/models")]


async def test_a_refused_key_is_told(server, opened):
    """In the provider's name, by its own words."""
    server.fail(
        Fault(
            status=401, body={"error": {"message": "No.", "type": "invalid_request_error", "code": "invalid_api_key"}}
        )
    )
    async with opened() as client:
        problems = {each.provider: each.problem for each in await check_up(client.runtime)}
    assert re.search(r"openai .*No", problems["openai"])
