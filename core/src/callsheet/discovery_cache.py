"""What discovery found the last time: a file that saves work and is believed in nothing but speed.

Which plugins are installed is taken from it while no metadata folder on sys.path has changed; what a plugin's
`plugin.toml` says, while that file and `models/*.toml` have not. What comes out of it passes the same checks as the
files themselves; a cache that is broken, foreign or out of date is built anew.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime
from datetime import time as time_of_day
from pathlib import Path
from typing import NamedTuple, overload
from zlib import crc32

from callsheet.plugin_manifest import MANIFEST_NAME, ModelRow, PluginManifest
from callsheet.user_folders import user_folder

__all__ = ["NO_CACHE_VARIABLE", "DiscoveryCache", "Entry"]

NO_CACHE_VARIABLE = "CALLSHEET_NO_CACHE"
FORMAT = 1
MAX_BYTES = 64 << 20
KEPT_FILES = 32
FRESH_NS = 50_000_000
"""A file that changed less than this ago may change again within one tick of its file system's clock."""

_METADATA = (".dist-info", ".egg-info", "egg-info")
_TYPED = "callsheet-toml"

Json = list[object]


class Entry(NamedTuple):
    """An entry point of an installed distribution."""

    name: str
    value: str
    distribution: str
    version: str


class _Record(NamedTuple):
    """A plugin's manifest as it was read: what its files looked like, and where its rows lie behind the header."""

    distribution: str
    version: str
    stamps: Json
    top: Mapping[str, object]
    start: int
    length: int
    check: int
    typed: bool


class DiscoveryCache:
    """The cache of one sys.path. Every look-up gives None when the file knows nothing that still holds."""

    def __init__(self, file: Path | None, paths: Sequence[str], clock: Callable[[], int] = time.time_ns) -> None:
        self._file = file
        self._clock = clock
        self._signature: Json = _signature(paths) if file else []
        self._known: Mapping[str, object] = {}
        self._body = 0
        self._entries: tuple[list[Entry], list[str]] | None = None
        self._stamps: dict[str, Json] = {}
        self._kept: dict[str, tuple[_Record, bytes | None]] = {}
        self._changed = False
        if file:
            self._known, self._body = _load(file)

    @classmethod
    def open(cls, environ: Mapping[str, str]) -> DiscoveryCache:
        """The cache of this process's sys.path; one without a file when it is switched off or would not be safe."""
        if environ.get(NO_CACHE_VARIABLE, "") not in ("", "0") or _has_other_finders():
            return cls(None, ())
        paths = [os.path.abspath(path) if path else _working_folder() for path in sys.path if isinstance(path, str)]  # noqa: PTH100
        mark = crc32("\0".join(paths).encode("utf-8", "surrogateescape"))
        try:
            folder = user_folder("cache")
        except (OSError, RuntimeError):
            return cls(None, ())
        return cls(folder / f"discovery-{mark:08x}.jsonl", paths)

    def entries(self) -> tuple[list[Entry], list[str]] | None:
        """The entry points that were found, and the lines about distributions that could not be read."""
        if self._file and self._known.get("signature") == self._signature:
            self._entries = _entries_of(self._known)
        return self._entries

    def keep_entries(self, entries: list[Entry], problems: list[str]) -> None:
        """Remember the entry points."""
        self._entries, self._changed = (entries, problems), True

    def manifest(self, entry: Entry, root: Path) -> PluginManifest | None:
        """The manifest of the plugin whose package lies in `root`; its rows are decoded when they are looked at."""
        if not self._file:
            return None
        self._stamps[str(root)] = stamps = _manifest_stamps(root)
        record = self._record(str(root))
        if record is None or record[:3] != (entry.distribution, entry.version, stamps):
            return None
        try:
            manifest = PluginManifest.parse(record.top, str(root / MANIFEST_NAME), entry.distribution)
        except Exception:  # noqa: BLE001 - whatever a wrong cache does, the file itself is read then
            return None
        self._kept[str(root)] = (record, None)
        if manifest.provider is None or not record.length:
            return manifest

        def rows() -> Sequence[ModelRow]:
            found = _decode(self._rows_of(record), record.typed)
            return PluginManifest.find(root, entry.distribution).rows if found is None else found

        return replace(manifest, rows=_LazyRows(rows))

    def keep_manifest(self, entry: Entry, root: Path, manifest: PluginManifest, top: Mapping[str, object]) -> None:
        """Remember a manifest that was read just now; `top` is its data without the rows."""
        stamps = self._stamps.get(str(root))
        if stamps is None or self._is_fresh(stamps):
            return
        try:
            rows, typed = _encode(manifest.rows)
            json.dumps(top)
        except (TypeError, ValueError, RecursionError):
            return
        record = _Record(entry.distribution, entry.version, stamps, top, 0, len(rows), crc32(rows), typed)
        self._kept[str(root)] = (record, rows)
        self._changed = True

    def save(self) -> None:
        """Write what is new, if anything. A cache that cannot be written is none."""
        if not self._file or not self._changed or self._entries is None or self._is_fresh(self._signature):
            return
        entries, problems = self._entries
        self._keep_others({entry.distribution for entry in entries})
        body, plugins = bytearray(), {}
        for root, (record, new) in self._kept.items():
            rows = self._rows_of(record) if new is None else new
            if rows is not None:
                plugins[root] = record._replace(start=len(body))
                body += rows
        header = {
            "format": FORMAT,
            "signature": self._signature,
            "entries": entries,
            "problems": problems,
            "plugins": plugins,
        }
        _write(self._file, json.dumps(header, separators=(",", ":")).encode("ascii") + b"\n" + body)

    def _keep_others(self, distributions: set[str]) -> None:
        """Keep what is known of plugins that were not asked for this time, because they are disabled."""
        plugins = self._known.get("plugins")
        for root in plugins if isinstance(plugins, dict) else ():
            record = self._record(root) if root not in self._stamps else None
            if record is not None and record.distribution in distributions:
                self._kept[root] = (record, None)

    def _record(self, root: str) -> _Record | None:
        plugins = self._known.get("plugins")
        raw = plugins.get(root) if isinstance(plugins, dict) else None
        if not isinstance(raw, list) or len(raw) != len(_Record._fields):
            return None
        kinds = (str, str, list, dict, int, int, int, bool)
        if not all(isinstance(value, kind) for value, kind in zip(raw, kinds, strict=True)):
            return None
        record = _Record(*raw)
        return record if record.start >= 0 and 0 <= record.length <= MAX_BYTES else None

    def _rows_of(self, record: _Record) -> bytes | None:
        """The rows as they stand in the file; None when another process has put a different file there meanwhile."""
        if not record.length or self._file is None:
            return b""
        try:
            with self._file.open("rb") as opened:
                opened.seek(self._body + record.start)
                rows = opened.read(record.length)
        except (OSError, ValueError):
            return None
        return rows if crc32(rows) == record.check else None

    def _is_fresh(self, stamps: Json) -> bool:
        return max(_times(stamps), default=0) > self._clock() - FRESH_NS


class _LazyRows(Sequence[ModelRow]):
    """Rows that are fetched when they are looked at."""

    def __init__(self, fetch: Callable[[], Sequence[ModelRow]]) -> None:
        self._fetch = fetch
        self._rows: Sequence[ModelRow] | None = None

    def _all(self) -> Sequence[ModelRow]:
        if self._rows is None:
            self._rows = self._fetch()
        return self._rows

    @overload
    def __getitem__(self, index: int) -> ModelRow: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ModelRow]: ...
    def __getitem__(self, index: int | slice) -> ModelRow | Sequence[ModelRow]:
        return self._all()[index]

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[ModelRow]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


def _has_other_finders() -> bool:
    """True when distributions may come from somewhere that has no folders to look at."""
    from importlib.machinery import PathFinder

    return any(
        getattr(finder, "find_distributions", None) is not None
        and finder is not PathFinder
        and type(finder).__module__ != "importlib_metadata"
        for finder in sys.meta_path
    )


def _working_folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        return "."


def _stamp(path: str) -> list[int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - some hundred of them at every start: no Path objects
    except (OSError, ValueError):
        return None
    return [found.st_mtime_ns, found.st_ctime_ns, found.st_size]


def _signature(paths: Sequence[str]) -> Json:
    """Every metadata folder on the path with what shows that it changed."""
    return [[path, *_metadata_in(path)] for path in paths]


def _metadata_in(path: str) -> Json:
    try:
        with os.scandir(path) as items:
            names = sorted(item.name for item in items if item.name.lower().endswith(_METADATA))
    except (OSError, ValueError):
        return [_stamp(path)]  # an archive, or nothing
    stamps: Json = []
    for name in names:
        place = f"{path}/{name}"
        about = "METADATA" if name.endswith(".dist-info") else "PKG-INFO"
        stamps.append([name, _stamp(place), _stamp(f"{place}/entry_points.txt"), _stamp(f"{place}/{about}")])
    return stamps


def _manifest_stamps(root: Path) -> Json:
    folder = str(root)
    names = [MANIFEST_NAME]
    with suppress(OSError):
        names += sorted(f"models/{name}" for name in os.listdir(f"{folder}/models") if name.endswith(".toml"))  # noqa: PTH208
    return [[name, _stamp(f"{folder}/{name}")] for name in names]


def _times(stamps: object) -> Iterator[int]:
    """The times of change in a nest of stamps."""
    if isinstance(stamps, list):
        if stamps and isinstance(stamps[0], int):
            yield from stamps[:2]
        else:
            for each in stamps:
                yield from _times(each)


def _load(file: Path) -> tuple[Mapping[str, object], int]:
    """The header and its length; empty when this is no cache of ours."""
    try:
        with file.open("rb") as opened:
            head = opened.readline(MAX_BYTES)
        header = json.loads(head)
    except (OSError, ValueError, RecursionError):
        return {}, 0
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        return {}, 0
    return header, len(head)


def _entries_of(header: Mapping[str, object]) -> tuple[list[Entry], list[str]] | None:
    entries, problems = header.get("entries"), header.get("problems")
    if not isinstance(entries, list) or not _are_texts(problems):
        return None
    if not all(_are_texts(entry) and len(entry) == len(Entry._fields) for entry in entries):
        return None
    return [Entry(*entry) for entry in entries], list(problems)  # type: ignore[call-overload]


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _encode(rows: Sequence[ModelRow]) -> tuple[bytes, bool]:
    """The rows by file, and whether there are values in them that JSON does not have. Raises TypeError, ValueError."""
    typed = False

    def special(value: object) -> object:
        nonlocal typed
        if not isinstance(value, (date, time_of_day)):
            raise TypeError
        typed = True
        return {_TYPED: [type(value).__name__, value.isoformat()]}

    files: dict[str, list[object]] = {}
    for row in rows:
        files.setdefault(row.file, []).append(row.values)
    if not files:
        return b"", False
    text = json.dumps(list(files.items()), separators=(",", ":"), default=special)
    return text.encode("ascii"), typed


def _decode(data: bytes | None, typed: bool) -> tuple[ModelRow, ...] | None:  # noqa: FBT001
    if data is None:
        return None
    kinds = {kind.__name__: kind for kind in (date, datetime, time_of_day)}

    def special(table: dict[str, object]) -> object:
        value = table.get(_TYPED)
        if len(table) == 1 and isinstance(value, list):
            kind, text = value
            return kinds[kind].fromisoformat(text)
        return table

    try:
        files = json.loads(data, object_hook=special if typed else None)
        return tuple(ModelRow(str(file), dict(values)) for file, rows in files for values in rows)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _write(file: Path, data: bytes) -> None:
    """Put the file in its place whole: other processes read the old one or the new one."""
    draft = file.with_name(f"{file.name}.{os.urandom(6).hex()}.tmp")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.write_bytes(data)
        draft.replace(file)
        _tidy(file.parent)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _tidy(folder: Path) -> None:
    """Keep the newest caches only, and no drafts of processes that died."""
    files = sorted(((path.stat().st_mtime, path) for path in folder.glob("discovery-*")), reverse=True)
    caches = [path for _, path in files if path.suffix == ".jsonl"]
    yesterday = time.time() - 86_400
    for path in [*caches[KEPT_FILES:], *(path for at, path in files if path.suffix == ".tmp" and at < yesterday)]:
        path.unlink(missing_ok=True)
