"""The vendor's counterpart: the plugin's own loopback server, judged by the vendor's document, and clients that reach it."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

import pytest

from callsheet.client import Client
from callsheet.project import Project
from callsheet.secrets import MappingSecrets
from callsheet.settings import ProviderSettings, Settings

# Test modules are loaded one by one and know no neighbours: these find each other under a name of their own.
if "replicate_counterpart" not in sys.modules:
    package = ModuleType("replicate_counterpart")
    package.__path__ = [str(Path(__file__).parent)]
    sys.modules["replicate_counterpart"] = package

from replicate_counterpart.vendor import problems

from callsheet_replicate.testing import ReplicateServer


@pytest.fixture
def anyio_backend():
    """Tests run on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """No token and no base URL of the user's own reaches a test."""
    for name in ("REPLICATE_API_TOKEN", "REPLICATE_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    """The loopback server; at the end, the vendor's document must have nothing to object to."""
    with ReplicateServer(page=2) as running:
        yield running
    assert [problem for each in running.journal for problem in problems(each)] == []


@pytest.fixture
def opened(tmp_path, server):
    """Open a client of a project in `tmp_path` which reaches the loopback server with its token, and never sleeps."""

    @asynccontextmanager
    async def open_client(**more):
        async def sleep(_seconds):
            """Nobody waits."""

        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        settings = Settings(providers={"replicate": ProviderSettings(base_url=server.origin)})
        secrets = MappingSecrets({"REPLICATE_API_TOKEN": server.token})
        given = {"sleep": sleep, **more}
        async with await Client.open(Project.at(folder), settings, secrets=secrets, **given) as client:
            yield client

    return open_client
