"""The user's folders are where platformdirs has them, without its import on Linux."""

from __future__ import annotations

import sys
from pathlib import Path

import platformdirs
import pytest

from callsheet.user_folders import user_folder


@pytest.mark.parametrize("kind", ["cache", "config", "state"])
def test_each_folder_is_the_one_that_platformdirs_gives(kind, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the environment says it, by default, and on other systems."""
    expected = getattr(platformdirs, f"user_{kind}_path")
    monkeypatch.setenv(f"XDG_{kind.upper()}_HOME", str(tmp_path))
    assert user_folder(kind) == tmp_path / "callsheet" == expected("callsheet", appauthor=False)
    monkeypatch.delenv(f"XDG_{kind.upper()}_HOME")
    assert user_folder(kind) == expected("callsheet", appauthor=False)
    monkeypatch.setattr(sys, "platform", "other")
    assert user_folder(kind) == expected("callsheet", appauthor=False)
