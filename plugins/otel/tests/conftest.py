"""A collector on this machine, and an environment without variables of OpenTelemetry's."""

from __future__ import annotations

import os

import pytest

from callsheet.testing import LoopbackServer, Reply


@pytest.fixture
def collector():
    """Takes spans and metrics, as a collector does."""
    server = LoopbackServer()
    server.route("POST", "/v1/traces", "traces")(lambda _: Reply(200, b""))
    server.route("POST", "/v1/metrics", "metrics")(lambda _: Reply(200, b""))
    with server:
        yield server


@pytest.fixture
def environ():
    """This process's environment, with nothing in it that configures the SDK."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
