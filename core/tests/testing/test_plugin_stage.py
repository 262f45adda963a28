"""The stage on which an author's tests stand: rows, jobs, requests, and clients that reach a loopback server."""

from __future__ import annotations

import pytest

from callsheet.errors import ConfigError, RateLimitedError
from callsheet.project import Project
from callsheet.settings import ProviderSettings, Settings
from callsheet.testing import Fault, LoopbackServer, PluginStage, loose_file, told


@pytest.fixture
def stage(install_toy) -> PluginStage:
    """The toy plugin's."""
    entry = "__init__.py"  # a factory that shares its name with a module can be asked but once
    return PluginStage(install_toy((entry, "def answers", "def made"), (entry, '"toy", answers', '"toy", made')))


@pytest.fixture
def server():
    """The toy's vendor."""
    running = LoopbackServer()
    running.route("POST", "/answers", "answers")(lambda request: {"text": f"{request.json['prompt']}!"})
    with running:
        yield running


def test_requests_without_the_engine(stage):
    """By the plugin's rows, or for any model with its operation; what could not be sent is told."""
    assert stage.provider == "toy"
    assert stage.rows["words"].aliases == ("w",)
    request = stage.prepared("words", prompt="lava", seed=7, options={"x": 1})
    assert (request.body["prompt"], request.body["x"]) == ("lava", 1)
    assert told(request) == [("unsupported", "seed")]
    with pytest.raises(ConfigError, match="no model 'other'"):
        stage.prepared("other", "text.generate", prompt="ash")
    assert stage.job("words", prompt="lava").ref == request.ref


def test_the_one_handler_of_a_wire(stage):
    """By wire, by operation, by both; none and several are errors that say so."""
    by_both = stage.handler("answers", "text.generate")
    for found in (stage.handler("answers"), stage.handler(operation="text.generate"), by_both):
        assert type(found).__name__ == "Answers"
    for wire, count in (("other", 0), ("", 2)):
        with pytest.raises(ConfigError, match=f"{count} handlers are registered for the wire '{wire}'"):
            stage.handler(wire)


async def test_a_client_reaches_the_server_and_never_sleeps(stage, server, tmp_path):
    """The key that was given is sent; what waits, waits for no time."""
    async with stage.client(tmp_path / "p", base_url=server.origin, secrets={"TOY_KEY": "k-1"}) as client:
        result = await client.call("toy:words", prompt="lava")
        await client.runtime.services.sleep(1e9)
    assert result.artifacts[0].text == "lava!"
    assert [each.headers["authorization"] for each in server.journal] == ["Bearer k-1"]


async def test_the_base_url_wins_over_the_environment(stage, server, tmp_path, monkeypatch):
    """A variable that is exported after a try with the real vendor sends no test there."""
    monkeypatch.setenv("TOY_BASE_URL", "http://127.0.0.1:9/elsewhere")
    async with stage.client(tmp_path / "p", base_url=server.origin, secrets={"TOY_KEY": "k"}) as client:
        result = await client.call("toy:words", prompt="ash")
    assert result.artifacts[0].text == "ash!"
    assert len(server.journal) == 1


async def test_settings_of_ones_own_win(stage, server, tmp_path):
    """A base URL in them is the one that is used; the folder is a project like any other."""
    settings = Settings(providers={"toy": ProviderSettings(base_url=server.origin)})
    reached = {"base_url": "http://127.0.0.1:9", "secrets": {"TOY_KEY": "k"}, "settings": settings}
    async with stage.client(tmp_path / "p", **reached) as client:
        assert (await client.call("toy:words", prompt="ash")).artifacts[0].text == "ash!"
    assert Project.at(tmp_path / "p").state.exists()


async def test_a_handler_is_called_with_the_services_of_a_call(stage, server, tmp_path):
    """One request, with no engine that would try it again."""
    server.fail(Fault(status=429))
    job, handler = stage.job("words", prompt="lava"), stage.handler("answers")
    async with stage.client(tmp_path / "p", base_url=server.origin, secrets={"TOY_KEY": "k"}) as client:
        context = stage.context(client, job)
        with pytest.raises(RateLimitedError):
            await handler.invoke(stage.prepared("words", prompt="lava"), context)
    assert len(server.journal) == 1


def test_loose_files_are_told_apart():
    """By type, size and name."""
    files = {
        loose_file().sha256,
        loose_file(size=2).sha256,
        loose_file("audio/wav").sha256,
        loose_file(name="b").sha256,
    }
    assert len(files) == 4
