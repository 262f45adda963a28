"""Changes are told where users look: fragments that a release finds by their names, and a changelog that knows the version."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOWNCRIER = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["towncrier"]
TYPES = [each["directory"] for each in TOWNCRIER["type"]]
NAME = re.compile(rf"[a-z0-9][a-z0-9-]*\.(?:{'|'.join(TYPES)})(?:\.\d+)?\.md")


def problems(folder: Path) -> list[str]:
    """The files that a release would pass over in silence, or that say nothing."""
    found = [path for path in sorted(folder.iterdir()) if path.name != "README.md"]
    return [
        path.name for path in found if not NAME.fullmatch(path.name) or not path.read_text(encoding="utf-8").strip()
    ]


def test_every_fragment_will_be_found():
    """NAME.TYPE.md with a known type, and something in it."""
    assert problems(ROOT / TOWNCRIER["directory"]) == []


@pytest.mark.parametrize("name", ["why.md", "why.feature.md", "why.added.txt", "why.added", "Why Not.added.md"])
def test_a_misnamed_fragment_is_seen(tmp_path, name):
    """A release would leave it out and say nothing."""
    (tmp_path / "README.md").touch()
    (tmp_path / "why-not.added.md").write_text("More.")
    (tmp_path / "12.fixed.2.md").write_text("Less.")
    assert problems(tmp_path) == []
    (tmp_path / name).write_text("More.")
    (tmp_path / "empty.fixed.md").touch()
    assert problems(tmp_path) == sorted([name, "empty.fixed.md"])


def test_the_page_on_fragments_has_their_types():
    """In the order in which a release lists them."""
    page = (ROOT / TOWNCRIER["directory"] / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == TYPES


def test_the_changelog_has_the_version_of_core():
    """Newest first, below the mark where a release puts its section."""
    head, _, releases = (ROOT / TOWNCRIER["filename"]).read_text(encoding="utf-8").partition(TOWNCRIER["start_string"])
    assert head.startswith("# Changelog\n")
    version = tomllib.loads((ROOT / "core/pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert re.findall(r"^## (\S+)", releases, re.MULTILINE)[0] == version
