"""Whether the provider answers to our key: a question that costs nothing."""

from __future__ import annotations

import pytest

from callsheet.errors import AuthenticationError
from callsheet.plugin import ChecksHealth
from callsheet.testing import Fault


async def asked(client):
    """The provider is asked."""
    runtime = client.runtime
    plugin, access, handlers = runtime.registry.provider_handlers("openai")
    checker = next(handler for handler in handlers if isinstance(handler, ChecksHealth))
    await checker.check_health(runtime.services.provider_context("openai", plugin, access))


async def test_the_question_is_one_that_costs_nothing(server, opened):
    """One GET, with the key."""
    async with opened() as client:
        await asked(client)
    assert [(seen.method, seen.path) for seen in server.journal] == [("GET", "/models")]


async def test_a_refused_key_is_told(server, opened):
    """In the provider's name, by its own words."""
    server.fail(
        Fault(
            status=401, body={"error": {"message": "No.", "type": "invalid_request_error", "code": "invalid_api_key"}}
        )
    )
    async with opened() as client:
        with pytest.raises(AuthenticationError, match=r"openai .*No"):
            await asked(client)
