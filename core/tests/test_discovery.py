"""Finding plugins: real distributions in folders, none of them imported, none of them able to break the rest."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from callsheet.discovery import Discovery, FoundPlugin, discover

ACME = 'api = 1\n[provider]\nname = "acme"\n[[models]]\nmodel = "m"\noperation = "text.generate"\n'
RAISES = "raise RuntimeError('imported')"


def test_a_plugin_is_found_and_not_imported(site) -> None:
    """Name, module, distribution, version, folder and manifest come from data alone."""
    root = site.install("callsheet-acme", entry_name="acme", toml=ACME, code=RAISES, version="1.2")
    found = site.discover().plugin("acme")
    assert found is not None
    assert found.usable
    assert (found.name, found.module, found.distribution, found.version) == (
        "acme",
        "callsheet_acme",
        "callsheet-acme",
        "1.2",
    )
    assert (found.root, found.provider, found.label) == (root, "acme", "callsheet-acme 1.2")
    assert "callsheet_acme" not in sys.modules
    assert site.discover().owner("acme") == found
    assert site.discover().problems == ()


def test_an_editable_install_is_found(site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata lies in one folder, the package (by a .pth) in another."""
    root = site.install("callsheet-acme", entry_name="acme", toml=ACME)
    sources = tmp_path / "src"
    sources.mkdir()
    root.rename(sources / "callsheet_acme")
    monkeypatch.syspath_prepend(str(sources))
    found = site.discover().plugin("acme")
    assert found is not None
    assert (found.usable, found.root) == (True, sources / "callsheet_acme")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"toml": None}, "wheel without plugin.toml: add it to the package data"),
        ({"toml": "api = 1\nx =\n"}, "at line 2"),
        ({"toml": "api = 9"}, "plugin api 9, and this callsheet speaks api 1"),
        ({"toml": ACME, "entry": "callsheet_acme:plugin"}, r'write acme = "callsheet_acme" and put plugin.toml beside'),
        ({"toml": ACME, "entry": "callsheet_acme.plugin"}, "is not a top-level package"),
        ({"toml": ACME, "entry": "gone_package"}, "'gone_package' is not there: reinstall it"),
        ({"toml": ACME, "entry": "tomllib"}, "wheel without plugin.toml"),
        ({"toml": ACME, "entry": "colorsys"}, "must be a package"),
    ],
)
def test_a_wrong_plugin_is_a_problem_with_a_remedy(site, how: dict[str, str], said: str) -> None:
    """It is listed with its problem, and the good one beside it works."""
    site.install("callsheet-acme", **{"entry_name": "acme", **how})
    site.install("callsheet-good", entry_name="good", toml=ACME.replace("acme", "good"))
    discovery = site.discover()
    found = discovery.plugin("acme")
    assert found is not None
    assert not found.usable
    assert said in found.problem
    assert any(line.startswith("acme (callsheet-acme 1.0): ") and said in line for line in discovery.problems)
    assert discovery.plugin("good").usable


def test_a_module_that_confuses_the_import_system_is_a_problem(site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Import finders raise what they like."""
    monkeypatch.setitem(sys.modules, "callsheet_acme", ModuleType("callsheet_acme"))
    site.install("callsheet-acme", entry_name="acme", toml=ACME)
    assert "cannot be looked at: ValueError" in site.discover().plugin("acme").problem


def test_unreadable_metadata_is_a_line(site) -> None:
    """A distribution that breaks the metadata library keeps nobody else from being found."""
    site.install("callsheet-good", entry_name="good", toml=ACME)
    for name, entry_points in (("nameless", "[callsheet]\nx = y\n"), ("bytes", "[callsheet]\n\xff\n")):
        info = site.folder / f"{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Version: 1\n" if name == "nameless" else "Name: bytes\nVersion: 1\n")
        (info / "entry_points.txt").write_bytes(entry_points.encode("latin-1"))
    discovery = site.discover()
    assert discovery.plugin("good").usable
    assert len(discovery.problems) == 2
    assert all("unreadable metadata" in line and str(site.folder) in line for line in discovery.problems)


def test_an_empty_dist_info_of_an_unclean_upgrade_hides_nothing(site) -> None:
    """The standard library would lose the plugin behind it."""
    site.install("callsheet-acme", entry_name="acme", toml=ACME, version="2.0")
    (site.folder / "callsheet_acme-1.0.dist-info").mkdir()
    assert site.discover().plugin("acme").version == "2.0"


def test_the_first_copy_on_the_path_wins(site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python would import that one, too; even when it is an old version which was no plugin yet."""
    site.install("callsheet-acme", entry_name="acme", toml=ACME, version="2.0")
    front = type(site)(tmp_path / "front")
    front.folder.mkdir()
    monkeypatch.syspath_prepend(str(front.folder))
    front.install("callsheet-acme", entry_name="acme", toml=ACME, version="1.0")
    assert [p.version for p in site.discover().plugins if p.name == "acme"] == ["1.0"]
    (front.folder / "callsheet_acme-1.0.dist-info" / "entry_points.txt").write_text("[console_scripts]\n")
    assert [p for p in site.discover().plugins if p.name == "acme"] == []


def test_two_owners_of_a_provider_are_both_out_until_pinned(site) -> None:
    """The problem names both and the ways out; a pin settles it."""
    site.install("callsheet-acme", entry_name="acme", toml=ACME)
    site.install("acme-fork", entry_name="acme-fork", toml=ACME, version="3.0")
    discovery = site.discover()
    for name in ("acme", "acme-fork"):
        problem = discovery.plugin(name).problem
        assert not discovery.plugin(name).usable
        assert "callsheet-acme 1.0" in problem
        assert "acme-fork 3.0" in problem
        assert "CALLSHEET_PLUGINS_DISABLED=" in problem
        assert "[plugins.pins] acme = " in problem
    pinned = site.discover(pins={"acme": "Acme_Fork"})
    assert pinned.owner("acme").name == "acme-fork"
    assert "pinned to Acme_Fork" in pinned.plugin("acme").skipped
    assert pinned.problems == ()
    denied = site.discover(deny=["acme-fork"])
    assert denied.owner("acme").name == "acme"
    elsewhere = site.discover(pins={"acme": "not-here"})
    assert elsewhere.owner("acme").usable is False
    assert "pinned to not-here, which is not installed" in elsewhere.plugin("acme").problem


def test_two_plugins_of_one_name_are_both_out(site) -> None:
    """An entry point's name is what commands and settings use."""
    site.install("callsheet-acme", entry_name="acme", toml=ACME)
    site.install("other", entry_name="acme", toml=ACME.replace('"acme"', '"other"'))
    assert [p.usable for p in site.discover().plugins if p.name == "acme"] == [False, False]
    assert "the plugin 'acme' is claimed by" in site.discover().plugin("acme").problem


@pytest.mark.parametrize(
    ("options", "used", "why"),
    [
        ({}, True, ""),
        ({"allow": ["acme"]}, True, ""),
        ({"allow": ["Callsheet.Acme"]}, True, ""),
        ({"allow": []}, False, "[plugins] allow"),
        ({"deny": ["ACME"]}, False, "[plugins] deny"),
        ({"environ": {"CALLSHEET_PLUGINS": "x, callsheet_acme"}}, True, ""),
        ({"environ": {"CALLSHEET_PLUGINS": ""}}, False, "CALLSHEET_PLUGINS allows"),
        ({"environ": {"CALLSHEET_PLUGINS": "other"}}, False, "CALLSHEET_PLUGINS allows"),
        ({"environ": {"CALLSHEET_PLUGINS_DISABLED": "acme,"}}, False, "CALLSHEET_PLUGINS_DISABLED"),
        ({"environ": {"CALLSHEET_PLUGINS_DISABLED": ""}}, True, ""),
        ({"allow": ["acme"], "environ": {"CALLSHEET_PLUGINS": "other"}}, False, "CALLSHEET_PLUGINS allows"),
    ],
)
def test_allow_and_deny_act_before_anything_is_looked_for(
    site, monkeypatch: pytest.MonkeyPatch, options: dict[str, object], used: bool, why: str
) -> None:
    """Names of entry points and distributions, in any spelling; a plugin that is out is not even located."""
    looked: list[str] = []

    def spy(name: str):
        looked.append(name)
        return find_spec(name)

    monkeypatch.setattr("callsheet.discovery.find_spec", spy)
    site.install("callsheet-acme", entry_name="acme", toml=ACME)
    found = site.discover(**options).plugin("acme")
    assert found.usable is used
    assert why in found.skipped
    assert ("callsheet_acme" in looked) is used


def test_control_characters_in_a_name_are_shown_escaped(site) -> None:
    """A name cannot move the cursor of whoever lists it."""
    site.install("callsheet-acme", entry_name="ac\x1b[2Jme", toml=ACME)
    discovery = site.discover()
    assert [p.problem[:12] for p in discovery.plugins if p.distribution == "callsheet-acme"] == ["its name has"]
    assert all(line.isprintable() for line in discovery.problems)
    assert any(r"ac\x1b[2Jme" in line for line in discovery.problems)


def test_what_the_application_hands_over_takes_the_place_of_what_is_installed(site) -> None:
    """By name and by provider."""
    site.install("callsheet-acme", entry_name="acme", toml=ACME)
    given = FoundPlugin("mine", "", "mine", "", manifest=site.discover().plugin("acme").manifest)
    both = Discovery(tuple(p for p in site.discover().plugins if p.name == "acme")).embedding([given])
    assert both.plugins == (given,)


def test_the_real_simulator_is_found() -> None:
    """The workspace's own plugin, as it is installed."""
    found = discover(environ={}).plugin("mock")
    assert found.problem == ""
    assert found.manifest.simulates


def test_listing_imports_no_plugin_and_nothing_heavy(site) -> None:
    """Fifty models of a plugin whose import fails are searched in a fresh process."""
    rows = "\n".join(f'[[models]]\nmodel = "m{i}"\noperation = "text.generate"\n' for i in range(50))
    site.install("callsheet-acme", entry_name="acme", toml=ACME + rows, code=RAISES)
    program = (
        "import sys\n"
        "from callsheet.discovery import discover\n"
        "from callsheet.catalog import Catalog\n"
        "catalog = Catalog(discover(allow=['acme']))\n"
        "assert len(catalog.search(operation='text.generate')) == 51\n"
        "assert str(catalog.find('acme:m3')) == 'acme:m3'\n"
        "heavy = {'callsheet_acme', 'pydantic', 'pluggy', 'structlog', 'rich', 'jinja2', 'httpx', 'httpx2', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    path = [str(site.folder), *(p for p in sys.path if p)]
    environ = {"PYTHONPATH": ":".join(path), "PATH": "/usr/bin:/bin", "CALLSHEET_NO_CACHE": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_the_host_and_the_registry_import_nothing_heavy_before_a_plugin_is_loaded() -> None:
    """They are part of every command that calls something."""
    program = (
        "import sys, callsheet.config, callsheet.plugin_host, callsheet.registry\n"
        "print(sorted({'pydantic', 'pluggy', 'structlog', 'rich', 'jinja2', 'importlib_metadata'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
