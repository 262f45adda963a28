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
from callsheet.secrets import Redactor
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
        """It as one would type it; but for what proves who one is in URLs, which is masked."""
        import shlex

        words = [*(f"{name}={value}" for name, value in self.variables.items()), *self.words]
        return shlex.join(map(Redactor().text, words))


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
    distribution = _not_the_core(known.get(given) or (given if CORE in given else f"{CORE}-{given}"))
    meant = look_alike(distribution, [*known.values(), CORE])
    if meant:
        raise ConfigError(f"{name!r} has a name like {meant} and is not it: did you mean {meant}?")
    return Wanted(distribution + (found["extras"] or "") + (found["versions"] or ""), distribution)


def _not_the_core(distribution: str) -> str:
    if distribution == CORE:
        raise ConfigError(f"{CORE} itself is no plugin: upgrade it with what has installed it")
    return distribution


def _of_path(name: str, path: Path) -> Wanted:
    whole = _place(path.resolve())
    if path.is_file():
        # the version is the last part of an sdist's name, the second one of a wheel's
        stem = path.name.rpartition("-")[0] if name.endswith(".tar.gz") else path.name.partition("-")[0]
        return Wanted(whole, _not_the_core(normalised(stem)))
    if not (path / "pyproject.toml").is_file():
        raise ConfigError(
            f"{name}: there is no package in it (no pyproject.toml)" if path.is_dir() else f"no file {name}"
        )
    try:
        project = tomllib.loads((path / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return Wanted(whole, _not_the_core(normalised(str(project["name"]))), editable=True)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"{name}/pyproject.toml names no package: {error}") from None


def _place(path: Path) -> str:
    """A path in a command line: uv takes a comma for the end of a requirement."""
    return path.as_uri() if "," in str(path) else str(path)


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
        rows = [(normalised(row["name"]), row) for row in receipt["requirements"]]
        strange = {*receipt} - _KNOWN_OF_RECEIPT | {key for _, row in rows for key in row} - _KNOWN_OF_REQUIREMENT
        bins = {str(Path(each["install-path"]).parent) for each in receipt.get("entrypoints", ())}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{plain(path)} cannot be read: {error}; install callsheet anew: uv tool install") from None
    cores = [row for name, row in rows if name == CORE]
    if strange or len(cores) != 1:
        what = f"it was installed with {', '.join(sorted(strange))}" if strange else f"{CORE} is not what it is for"
        remedy = "repeat the `uv tool install` that made it, with --with for each plugin"
        raise ConfigError(f"callsheet cannot repeat how this tool's environment was made: {what}; {remedy}")
    gone = {CORE, *map(normalised, less)}
    for name in gone - {name for name, _ in rows}:
        raise ConfigError(f"{name} was installed by another package, and goes with that: see {plain(path)}")
    gone |= {each.distribution for each in more}
    words = ["uv", "tool", "install", *_of_receipt(cores[0]).arguments("", "--editable")]
    for each in [*(_of_receipt(row) for name, row in rows if name not in gone), *more]:
        words += each.arguments("--with", "--with-editable")
    if receipt.get("python"):
        words += ["--python", str(receipt["python"])]
    variables = {"UV_TOOL_DIR": str(path.parent.parent)}
    if len(bins) == 1:
        variables["UV_TOOL_BIN_DIR"] = bins.pop()
    return Command(tuple(words), shutil.which("uv", path=environ.get("PATH")) or "", variables)


def _of_receipt(row: Mapping[str, object]) -> Wanted:
    name, given = str(row["name"]), row.get("extras")
    extras = f"[{','.join(map(str, given))}]" if isinstance(given, list) and given else ""
    marker = f" ; {row['marker']}" if "marker" in row else ""
    for key in ("editable", "directory", "path"):
        if key in row:
            return Wanted(_place(Path(str(row[key]))) + extras + marker, normalised(name), editable=key == "editable")
    versions = f" @ {row['url']}" if "url" in row else str(row.get("specifier", ""))
    return Wanted(name + extras + versions + marker, normalised(name))
