"""The vendor's counterpart for tests: its document, the loopback server, and clients that reach it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from elevenlabs_counterpart.stage import STAGE
from elevenlabs_counterpart.vendor import Vendor, vendor

from callsheet.settings import Settings
from callsheet_elevenlabs.testing import KEY, Server


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """No key and no base URL of the user's own reaches a test."""
    for name in ("ELEVENLABS_API_KEY", "ELEVENLABS_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def document() -> Vendor:
    """The vendor's document."""
    return vendor()


@pytest.fixture
def server(document):
    """The loopback server; at the end, the document must have nothing to object to."""
    with Server(judge=document.exchange) as running:
        yield running


@pytest.fixture
def opened(tmp_path: Path, server: Server) -> Callable:
    """Open a client of a project in `tmp_path` which reaches the loopback server with its key, and never sleeps."""

    def open_client(*, base_url: str = "", key: str = KEY, settings: Settings | None = None):
        secrets = {"ELEVENLABS_API_KEY": key}
        folder, url = tmp_path / "project", base_url or server.origin
        return STAGE.client(folder, base_url=url, secrets=secrets, settings=settings)

    return open_client
