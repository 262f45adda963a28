"""The vendor's counterpart for tests: its document, a loopback server that speaks its API, and clients that reach it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from openai_counterpart.server import Server
from openai_counterpart.stage import STAGE
from openai_counterpart.vendor import Vendor, vendor

from callsheet.settings import Settings
from callsheet_openai.testing import KEY


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """No key and no base URL of the user's own reaches a test."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def document() -> Vendor:
    """The vendor's document."""
    return vendor()


@pytest.fixture
def server():
    """The loopback server; at the end, the document must have nothing to object to, and the key must be the right one."""
    with Server() as running:
        yield running


@pytest.fixture
def opened(tmp_path: Path, server: Server) -> Callable:
    """Open a client of a project in `tmp_path` which reaches the loopback server with its key, and never sleeps."""

    def open_client(*, base_url: str = "", key: str = KEY, settings: Settings | None = None):
        folder, url = tmp_path / "project", base_url or server.origin
        return STAGE.client(folder, base_url=url, secrets={"OPENAI_API_KEY": key}, settings=settings)

    return open_client
