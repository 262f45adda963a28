"""The skill for coding agents is true: its commands run, its row is accepted, and every name in it is one of the code."""

from __future__ import annotations

import builtins
import json
import os
import re
import shlex
from importlib.resources import files
from pathlib import Path

import click
import pytest

import callsheet
from callsheet import plugin, plugin_manifest, testing
from callsheet.cli import main
from callsheet.cli.commands import cli
from callsheet.config_tables import PROVIDER_KEYS
from callsheet.context import JobContext
from callsheet.template_plugin import template_files

SKILL = Path(str(files("callsheet"))) / "skills/write-a-callsheet-plugin/SKILL.md"
TEXT = SKILL.read_text(encoding="utf-8")
PROSE = re.sub(r"^ *```.*?^ *```$", "", TEXT, flags=re.DOTALL | re.MULTILINE)
NAMES = sorted(set(re.findall(r"`([^`\n]+)`", PROSE)))
OBJECTS = {
    "API": plugin.JsonApi,
    "draft": plugin.Draft,
    "context": JobContext,
    "server": testing.LoopbackServer,
    "callsheet": callsheet,
}
TABLES = ("[provider]", "[providers.acme]", "[provider] batch")
KEYS = {
    *plugin_manifest._TOP, *plugin_manifest._PROVIDER, *plugin_manifest._ROW, *PROVIDER_KEYS, "refuse",
    *(field for each in (plugin.ProviderRequest, plugin.JsonApi) for field in each.__dataclass_fields__),
}  # fmt: skip
METHODS = {name for each in vars(plugin).values() if getattr(each, "_is_protocol", False) for name in vars(each)}
OTHERS = {"verified", "unknown", "paid=True", "callsheet-acme", "callsheet>=0.1,<2", "reveal()"}
PROGRAMS = {"pytest", "mypy", "ruff"}


@pytest.fixture
def told(capsys):
    """Gives a command; its exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        return ended.value.code or 0, capsys.readouterr().out

    return run


def test_the_command_prints_it(told):
    """The text; or with --path where it lies, for tools that link skills."""
    assert told("plugins", "skill") == (0, TEXT)
    assert told("plugins", "skill", "--path") == (0, f"{SKILL}\n")


def test_the_front_matter_is_what_agents_read():
    """A name like the folder's, and when to use it."""
    _, front, _ = TEXT.split("---\n", 2)
    assert re.search(r"^name: (.+)$", front, re.MULTILINE)[1] == SKILL.parent.name
    description = front.partition("description: >-\n")[2]
    assert "Use when" in description
    assert len(description) < 1024


def test_its_commands_make_a_plugin_that_is_verified(folder, site, told):
    """From the first to the last, with the further model of its row."""
    blocks = re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)
    commands = [shlex.split(line) for block in blocks for line in block.splitlines()]
    row = re.search(r"```toml\n(.*?)```", TEXT, re.DOTALL)[1]
    for words in commands:
        if words[0] == "cd":
            os.chdir(words[1])
        elif words[:3] == ["callsheet", "plugins", "install"]:
            site.install(Path.cwd())
            os.environ["PYTHONPATH"] = str(Path.cwd() / "src")
            manifest = Path("src/callsheet_acme/plugin.toml")
            manifest.write_text(f"{manifest.read_text(encoding='utf-8')}\n{row}", encoding="utf-8")
        else:
            code, said = told(*words[1:])
            assert code == 0, said
    report = json.loads(Path("report.json").read_text(encoding="utf-8"))
    assert (report["tier"], report["failed"], report["refused"]) == ("verified", 0, 0)
    assert told("model", "show", "acme:answer-2")[0] == 0


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_one_of_the_code(name):
    """Commands with their options, files of a new package, methods, classes, keys; anything else is listed in this test."""
    assert any(known(name) for known in (_command, _file, _attribute, _plain_name, _key, _program)) or name in OTHERS


def _command(name: str) -> bool:
    words = name.split()
    if words[0].startswith("--"):
        words = ["callsheet", "plugins", "new", *words]
    if words[0] != "callsheet" or len(words) == 1:
        return False
    command, rest = cli, words[1:]
    while isinstance(command, click.Group):
        command, rest = command.get_command(click.Context(command), rest[0]), rest[1:]
    assert command is not None, name
    options = {option for parameter in command.params for option in parameter.opts}
    return all(word in options for word in rest if word.startswith("-"))


def _file(name: str) -> bool:
    paths = template_files("acme")
    return any(path == name or path.endswith(f"/{name}") for path in paths) or name == "callsheet.toml"


def _attribute(name: str) -> bool:
    found = re.fullmatch(r"(?:raise |help\()?(\w+)\.(\w+)(?:\.(\w+))?(?:\(…\)|\))?", name)
    if found is None:
        return False
    home = OBJECTS.get(found[1]) or getattr(plugin, found[1], None)
    if not hasattr(home, found[2]):
        return found[2] in getattr(home, "__dataclass_fields__", ())
    return not found[3] or hasattr(getattr(home, found[2]), found[3])


def _plain_name(name: str) -> bool:
    return name in {*plugin.__all__, *testing.__all__, *METHODS} or (hasattr(builtins, name) and name[0].isupper())


def _key(name: str) -> bool:
    return name in TABLES or re.split(r"\W", name)[0] in KEYS


def _program(name: str) -> bool:
    words = name.split()
    return words[:2] == ["uv", "run"] and words[2] in PROGRAMS
