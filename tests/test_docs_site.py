"""The docs site before it is built: every page is in it and in the navigation, and its links lead to pages of the site."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from references.pages import ROOT
from references.staging import API, SECTIONS, lost, pages, stage

LINK = re.compile(r"\]\((?![a-z]+:)([^)\s#]+)")


@pytest.fixture(scope="module")
def staged(tmp_path_factory) -> Path:
    """The folder that the builder gets."""
    folder = tmp_path_factory.mktemp("site") / "staged"
    stage(folder)
    return folder


def in_navigation(entries: object) -> list[str]:
    """The pages that a part of the navigation names, in order."""
    if isinstance(entries, str):
        return [entries]
    inner = entries.values() if isinstance(entries, dict) else entries
    return [page for each in inner for page in in_navigation(each)]


def test_every_page_is_in_the_navigation_once(staged):
    """Those of docs/, those of the plugins, and those of the Python API, by kind of page."""
    project = tomllib.loads((staged / "zensical.toml").read_text(encoding="utf-8"))["project"]
    written = {path.relative_to(staged / "docs").as_posix() for path in (staged / "docs").rglob("*.md")}
    found = in_navigation(project["nav"])
    assert sorted(found) == sorted(written)
    assert [next(iter(each)) for each in project["nav"]] == ["Start", *SECTIONS.values()]
    assert {f"providers/{path.parent.name}-in-depth.md" for path in ROOT.glob("plugins/[!_]*/docs.md")} <= written


def test_links_lead_to_pages_of_the_site(staged):
    """A page that moved is linked where it is now."""
    for page in (staged / "docs").rglob("*.md"):
        prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        wrong = [link for link in LINK.findall(prose) if not (page.parent / link).is_file()]
        assert wrong == [], page


def test_blocks_are_those_of_the_pages(staged):
    """What stands in a block is code: no link in it is changed."""
    for source, target in pages().items():
        texts = [path.read_text(encoding="utf-8") for path in (source, staged / "docs" / target)]
        before, after = (re.findall(r"^```.*?^```$", text, re.DOTALL | re.MULTILINE) for text in texts)
        assert before == after, source


def test_a_name_that_the_site_forgets_is_told(tmp_path):
    """By module and name; the pages here have but one name each."""
    for module in API:
        page = tmp_path / "site/reference/api" / module / "index.html"
        page.parent.mkdir(parents=True)
        page.write_text('<h2 id="callsheet.Client">', encoding="utf-8")
    missing = lost(tmp_path)
    assert "callsheet.open" in missing
    assert "callsheet.plugin.hookimpl" in missing
    assert "callsheet.Client" not in missing


def test_the_settings_name_no_host():
    """Nothing is fetched from elsewhere to build the site, and pages load no fonts."""
    text = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    assert re.findall(r"https?://|index-url|registry", text) == []
    assert tomllib.loads(text)["project"]["theme"]["font"] is False
