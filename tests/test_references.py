"""What is generated is what stands in the repository, and each module says in its first line what it holds."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest
from references.command_line import commands
from references.pages import ROOT, read, section
from references.written import FILES

SOURCES = sorted(
    path
    for folder in ("core/src", "plugins/*/src", "benchmarks", "tests/references")
    for path in ROOT.glob(f"{folder}/**/*.py")
)


def named(path: Path) -> str:
    """A file as seen from the repository."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=named)
def test_what_is_generated_is_up_to_date(path):
    """If this fails, run `nox -s references` and look at what has changed."""
    assert path.read_text(encoding="utf-8") == FILES[path]()


def test_every_command_has_its_section_with_all_flags():
    """Groups and commands, in the order of the help; each flag as it is typed."""
    page = read("reference/command-line.md")
    found = list(commands())
    assert re.findall("^## (.+)$", page, re.MULTILINE) == [name for name, *_ in found]
    for name, command, _ in found:
        text = section(page, name)
        flags = {
            flag for each in command.params if isinstance(each, click.Option) for flag in each.opts if not each.hidden
        }
        assert flags <= set(re.findall(r"`(--?[\w-]+)", text)), name


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_the_first_line_says_what_a_module_holds(path):
    """One sentence on one line, and more than the module's name."""
    told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first, _, rest = told.partition("\n")
    name = (path.parent if path.stem == "__init__" else path).stem.strip("_")
    assert first.endswith((".", ":", "?")), first
    assert not rest or rest.startswith("\n"), "the first sentence goes on in the second line"
    assert re.sub(r"\W", "", first).casefold() != re.sub(r"\W", "", name).replace("_", "").casefold()
