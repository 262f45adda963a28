"""The package that `callsheet plugins new` begins with: which files it has, and what they are called for another vendor.

The files are those of plugins/_template in the repository, in one data file (tests/pack_template.py writes it), so that no tool
takes them for modules of callsheet. Lines between `[job]` and `[/job]` are left out where nobody asks for jobs, those
between `[answer]` and `[/answer]` likewise.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterator, Mapping

from callsheet.errors import ConfigError

__all__ = ["STYLES", "check_name", "template_files"]

STYLES = ("answer", "job")
"""One request and one answer; jobs that are submitted, polled, collected, aborted."""
_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_LONGEST = 24
"""Letters of a name: with a longer one the lines of the files would be longer than their linter allows."""
_OWN_WIRES = {"answer": "answers.py", "job": "jobs.py"}
_MARK = re.compile(r"(?:#|<!--) \[(/?)(\w+)\](?: -->)?")
_RESERVED = frozenset({"auto", "callsheet", "core", "plugin", "template", "test", "testing"})


def check_name(name: str) -> str:
    """The name, where a provider, a distribution and a module can have it. Raises ConfigError."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        wanted = f"lower-case letters and digits, with single dashes between, at most {_LONGEST}, a letter first"
        raise ConfigError(f"{name!r} can be no provider's name: {wanted}; for example acme or acme-labs")
    if name in _RESERVED or name.startswith("callsheet-"):
        raise ConfigError(f"{name!r} can be no provider's name: callsheet has a meaning for it; give the vendor's name")
    if keyword.iskeyword(name):
        raise ConfigError(f"{name!r} can be no provider's name: it is a word of Python")
    return name


def template_files(name: str, style: str = "") -> dict[str, str]:
    """The files of a new package by path: for one style of API (`STYLES`), or for both. Raises ConfigError for a name."""
    check_name(name)
    words = {
        "callsheet_template": f"callsheet_{name.replace('-', '_')}",
        "TEMPLATE": name.replace("-", "_").upper(),
        "Template": "".join(part.capitalize() for part in name.split("-")),
        "template": name,
    }
    pattern = re.compile("|".join(words))
    left_out = {_OWN_WIRES[each] for each in STYLES if style and each != style}
    return {
        pattern.sub(lambda found: words[found[0]], path): pattern.sub(lambda found: words[found[0]], text)
        for path, text in _rendered(style).items()
        if path.rpartition("/")[2] not in left_out
    }


def _rendered(style: str) -> Mapping[str, str]:
    from importlib.resources import files

    data = json.loads(files("callsheet").joinpath("template_plugin.json").read_text(encoding="utf-8"))
    texts = {path: "\n".join(_kept(lines, style)).strip("\n") for path, lines in data.items()}
    # where something was left out, the blank lines around it meet
    return {path: re.sub(r"\n{4,}", "\n\n\n", text) + "\n" * bool(text) for path, text in texts.items()}


def _kept(lines: list[str], style: str) -> Iterator[str]:
    inside = ""
    for line in lines:
        mark = _MARK.fullmatch(line.strip())
        if mark is not None and mark[2] in STYLES:
            inside = "" if mark[1] else mark[2]
        elif not inside or not style or inside == style:
            yield line
