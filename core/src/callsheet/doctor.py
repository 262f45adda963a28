"""What is wrong with the installed plugins, and what to do about each problem."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from callsheet.catalog import Catalog
from callsheet.discovery import DENY_VARIABLE, GROUP, Discovery, FoundPlugin, normalised
from callsheet.plugin_faults import remedy_of
from callsheet.plugin_trial import Outcome
from callsheet.toml_tables import plain

__all__ = ["Finding", "diagnose", "examine_distributions", "look_alike"]

MAX_PTH = 64 << 10
SHOWN = 5
_OWN = "callsheet-"
_SHORT = 6
_CODE_IN_PTH = re.compile(r"import[ \t]")
_EDITABLE_CODE = re.compile(r"import (__editable__\w+); ?\1\.install\(\)")


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem. `kind` is one of metadata, plugin, provider, model, import, hook, hang, crash, stdout, pth, look-alike, modules, scripts."""

    kind: str
    distribution: str
    problem: str
    remedy: str

    @property
    def line(self) -> str:
        """The problem and its remedy in one line that is safe to show."""
        named = not self.distribution or self.distribution in self.problem
        text = f"{self.problem if named else f'{self.distribution}: {self.problem}'}; {self.remedy}"
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def diagnose(
    discovery: Discovery, catalog: Catalog, outcomes: Iterable[Outcome], known: Iterable[str] = ()
) -> list[Finding]:
    """All that is wrong: in what was found, in the model rows, in what came of trying the plugins, in what they install.

    `known` are the distributions that others may pretend to be.
    """
    of_plugins = {f"{found.name} ({found.label}): {found.problem}" for found in discovery.plugins}
    findings = [
        Finding("metadata", "", line, "reinstall or remove that distribution: its *.dist-info folder is broken")
        for line in discovery.problems
        if line not in of_plugins
    ]
    findings += [
        Finding("plugin", found.distribution, f"{found.name} ({found.label}): {found.problem}", remedy_of(found))
        for found in discovery.plugins
        if found.problem
    ]
    findings += [
        Finding("provider", "", line, "change callsheet.toml; other providers work")
        for line in catalog.provider_problems()
    ]
    findings += [Finding("model", "", line, "the other models work") for line in catalog.own_problems()]
    ask = "report it to the plugin's author; the other models work"
    findings += [Finding("model", "", line, ask) for line in catalog.problems()]
    findings += [_of_outcome(outcome, discovery) for outcome in outcomes]
    return [*findings, *examine_distributions(known)]


def _of_outcome(outcome: Outcome, discovery: Discovery) -> Finding:
    found = discovery.plugin(outcome.name) or FoundPlugin(outcome.name, "", outcome.name, "")
    problem = outcome.text
    if outcome.trouble == "hang":
        problem = f"{found.label} hangs when it is imported and asked for its handlers: {outcome.text}"
    elif outcome.trouble == "crash":
        problem = f"{found.label} crashes when it is imported and asked for its handlers: {outcome.text}"
    elif outcome.trouble == "stdout":
        problem = f"{found.label} spoils the output of commands: {outcome.text}"
    return Finding(outcome.trouble, found.distribution, problem, outcome.remedy or remedy_of(found))


def examine_distributions(known: Iterable[str]) -> Iterator[Finding]:
    """What plugin distributions install beside their package, and names that look like a known plugin's."""
    import importlib_metadata

    names, seen = sorted({normalised(name) for name in known}), set()
    for distribution in importlib_metadata.distributions():
        try:
            name = str(distribution.metadata["Name"])
            if normalised(name) in seen:
                continue
            seen.add(normalised(name))
            yield from _look_alikes(name, names)
            modules = [
                re.split(r"[.:]", entry.value.strip())[0] for entry in distribution.entry_points if entry.group == GROUP
            ]
            if modules:
                yield from _installed_beside(distribution, plain(name), modules)
        except Exception:  # noqa: BLE001, S112 - discovery has told of metadata that cannot be read
            continue


def _look_alikes(name: str, known: list[str]) -> Iterator[Finding]:
    meant = look_alike(name, known)
    if meant:
        what = f"the distribution {plain(name)} has a name like {meant} and is not it"
        remedy = f"if you meant that one: pip uninstall {plain(name)}, then pip install {meant}"
        yield Finding("look-alike", plain(name), what, remedy)


def look_alike(name: str, known: Iterable[str]) -> str:
    """The known distribution whose name this one resembles by a slip or two of the keyboard, or the empty text."""
    given, known = normalised(name), list(known)
    if given in known:
        return ""
    for other in known:
        mine, theirs = given, other
        if given.startswith(_OWN) and other.startswith(_OWN):
            mine, theirs = given.removeprefix(_OWN), other.removeprefix(_OWN)
        # Short names are near each other by chance: acp, mcp, mock.
        if _distance(mine, theirs) <= (1 if len(theirs) < _SHORT else 2):
            return other
    return ""


def _distance(one: str, other: str) -> int:
    """Letters to insert, leave out, replace or swap with their neighbour."""
    if abs(len(one) - len(other)) > 2:
        return 3
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, b in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]


def _installed_beside(distribution: Any, name: str, modules: list[str]) -> Iterator[Finding]:
    label = f"{name} {plain(distribution.version)}"
    files = [str(file).replace("\\", "/") for file in distribution.files or ()]
    editable = _is_editable(distribution)
    for file in files:
        if file.endswith(".pth") and "/" not in file:
            problem = _pth_problem(distribution, file, editable=editable)
            if problem:
                remedy = f"read that file; remove it with pip uninstall {name}, which {DENY_VARIABLE} cannot do"
                yield Finding("pth", name, f"{label} ships {plain(file)}, {problem}", remedy)
    others = sorted({top for file in files if (top := _top_level(file)) and top not in modules})
    others = [top for top in others if not (editable and top.startswith("__editable__"))]
    if others:
        what = f"{label} installs modules outside of its package {' and '.join(map(plain, modules))}: {_listed(others)}"
        yield Finding(
            "modules", name, what, f"they can stand in for modules of others: look at them, or pip uninstall {name}"
        )
    scripts = {entry.name for entry in distribution.entry_points if entry.group in ("console_scripts", "gui_scripts")}
    scripts |= {file.rpartition("/")[2] for file in files if re.match(r"(\.\./)+(bin|Scripts)/", file)}
    if scripts:
        what = f"{label} installs commands of its own: {_listed(sorted(scripts))}"
        yield Finding("scripts", name, what, f"a plugin needs none: look at them, or pip uninstall {name}")


def _listed(names: list[str]) -> str:
    return ", ".join(map(plain, names[:SHOWN])) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _top_level(file: str) -> str:
    """The module that a file of RECORD makes importable at the top, or the empty text."""
    top, slash, _ = file.partition("/")
    if slash:
        return (
            ""
            if top.endswith((".dist-info", ".egg-info", ".data", ".libs")) or top in ("..", "", "__pycache__")
            else top
        )
    return top.partition(".")[0] if top.endswith((".py", ".pyc", ".so", ".pyd")) else ""


def _is_editable(distribution: Any) -> bool:
    try:
        return bool(json.loads(distribution.read_text("direct_url.json") or "{}")["dir_info"]["editable"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def _pth_problem(distribution: Any, file: str, *, editable: bool) -> str:
    try:
        with open(str(distribution.locate_file(file)), "rb") as opened:  # noqa: PTH123
            text = opened.read(MAX_PTH).decode("utf-8", "replace")
    except OSError:
        return "which cannot be read"
    lines = [line.strip() for line in text.splitlines()]
    if any(_CODE_IN_PTH.match(line) and not (editable and _EDITABLE_CODE.fullmatch(line)) for line in lines):
        return "which runs code whenever Python starts"
    return "" if editable else "which adds folders to the import path of all programs"
