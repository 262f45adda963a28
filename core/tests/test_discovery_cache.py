"""The discovery cache: it saves reading, notices every change, and is believed in nothing else."""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from callsheet import discovery_cache
from callsheet.catalog import Catalog
from callsheet.discovery_cache import DiscoveryCache, Entry
from callsheet.models import ModelRef
from callsheet.plugin_manifest import PluginManifest

ACME = """
api = 1
[provider]
name = "acme"
[[models]]
model = "m"
operation = "text.generate"
aliases = ["em"]
price = [{ per = "run", usd = 0.02, as_of = 2026-08-01, source = "acme.test" }]
data = { since = 2026-08-01T10:00:00Z, at = 10:00:00, limit = inf, names = ["ä", 1] }
"""
MORE = '[[models]]\nmodel = "n"\noperation = "text.generate"\n'


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The packages whose plugin.toml was read."""
    seen: list[str] = []
    read = PluginManifest.read.__func__

    def spy(cls, root: Path, plugin: str = ""):
        seen.append(root.name)
        return read(cls, root, plugin)

    monkeypatch.setattr(PluginManifest, "read", classmethod(spy))
    return seen


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache folder, and files that count as settled as soon as they are written."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(discovery_cache, "FRESH_NS", -(10**18))
    return tmp_path / "cache" / "callsheet"


@pytest.fixture
def acme(site) -> Path:
    """One plugin, found and cached."""
    root = site.install("callsheet-acme", entry_name="acme", toml=ACME, models={"more.toml": MORE})
    site.discover()
    return root


def cached(cache: Path) -> Path:
    """The one cache file."""
    (file,) = cache.iterdir()
    return file


def test_nothing_is_read_that_did_not_change(site, acme, reads, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither metadata nor manifests; and what comes out is the same, with the types that only TOML has."""
    fresh = site.discover(environ={"CALLSHEET_NO_CACHE": "1"})
    assert reads == ["callsheet_acme"]
    monkeypatch.setitem(sys.modules, "importlib_metadata", None)
    warm = site.discover()
    assert warm == fresh
    assert reads == ["callsheet_acme"]
    assert list(warm.plugin("acme").manifest.rows) == list(fresh.plugin("acme").manifest.rows)
    assert reads == ["callsheet_acme"]
    info = Catalog(warm).get(ModelRef("acme", "m"))
    assert info == Catalog(fresh).get(ModelRef("acme", "m"))
    assert (info.price[0].as_of, info.data["limit"]) == ("2026-08-01", float("inf"))


def test_rows_are_decoded_when_they_are_asked_for(site, acme, monkeypatch: pytest.MonkeyPatch) -> None:
    """One provider's rows at a time."""
    site.install("callsheet-beta", entry_name="beta", toml=ACME.replace("acme", "beta"))
    site.discover()
    decoded: list[object] = []
    decode = discovery_cache._decode
    monkeypatch.setattr(discovery_cache, "_decode", lambda *given: decoded.append(given) or decode(*given))
    catalog = Catalog(site.discover())
    assert decoded == []
    assert str(catalog.find("acme:m")) == "acme:m"
    assert str(catalog.find("acme:em")) == "acme:m"
    assert [info.name for info in catalog.search(provider="acme")] == ["acme:m", "acme:n"]
    assert len(decoded) == 1
    assert str(catalog.find("beta:m")) == "beta:m"
    assert len(decoded) == 2


def edit_toml(root: Path) -> None:
    """One digit of a price."""
    (root / "plugin.toml").write_text(ACME.replace("0.02", "0.03"))


def edit_models(root: Path) -> None:
    """One letter of a model's name."""
    (root / "models" / "more.toml").write_text(MORE.replace("n", "o", 1))


def add_models(root: Path) -> None:
    """A file of rows."""
    (root / "models" / "z.toml").write_text(MORE.replace('"n"', '"z"'))


def remove_models(root: Path) -> None:
    """A file of rows less."""
    (root / "models" / "more.toml").unlink()


def replace_with_old(root: Path) -> None:
    """A file of the same size and time put in its place."""
    stat = (root / "plugin.toml").stat()
    (root / "new").write_text(ACME.replace("0.02", "0.09"))
    (root / "new").replace(root / "plugin.toml")
    os.utime(root / "plugin.toml", ns=(stat.st_atime_ns, stat.st_mtime_ns))


def break_toml(root: Path) -> None:
    """No TOML any more."""
    (root / "plugin.toml").write_text("api =")


@pytest.mark.parametrize("edit", [edit_toml, edit_models, add_models, remove_models, replace_with_old, break_toml])
def test_every_edit_is_noticed_at_once(site, acme, edit) -> None:
    """As if there were no cache."""
    before = site.discover(environ={"CALLSHEET_NO_CACHE": "1"})
    assert site.discover() == before
    edit(acme)
    after = site.discover()
    assert after != before
    assert after == site.discover(environ={"CALLSHEET_NO_CACHE": "1"})


def test_every_installation_is_noticed_at_once(site, acme, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new plugin, a changed version, a plugin that is gone, a distribution that becomes a plugin, a package in front."""
    site.install("callsheet-beta", entry_name="beta", toml=ACME.replace("acme", "beta"))
    assert site.discover().plugin("beta").usable
    info = site.folder / "callsheet_beta-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: callsheet-beta\nVersion: 2.0\n")
    assert site.discover().plugin("beta").version == "2.0"
    (info / "entry_points.txt").write_text("[console_scripts]\nx = y:z\n")
    assert site.discover().plugin("beta") is None
    (info / "entry_points.txt").write_text("[callsheet]\nbetty = callsheet_beta\n")
    assert site.discover().plugin("betty").usable
    front = tmp_path / "front" / "callsheet_acme"
    front.mkdir(parents=True)
    (front / "__init__.py").touch()
    assert site.discover().plugin("acme").root == acme
    monkeypatch.syspath_prepend(str(front.parent))
    assert "wheel without plugin.toml" in site.discover().plugin("acme").problem


def test_broken_plugins_are_looked_at_each_time(site, reads) -> None:
    """They are not cached, so that a repair is seen; the lines about unreadable metadata stay."""
    root = site.install("callsheet-acme", entry_name="acme", toml="api = 9")
    info = site.folder / "bytes-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: bytes\nVersion: 1\n")
    (info / "entry_points.txt").write_bytes(b"[callsheet]\n\xff\n")
    first, second = site.discover(), site.discover()
    assert first == second
    assert len(second.problems) == 2
    assert reads == ["callsheet_acme"] * 2
    (root / "plugin.toml").write_text(ACME)
    assert site.discover().plugin("acme").usable


def test_a_disabled_plugin_stays_cached(site, acme, reads) -> None:
    """It is not located while it is out; afterwards nothing has to be read."""
    site.install("callsheet-beta", entry_name="beta", toml=ACME.replace("acme", "beta"))
    assert site.discover(deny=["acme"]).plugin("acme").manifest is None
    assert reads == ["callsheet_beta"]
    assert site.discover().plugin("acme").usable
    assert reads == ["callsheet_beta"]


SPOILERS = {
    "empty": lambda data: b"",
    "binary": lambda data: b"\x00\xff",
    "third": lambda data: data[: len(data) // 3],
    "cut": lambda data: data[:-40],
    "rows": lambda data: data.replace(b"text.generate", b"audio.produce"),
    "deep": lambda data: b"[" * 100_000 + b"\n",
    "list": lambda data: b"[]\n",
    "future": lambda data: data.replace(b'"format":1', b'"format":2', 1),
}


@pytest.mark.parametrize("spoil", SPOILERS.values(), ids=SPOILERS)
def test_a_cache_that_is_broken_is_ignored(site, acme, cache: Path, spoil) -> None:
    """And replaced."""
    expected = site.discover(environ={"CALLSHEET_NO_CACHE": "1"})
    file = cached(cache)
    file.write_bytes(spoil(file.read_bytes()))
    assert site.discover() == expected
    assert Catalog(site.discover()).problems() == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("entries", [["acme"]]),
        ("entries", {"acme": 1}),
        ("entries", [[1, 2, 3, 4]]),
        ("problems", 7),
        ("problems", [None]),
        ("plugins", []),
        ("signature", None),
    ],
)
def test_a_cache_of_the_wrong_shape_is_built_anew(site, acme, cache: Path, key: str, value: object) -> None:
    """Whatever stands in it, only what has the right types is taken."""
    expected = site.discover(environ={"CALLSHEET_NO_CACHE": "1"})
    head, body = cached(cache).read_bytes().split(b"\n", 1)
    cached(cache).write_bytes(json.dumps({**json.loads(head), key: value}).encode() + b"\n" + body)
    assert site.discover() == expected


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, 1),
        (2, []),
        (3, {"api": 1, "provider": {"name": "acme", "origin": "http://evil.example"}}),
        (3, []),
        (4, 10**30),
        (4, -1),
        (5, 3),
        (6, 0),
        (7, "x"),
    ],
)
def test_a_record_that_does_not_pass_the_checks_is_read_again(site, acme, cache, index: int, value: object) -> None:
    """A manifest out of the cache is checked as one out of the file, and rows by their sum."""
    expected = site.discover(environ={"CALLSHEET_NO_CACHE": "1"})
    head, body = cached(cache).read_bytes().split(b"\n", 1)
    header = json.loads(head)
    header["plugins"][str(acme)][index] = value
    cached(cache).write_bytes(json.dumps(header).encode() + b"\n" + body)
    assert site.discover() == expected


def test_the_cache_can_be_switched_off_or_be_impossible(site, acme, cache: Path, monkeypatch, tmp_path) -> None:
    """Then everything is read, and nothing is written."""
    cached(cache).unlink()
    site.discover(environ={"CALLSHEET_NO_CACHE": "1"})
    assert list(cache.iterdir()) == []
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert site.discover().plugin("acme").usable
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    class Finder:
        def find_distributions(self, context=None):
            return ()

        def find_spec(self, name, path=None, target=None):
            return None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert site.discover().plugin("acme").usable
    assert list(cache.iterdir()) == []


def test_files_that_have_just_changed_are_not_cached(site, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may change once more within a tick of the clock."""
    monkeypatch.setattr(discovery_cache, "FRESH_NS", 10**18)
    site.install("callsheet-acme", entry_name="acme", toml=ACME)
    assert site.discover().plugin("acme").usable
    assert not cache.exists()


def test_many_at_once_leave_a_whole_file(site, acme, cache: Path) -> None:
    """Each process replaces the file as a whole."""
    expected = site.discover()

    def work(number: int) -> object:
        if number % 3 == 0:
            cached_files = list(cache.glob("*.jsonl"))
            for file in cached_files:
                file.unlink(missing_ok=True)
        return site.discover()

    with ThreadPoolExecutor(8) as pool:
        assert all(found == expected for found in pool.map(work, range(64)))
    assert [path.suffix for path in cache.iterdir()] in ([".jsonl"], [])


def test_old_caches_are_thrown_away(site, acme, cache: Path) -> None:
    """The newest stay, and the drafts of processes that may still be at work."""
    for number in range(discovery_cache.KEPT_FILES + 5):
        (cache / f"discovery-{number}.jsonl").touch()
        os.utime(cache / f"discovery-{number}.jsonl", (number, number))
    (cache / "discovery-1.jsonl.aa.tmp").touch()
    (cache / "discovery-2.jsonl.bb.tmp").touch()
    os.utime(cache / "discovery-2.jsonl.bb.tmp", (1, 1))
    edit_toml(acme)
    site.discover()
    names = {path.name for path in cache.iterdir()}
    assert "discovery-0.jsonl" not in names
    assert {"discovery-1.jsonl.aa.tmp"} == {name for name in names if name.endswith(".tmp")}
    assert len(names) == discovery_cache.KEPT_FILES + 1


def test_a_cache_without_a_file_does_nothing(tmp_path: Path) -> None:
    """Every look-up misses."""
    cache = DiscoveryCache(None, ())
    entry = Entry("a", "b", "c", "1")
    assert (cache.entries(), cache.manifest(entry, tmp_path)) == (None, None)
    cache.keep_entries([entry], [])
    cache.keep_manifest(entry, tmp_path, PluginManifest(), {"api": 1})
    cache.save()
    assert list(tmp_path.iterdir()) == []


def test_what_json_cannot_say_is_not_cached(tmp_path: Path) -> None:
    """Nothing that TOML gives; only to be safe."""
    cache = DiscoveryCache(tmp_path / "c", (), clock=time.time_ns)
    entry = Entry("a", "b", "c", "1")
    cache.manifest(entry, tmp_path)
    cache.keep_manifest(entry, tmp_path, PluginManifest(), {"api": object()})
    cache.keep_entries([entry], [])
    cache.save()
    assert json.loads((tmp_path / "c").read_bytes())["plugins"] == {}
