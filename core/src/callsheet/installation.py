"""How distributions come into the environment that callsheet runs in, and out of it: the command of the installer that is there.

An environment made by `uv tool install` is made anew at each `uv tool upgrade`, out of a receipt that uv keeps in it. What is to
outlive that has to stand there: so the tool is installed once more, with all that the receipt names and the change.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from callsheet.discovery import Discovery, FoundPlugin, normalised
from callsheet.doctor import look_alike
from callsheet.errors import ConfigError
from callsheet.install_hints import install_hints
from callsheet.toml_tables import near_or_known, plain

__all__ = ["Command", "Wanted", "install_command", "installed_distribution", "remove_command", "wanted"]

CORE = "callsheet"
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)(?P<extras>\[[\w.,-]+\])?"
    r"(?P<versions>(?:(?:===?|[<>~!]=|[<>])[\w.*+!]+)(?:,(?:===?|[<>~!]=|[<>])[\w.*+!]+)*)?",
    re.ASCII,
)
_KNOWN_OF_RECEIPT = frozenset({"requirements", "python", "entrypoints"})
_KNOWN_OF_REQUIREMENT = frozenset({"name", "extras", "specifier", "marker", "path", "directory", "editable", "url"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be installed: a requirement or the path of a file, or (`editable`) the folder of somebody's own package."""

    text: str
    distribution: str
    editable: bool = False

    def arguments(self, flag: str, editable_flag: str) -> list[str]:
        """It in a command line; a requirement has no flag where `flag` is empty."""
        given = editable_flag if self.editable else flag
        return [given, self.text] if given else [self.text]


@dataclass(frozen=True, slots=True)
class Command:
    """A command line, with the variables that it needs. `tool` is empty where nothing is here that could carry it out."""

    words: tuple[str, ...]
    tool: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """It as one would type it."""
        import shlex

        return shlex.join([*(f"{name}={value}" for name, value in self.variables.items()), *self.words])


def wanted(name: str) -> Wanted:
    """What a name stands for: a path, a provider that callsheet knows, or a distribution.

    A name without `callsheet` in it is that of a provider: `acme` is `callsheet-acme`, and never a stranger's `acme`.
    Raises ConfigError.
    """
    path = Path(name).expanduser()
    if name.startswith((".", "/", "~")) or os.sep in name or name.endswith((".whl", ".tar.gz")):
        return _of_path(name, path)
    found = _REQUIREMENT.fullmatch(name)
    if found is None:
        raise ConfigError(
            f"{name!r} is no plugin: give the name of a plugin (acme), its distribution (callsheet-acme) or a path"
        )
    known, _ = install_hints()
    given = normalised(found["name"])
    distribution = known.get(given) or (given if CORE in given else f"{CORE}-{given}")
    if distribution == CORE:
        raise ConfigError(f"{CORE} itself is no plugin: upgrade it with what has installed it")
    meant = look_alike(distribution, [*known.values(), CORE])
    if meant:
        raise ConfigError(f"{name!r} has a name like {meant} and is not it: did you mean {meant}?")
    return Wanted(distribution + (found["extras"] or "") + (found["versions"] or ""), distribution)


def _of_path(name: str, path: Path) -> Wanted:
    whole = str(path.resolve())
    if path.is_file():
        return Wanted(whole, normalised(path.name.partition("-")[0]))
    if not (path / "pyproject.toml").is_file():
        raise ConfigError(
            f"{name}: there is no package in it (no pyproject.toml)" if path.is_dir() else f"no file {name}"
        )
    try:
        project = tomllib.loads((path / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return Wanted(whole, normalised(str(project["name"])), editable=True)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"{name}/pyproject.toml names no package: {error}") from None


def installed_distribution(name: str, discovery: Discovery) -> str:
    """The distribution of an installed plugin, by its name, provider or distribution. Raises ConfigError."""
    if normalised(name) == CORE:
        raise ConfigError(f"{CORE} itself is no plugin: remove it with what has installed it")
    named: list[FoundPlugin | None] = [discovery.plugin(name), discovery.owner(name)]
    named += [each for each in discovery.plugins if normalised(each.distribution) == normalised(name)]
    found = next((each for each in named if each is not None and each.distribution), None)
    if found is None:
        known = sorted({each.name for each in discovery.plugins})
        raise ConfigError(f"no plugin {name!r} is installed{near_or_known(name, known)}")
    if normalised(found.distribution) == CORE:
        raise ConfigError(f"{name} is a part of {CORE} itself, and cannot be removed")
    return found.distribution


def install_command(asked: Iterable[Wanted], environ: Mapping[str, str]) -> Command:
    """What installs these into this environment. Raises ConfigError for a receipt of uv's that cannot be carried over."""
    listed = list(asked)
    if _receipt().is_file():
        return _tool_command(listed, (), environ)
    things = [word for each in listed for word in each.arguments("", "-e")]
    return _in_place(["install", *things], ["install", *things], environ)


def remove_command(distributions: Iterable[str], environ: Mapping[str, str]) -> Command:
    """What removes these from this environment. Raises ConfigError as `install_command` does."""
    names = list(distributions)
    if _receipt().is_file():
        return _tool_command([], names, environ)
    return _in_place(["uninstall", *names], ["uninstall", "-y", *names], environ)


def _in_place(of_uv: list[str], of_pip: list[str], environ: Mapping[str, str]) -> Command:
    uv = ("uv", "pip", of_uv[0], "--python", sys.executable, *of_uv[1:])
    tool = shutil.which("uv", path=environ.get("PATH"))
    if tool is None and find_spec("pip") is not None:
        return Command((sys.executable, "-m", "pip", *of_pip), sys.executable)
    return Command(uv, tool or "")


def _receipt() -> Path:
    return Path(sys.prefix) / "uv-receipt.toml"


def _tool_command(more: list[Wanted], less: Iterable[str], environ: Mapping[str, str]) -> Command:
    path = _receipt()
    try:
        receipt = tomllib.loads(path.read_text(encoding="utf-8"))["tool"]
        rows = {normalised(row["name"]): row for row in receipt["requirements"]}
        strange = {*receipt} - _KNOWN_OF_RECEIPT | {key for row in rows.values() for key in row} - _KNOWN_OF_REQUIREMENT
        bins = {str(Path(each["install-path"]).parent) for each in receipt.get("entrypoints", ())}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{plain(path)} cannot be read: {error}; install callsheet anew: uv tool install") from None
    if strange or CORE not in rows:
        what = f"it was installed with {', '.join(sorted(strange))}" if strange else f"{CORE} is not what it is for"
        remedy = "repeat the `uv tool install` that made it, with --with for each plugin"
        raise ConfigError(f"callsheet cannot repeat how this tool's environment was made: {what}; {remedy}")
    for name in map(normalised, less):
        if name not in rows:
            raise ConfigError(f"{name} was installed by another package, and goes with that: see {plain(path)}")
        del rows[name]
    for each in more:
        rows.pop(each.distribution, None)
    core = _of_receipt(rows.pop(CORE))
    words = ["uv", "tool", "install", *core.arguments("", "--editable")]
    for each in [*map(_of_receipt, rows.values()), *more]:
        words += each.arguments("--with", "--with-editable")
    if receipt.get("python"):
        words += ["--python", str(receipt["python"])]
    variables = {"UV_TOOL_DIR": str(path.parent.parent)}
    if len(bins) == 1:
        variables["UV_TOOL_BIN_DIR"] = bins.pop()
    return Command(tuple(words), shutil.which("uv", path=environ.get("PATH")) or "", variables)


def _of_receipt(row: Mapping[str, object]) -> Wanted:
    name = str(row["name"])
    for key in ("editable", "directory", "path"):
        if key in row:
            return Wanted(str(row[key]), normalised(name), editable=key == "editable")
    extras = row.get("extras")
    text = name + (f"[{','.join(map(str, extras))}]" if isinstance(extras, list) and extras else "")
    text += f" @ {row['url']}" if "url" in row else str(row.get("specifier", ""))
    return Wanted(f"{text} ; {row['marker']}" if "marker" in row else text, normalised(name))
