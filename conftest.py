"""All tests: nothing is read from or written into the user's own cache, configuration and state; helpers are found."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest

ROOT = Path(__file__).parent
# Test modules are loaded one by one and know no neighbours: helpers that lie beside them are found under these names.
COUNTERPARTS = {f"{folder.parent.name}_counterpart": folder for folder in ROOT.glob("plugins/*/tests")}
for _name, _folder in {**COUNTERPARTS, "kit_tests": ROOT / "core/tests/testing"}.items():
    if _name not in sys.modules:
        sys.modules[_name] = ModuleType(_name)
        sys.modules[_name].__path__ = [str(_folder)]


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


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
