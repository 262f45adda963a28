"""New plugins are told of once."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet.discovery import Discovery, FoundPlugin
from callsheet.first_seen import announce_new, new_plugins, seen_file
from callsheet.plugin_manifest import PluginManifest


def found(name: str, version: str = "1.0", **more: object) -> FoundPlugin:
    """A plugin of a distribution of the same name."""
    return FoundPlugin(name, name, name, version, **{"root": Path(name), "manifest": PluginManifest(), **more})


def test_only_usable_plugins_of_unknown_distributions_are_new() -> None:
    """Names are compared as package indexes do; one line for each distribution."""
    plugins = [found("Acme_X"), found("beta"), found("beta"), found("bad", problem="x"), found("out", skipped="x")]
    plugins.append(found("handed-over", root=None))
    assert [each.distribution for each in new_plugins(plugins, {"acme-x": "0.1"})] == ["beta"]


def test_each_is_told_once(tmp_path: Path) -> None:
    """Another version is no news; a broken file only repeats the news."""
    file = tmp_path / "state" / "plugins-seen.json"
    assert announce_new(Discovery((found("acme"),)), file).startswith("new here: acme 1.0; `callsheet plugins doctor`")
    assert announce_new(Discovery((found("acme", "2.0"),)), file) == ""
    assert "beta 1.0" in announce_new(Discovery((found("acme"), found("beta"))), file)
    for broken in ("[]", "{", "[" * 100_000):
        file.write_text(broken)
        assert "acme 1.0, beta 1.0" in announce_new(Discovery((found("acme"), found("beta"))), file)
    assert [path.name for path in file.parent.iterdir()] == ["plugins-seen.json"]


def test_a_state_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    """The news comes again."""
    (tmp_path / "file").touch()
    for _ in range(2):
        assert announce_new(Discovery((found("acme"),)), tmp_path / "file" / "seen.json") != ""


def test_the_file_lies_in_the_user_s_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not in the project's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert seen_file() == tmp_path / "callsheet" / "plugins-seen.json"
