"""Doubles for authors' tests, used as they use them."""

from __future__ import annotations

import pytest

from callsheet.testing import EventLog, FakeClock, FakeSecrets, LoopbackServer, PluginStage


@pytest.fixture
def stage(install_toy) -> PluginStage:
    """The toy plugin's."""
    entry = "__init__.py"  # a factory that shares its name with a module can be asked but once
    return PluginStage(install_toy((entry, "def answers", "def made"), (entry, '"toy", answers', '"toy", made')))


@pytest.fixture
def server():
    """The toy's vendor."""
    running = LoopbackServer()
    running.route("POST", "/answers")(lambda request: {"text": request.headers["authorization"]})
    with running:
        yield running


async def test_secrets_that_count(stage, server, tmp_path):
    """Each look is counted, by name, and of a name that nobody knows as well."""
    secrets = FakeSecrets({"TOY_KEY": "k-1"})
    async with stage.client(tmp_path / "p", base_url=server.origin, secrets=secrets) as client:
        assert secrets.asked == {}
        result = await client.call("toy:words", prompt="lava")
    assert result.artifacts[0].text == "Bearer k-1"
    assert set(secrets.asked) == {"TOY_KEY"}
    assert await secrets.get("OTHER") is None
    assert secrets.asked["OTHER"] == 1
    assert "k-1" not in repr(await secrets.get("TOY_KEY"))


async def test_time_passes_when_somebody_sleeps(stage, server, tmp_path):
    """For a client and for a context; a field of a context can be exchanged."""
    clock = FakeClock(1000.0)
    async with stage.client(tmp_path / "p", base_url=server.origin, sleep=clock.sleep) as client:
        await client.runtime.services.sleep(1e9)
        await clock.sleep(0.5)
        context = stage.context(client, stage.job("words", prompt="lava"), clock=clock, attempt=3)
    assert clock.slept == [1e9, 0.5]
    assert (context.clock(), context.attempt, context.key) == (1000.0 + 1e9 + 0.5, 3, "k" * 64)


async def test_events_are_kept_while_they_are_watched(stage, server, tmp_path):
    """In order, with their data; none from before and after."""
    log = EventLog()
    async with stage.client(tmp_path / "p", base_url=server.origin, secrets={"TOY_KEY": "k-1"}) as client:
        await client.call("toy:words", prompt="before")
        with log.watch(client) as watched:
            await client.call("toy:words", prompt="lava")
        await client.call("toy:words", prompt="after")
    assert watched is log
    assert log.types[0] == "job.started"
    assert log.types[-1] == "job.succeeded"
    assert len(log.of("job.succeeded")) == 1
    assert log.of("run.started") == []
