"""The connections of a client: how many are in use, and what a caller who goes away leaves behind."""

from __future__ import annotations

import asyncio

import pytest

from callsheet.testing import Fault, LoopbackServer
from callsheet.transfer.endpoint import Endpoint
from callsheet.transfer.pool import ConnectionPool


@pytest.fixture
def server():
    """It answers one route."""
    made = LoopbackServer()
    made.route("GET", "/word")(lambda _: {"word": "lava"})
    with made:
        yield made


async def test_busy_counts_the_connections_in_use(server):
    """One for each request under way; none that waits for the next request."""
    pool = ConnectionPool()
    endpoint = Endpoint(pool, server.origin)
    assert pool.busy == 0
    server.fail(Fault(stall=True))
    held = asyncio.ensure_future(endpoint.send("GET", "/word"))
    await server.until(lambda: server.holding == 1)
    assert pool.busy == 1
    async with endpoint.stream("GET", "/word") as reply:
        assert pool.busy == 2
        await reply.whole()
    held.cancel()
    await asyncio.gather(held, return_exceptions=True)
    assert held.cancelled()
    assert pool.busy == 0
    await pool.aclose()


@pytest.mark.parametrize("turns", range(8))
async def test_a_request_that_is_cancelled_while_it_connects_leaves_no_connection(server, turns):
    """At whatever turn of the loop: the server sees every connection end."""
    pool = ConnectionPool()
    asked = asyncio.ensure_future(Endpoint(pool, server.origin).send("GET", "/word"))
    for _ in range(turns):
        await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert asked.cancelled()
    assert pool.busy == 0
    await pool.aclose()
    _, marker = await asyncio.open_connection("127.0.0.1", server.port)  # taken after what came before it
    await server.until(lambda: server.open_connections > 0)
    marker.close()
    await marker.wait_closed()
    await server.until(lambda: server.open_connections == 0)
