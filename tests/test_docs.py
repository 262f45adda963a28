"""The documentation is true: its code runs, its data loads, its commands work, its links lead somewhere.

A python or toml block whose first line is a comment with a path (`# src/acme/plugin.toml`) is a file of its page. The
other blocks of a page are carried out from top to bottom in one working folder.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest
from references.command_line import commands as all_commands

from callsheet.cli import main
from callsheet.cli.commands import cli
from callsheet.config import load_settings
from callsheet.expansion import expand
from callsheet.plugin_manifest import PluginManifest, model_row
from callsheet.sheet import CallSheet

ROOT = Path(__file__).resolve().parents[1]
OF_PLUGINS = (*ROOT.glob("plugins/*/docs.md"), *ROOT.glob("plugins/*/README.md"))
OF_CONTRIBUTORS = (*ROOT.glob("*.md"), ROOT / "changelog/README.md")
PAGES = sorted([*OF_CONTRIBUTORS, *ROOT.glob("docs/**/*.md"), *OF_PLUGINS])

LANGUAGES = {"python", "toml", "json", "console", "sh", "text", "mermaid"}
SHELL = ("console", "sh")
# What changes the machine is not done here. CI carries out README's own.
NOT_RUN = ("pip", "uv", "apt-get", "git", "source", "(command", "ffprobe", "export")
DIAGRAMS = ("flowchart ", "sequenceDiagram", "stateDiagram-v2")

FILE_LINE = re.compile(r"# ((?:[\w.-]+/)*[\w.-]+\.(?:py|toml))")
NAMED_FILE = re.compile(r"[^\s{}\"']+\.(?:md|txt|j2|json|png|jpg|wav|mp3|mp4)")
COMMAND = re.compile(r"\bcallsheet ([a-z][a-z-]*)( [a-z][a-z-]*)?")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
MACHINE = re.compile(
    r"(?<![\w.:/])/(?:home|root|tmp|work|Users|mnt|srv)/|\bpypi[.]org|python[h]osted|npm[j]s|artifactory|index-url",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is that of its fence, `file` the path of the file that it is."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def file(self) -> str:
        """The path in its first line, for the languages that can have one."""
        found = FILE_LINE.fullmatch(self.text.partition("\n")[0])
        return found[1] if found and self.language in ("python", "toml") else ""

    @property
    def place(self) -> str:
        """Page and line, for people and test ids."""
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


def _blocks(page: Path) -> Iterator[Block]:
    language, start, lines = "", 0, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if not start and line.lstrip().startswith("```"):
            language, start, lines = line.strip().removeprefix("```").strip(), number, []
        elif start and line.strip() == "```":
            yield Block(page, start, language, "\n".join(lines) + "\n")
            start = 0
        elif start:
            lines.append(line)
    assert not start, f"{page}:{start}: this block has no end"


def _prose(page: Path) -> str:
    """The page without its blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


BLOCKS = [block for page in PAGES for block in _blocks(page)]


def of(*languages: str) -> pytest.MarkDecorator:
    """Run a test for each block in these languages."""
    wanted = [block for block in BLOCKS if block.language in languages]
    return pytest.mark.parametrize("block", wanted, ids=lambda block: block.place)


each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


@dataclass
class Walk:
    """Carries out a page from top to bottom."""

    folder: Path
    site: object
    names: dict[str, object] = field(default_factory=lambda: {"__name__": "__page__"})

    def block(self, block: Block) -> None:
        """Write, run or pass over one block."""
        if block.file:
            target = self.folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.language in SHELL:
            self._install()
            for command in commands(block.text):
                self._command(command, block)
        elif block.language == "python":
            self._install()
            source = "\n" * block.line + block.text  # so that a traceback names the line of the page
            exec(compile(source, str(block.page), "exec", dont_inherit=True), self.names)

    def _install(self) -> None:
        if (self.folder / "pyproject.toml").is_file():
            self.site.install(self.folder)

    def _command(self, command: str, block: Block) -> None:
        words = shlex.split(command)
        target = Path(words[-1]) if words[0] == "callsheet" and words[-2:-1] == [">"] else None
        words = words[:-2] if target else words
        if words[0] in NOT_RUN or any(word in ("|", ">", "&&") for word in words):
            return
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            os.environ[name] = value
        if words[0] == "cd":
            os.chdir(words[1])
        elif words[:3] == ["callsheet", "plugins", "install"]:  # as uv or pip would
            self.site.install(Path(words[3]).resolve())
        elif words[0] == "mkdir":
            Path(words[-1]).mkdir(parents=True, exist_ok=True)
        else:
            assert words[0] == "callsheet", f"{block.place}: nobody says here how to run {words[0]!r}"
            printed = io.StringIO()
            with pytest.raises(SystemExit) as ended, redirect_stdout(printed) if target else nullcontext():
                main(words[1:])
            assert ended.value.code == 0, f"{block.place}: `{command}` ends with {ended.value.code}"
            if target:
                target.write_text(printed.getvalue(), encoding="utf-8")


def commands(text: str) -> list[str]:
    """The command lines of a block: with prompts (`$ `) only the lines that have one, the others are output then."""
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
    prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return prompted or lines


def exists(name: str, rest: str) -> bool:
    """True for a command, and for a group when one of its commands follows."""
    command = cli.get_command(None, name) if name in cli.list_commands(None) else None
    return command is not None and (not isinstance(command, click.Group) or rest.strip() in command.commands)


@each_page
def test_page_works_from_top_to_bottom(page, folder, site):
    """Everything that a page tells its reader to run works, in the order in which it stands there."""
    examples = shutil.ignore_patterns(".callsheet", "output*")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=examples)
    if page.parent.name.startswith("_"):  # the template is no part of the workspace: it is installed for its own page
        site.install(shutil.copytree(page.parent, folder.parent / "template"))
    walk = Walk(folder, site)
    for block in _blocks(page):
        walk.block(block)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_language_is_known(block):
    """Each block says a language that these tests know how to check."""
    assert block.language in LANGUAGES


@of("toml")
def test_toml_is_what_it_seems(block, tmp_path):
    """TOML parses; a sheet loads and its references lead somewhere; configuration and manifests are accepted."""
    data = tomllib.loads(block.text)
    name = block.file.rpartition("/")[2]
    if "producers" in data:
        (tmp_path / "sheet.toml").write_text(block.text, encoding="utf-8")
        _write_named_files(data, tmp_path)
        expand(CallSheet.load(tmp_path), tmp_path)
    elif name == "callsheet.toml":
        (tmp_path / name).write_text(block.text, encoding="utf-8")
        load_settings(tmp_path)
    elif name == "plugin.toml":
        manifest = PluginManifest.parse(data, block.place)
        for row in manifest.rows:
            model_row(row.values, manifest.provider.name, "the-plugin")


def _write_named_files(value: object, folder: Path) -> None:
    """Put something into every file that a sheet names."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _write_named_files(item, folder)
    elif isinstance(value, str) and NAMED_FILE.fullmatch(value):
        path = folder / value
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"type": "object"}' if path.suffix == ".json" else "something", encoding="utf-8")


@of("json")
def test_json_parses(block):
    """JSON is JSON, and has no key twice."""

    def unique(pairs):
        names = [name for name, _ in pairs]
        assert len(set(names)) == len(names), f"{block.place}: {names}"
        return dict(pairs)

    json.loads(block.text, object_pairs_hook=unique)


@of("mermaid")
def test_diagram_has_a_kind(block):
    """A diagram begins with a kind that renderers know, and its brackets are closed."""
    assert block.text.startswith(DIAGRAMS)
    assert block.text.count("[") == block.text.count("]")


@of(*SHELL)
def test_commands_exist(block):
    """Every `callsheet NAME` in a command line is a command, also in lines which are not run here."""
    plugin_commands = {
        name for each in _blocks(block.page) if each.file.endswith("plugin.toml")
        for name in tomllib.loads(each.text).get("commands", [])
    }  # fmt: skip
    for words in COMMAND.findall("\n".join(commands(block.text))):
        assert words[0] in plugin_commands or exists(*words), f"{block.place}: {words}"


@each_page
def test_commands_in_prose_exist(page):
    """Every `callsheet NAME` in the running text is a command."""
    for words in re.findall(f"`{COMMAND.pattern}", _prose(page)):
        assert exists(*words), words


def flags_of(*words: str) -> set[str]:
    """The flags of a command and of its group; of all commands without words. Empty for a plugin's command."""
    found = [(name.split()[1:], command) for name, command, _ in all_commands()]
    wanted = [command for name, command in found if not words or name == [*words][: len(name)]]
    known = {flag for each in wanted for option in each.params for flag in (*option.opts, *option.secondary_opts)}
    return known | {"--help"} if len(wanted) > 1 else set()


@of(*SHELL)
def test_flags_of_commands_exist(block):
    """Every `--flag` of a command line is one of that command, also in lines which are not run here."""
    for line in commands(block.text):
        command = re.search(r"\bcallsheet ([^|>&]*)", line)
        words = command[1].split() if command else []
        flags = flags_of(*itertools.takewhile(lambda word: not word.startswith("-"), words))
        assert not flags or {word.partition("=")[0] for word in words if word.startswith("--")} <= flags, line


@each_page
def test_flags_in_prose_exist(page):
    """Every `--flag` in code marks that stands alone or after a command of ours is a flag."""
    spans = re.findall(r"`((?:callsheet |--)[^`]*)`", _prose(page))
    assert {flag for span in spans for flag in re.findall(r"(?<!\S)--[a-z][a-z-]*", span)} <= flags_of()


@each_page
def test_links_lead_somewhere(page):
    """Each relative link names a file or folder, and its fragment a heading there."""
    for link in LINK.findall(_prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if fragment:
            assert fragment in _anchors(target), link


def _anchors(page: Path) -> set[str]:
    """The fragments of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_page_speaks_of_no_machine(page):
    """No page names a path of somebody's machine or the host of a package registry."""
    assert MACHINE.findall(page.read_text(encoding="utf-8")) == []


@each_page
def test_page_can_be_read_in_a_terminal(page):
    """Prose lines are short; tables and links may be longer."""
    long = [
        line for line in _prose(page).splitlines()
        if len(line) > 132 and not line.startswith("|") and "](" not in line
    ]  # fmt: skip
    assert long == []


def test_every_page_can_be_found():
    """Each page is linked from another page; code hosts show a folder's README by itself."""
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in LINK.findall(_prose(page))
        if not re.match(r"[a-z]+:", link)
    }
    folders = {path for path in linked if path.is_dir()}
    lost = [p for p in PAGES if p.name != "README.md" and p not in linked and p.parent not in folders]
    assert [page.relative_to(ROOT).as_posix() for page in lost] == []
