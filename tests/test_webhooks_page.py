"""The page on webhooks is true: its host answers as it says, and its table has every status."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import httpx2
import pytest

import callsheet
from callsheet.adoption import Adoption
from callsheet.webhooks import WebhookStatus
from callsheet_replicate.testing import Fault, ReplicateServer, Script

DOCS = Path(__file__).resolve().parents[1] / "docs/how-to"
PAGE = (DOCS / "webhooks.md").read_text(encoding="utf-8")
MODEL = "google/gemini-2.5-flash"


def table(page, first):
    """The names in the first column of the table with this head."""
    rows = page.split(f"| {first} |")[1].split("\n\n")[0]
    return re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE)


def test_every_status_is_on_the_page():
    """In the order of the code."""
    assert table(PAGE, "`status` of the outcome") == [status.value for status in WebhookStatus]


def test_every_outcome_of_an_orphan_is_on_the_page():
    """Those that the class itself tells of, and those of an abort."""
    page = (DOCS / "look-at-a-run.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(\w+)`", Adoption.__doc__)) - {"call", "outcome", "result", "error", "AbortOutcome"}
    assert set(table(page, "outcome")) == told | {"stopped", "client_side_only"}


@pytest.fixture
def hooks():
    """The host of the page."""
    block = next(text for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "def hooks" in text)
    assert len(block.partition("def hooks")[2].splitlines()) <= 18
    names = {}
    exec(block, names)
    return names["hooks"]


@pytest.fixture
def server(monkeypatch):
    """The vendor, and the environment that leads to it."""
    with ReplicateServer() as running:
        monkeypatch.setenv("REPLICATE_BASE_URL", running.origin)
        monkeypatch.setenv("REPLICATE_API_TOKEN", running.key)
        running.script(MODEL, Script("Lava flows.", polls=1))
        yield running


async def left_behind(folder, server):
    """A prediction whose process died while it waited: its id."""
    async with callsheet.open(folder) as dead:
        call = asyncio.create_task(dead.call(f"replicate:{MODEL}", prompt="lava"))
        await server.until(lambda: server.asked("get"))
        dead.ledger.owner.close()
        server.fail("cancel", Fault(status=500))
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    return next(iter(server.predictions))


async def posted(folder, server, hooks):
    """What the host answers: to a forged delivery, while the key is refused, then to the same one twice; and the call."""
    created = await left_behind(folder, server)
    headers, body = server.webhook(created)
    async with callsheet.open(folder) as client:
        transport = httpx2.ASGITransport(hooks(client, "replicate"))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as vendor:
            forged = await vendor.post("/", headers=headers, content=body + b" ")
            server.fail("get", Fault(status=401))
            others = [await vendor.post("/", headers=headers, content=body) for _ in range(3)]
        [call] = await client.ledger.calls_of_job(created)
    return [each.status_code for each in (forged, *others)], call


def test_the_host_answers_as_the_page_says(folder, server, hooks):
    """Forged: 401. The job cannot be asked for: 500, and the next delivery collects it: 200, as often as it comes."""
    codes, call = asyncio.run(posted(folder, server, hooks))
    assert codes == [401, 500, 200, 200]
    assert call.result.artifacts[0].text == "Lava flows."
    assert len(server.asked("create")) == 1
