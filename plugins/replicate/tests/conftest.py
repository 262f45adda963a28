"""The vendor's counterpart: the plugin's own loopback server, judged by the vendor's document, and clients that reach it."""

from __future__ import annotations

import pytest
from replicate_counterpart.stage import STAGE
from replicate_counterpart.vendor import problems

from callsheet.config import load_settings
from callsheet.policies import Policies
from callsheet_replicate.testing import ReplicateServer


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """No token and no base URL of the user's own reaches a test."""
    for name in ("REPLICATE_API_TOKEN", "REPLICATE_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    """The loopback server; at the end, the vendor's document must have nothing to object to."""
    with ReplicateServer(page=2, judge=problems) as running:
        yield running


@pytest.fixture
def opened(tmp_path, server):
    """Open a client of a project in `tmp_path` which reaches the loopback server with its token, and never sleeps."""

    def open_client(**more):
        folder, secrets = tmp_path / "project", {"REPLICATE_API_TOKEN": server.key}
        given = {"settings": load_settings(folder, Policies.once()), **more}
        return STAGE.client(folder, base_url=server.origin, secrets=secrets, **given)

    return open_client
