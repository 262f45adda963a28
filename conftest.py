"""All tests: nothing is read from or written into the user's own cache, configuration and state."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib.metadata import entry_points
from unittest import mock

import pytest


@pytest.fixture(autouse=True, scope="session")
def _folders_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Folders of a user for this run, for processes that tests start, too; no installed plugin is news."""
    cache, config, state = (tmp_path_factory.mktemp(name) for name in ("cache", "config", "state"))
    seen = {found.dist.name.lower(): found.dist.version for found in entry_points(group="callsheet") if found.dist}
    (state / "callsheet").mkdir()
    (state / "callsheet" / "plugins-seen.json").write_text(json.dumps(seen))
    folders = {"XDG_CACHE_HOME": str(cache), "XDG_CONFIG_HOME": str(config), "XDG_STATE_HOME": str(state)}
    with mock.patch.dict(os.environ, folders):
        yield
