"""The public names as one text: `public_api.txt` beside this file, which `python tests/test_api_snapshot.py` writes anew.

In it is what applications, authors and scripts rely on: names and signatures of the three public modules, the hooks,
the commands with their options, exit codes, the keys of files and of JSON documents, and the formats on disk.
"""

from __future__ import annotations

import contextlib
import difflib
import enum
import hashlib
import inspect
import io
import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import click
from references.signatures import kind_of, plain_value, signature, way_of

import callsheet
from callsheet import errors, hookspecs, manifest, plugin, plugin_manifest, testing
from callsheet.cli import main
from callsheet.cli.commands import cli
from callsheet.cli.endings import exit_code
from callsheet.jobs import Receipt
from callsheet.models import ModelRef, Operation
from callsheet.runner import JobStatus
from callsheet.stores import schema

SNAPSHOT = Path(__file__).with_name("public_api.txt")
REFRESH = "python tests/test_api_snapshot.py"
SHEET = """
[producers.line]
operation = "text.generate"
models = ["mock:text"]
prompt = "One line about a volcano."

[producers.picture]
operation = "image.generate"
models = ["mock:image"]
prompt = "{{ line }}"

[producers.wish]
operation = "video.generate"
models = ["mock:video"]
image = "picture"
prompt = "a slow push in"
"""
DOCUMENTS = (
    "models -o text.generate mock",
    "model show mock:text",
    "plan .",
    "run . --mode mock",
    "runs list",
    "runs show",
    "jobs",
    "costs",
    "health",
    "config show",
    "secrets list",
    "plugins list",
    "call mock:text -p prompt=lava --mode mock",
    "model show mock:nothing",
)
"""Commands with a JSON document, in the order in which they are given; `run` makes what the later ones tell of."""
OPEN_TABLES = ("inputs", "counts", "meta", "options")
"""Tables of a document whose keys are not ours."""


def public_api() -> str:
    """The whole text."""
    lines = [f"# What may be relied on (docs/reference/versions.md). Written by: {REFRESH}", ""]
    for title, body in (
        ("import callsheet", _module(callsheet)),
        ("import callsheet.plugin", _module(plugin)),
        ("import callsheet.testing", _module(testing)),
        ("hooks", _hooks()),
        ("commands", _commands(cli, "callsheet")),
        ("exit codes", _exit_codes()),
        ("environment variables", _variables()),
        ("keys of plugin.toml", _schema_keys("plugin")),
        ("keys of callsheet.toml", _schema_keys("config")),
        ("keys of sheet.toml", _schema_keys("sheet")),
        ("keys of --json documents", _documents()),
        ("formats on disk", _formats()),
    ):
        lines += [f"== {title}", *body, ""]
    return "\n".join(lines)


def _module(module: ModuleType) -> Iterator[str]:
    for name in sorted(set(module.__all__)):
        value = getattr(module, name)
        home = plugin if module is not plugin and getattr(plugin, name, None) is value else None
        if home is not None:
            yield f"{name} (of callsheet.plugin)"
        elif isinstance(value, type):
            yield from _class(name, value)
        elif inspect.isfunction(value):
            yield f"{way_of(value)}{name}{signature(value)}"
        elif isinstance(value, tuple) and all(hasattr(each, "id") for each in value):
            yield name
            yield from (f"    {each.id}" for each in value)
        else:
            shown = plain_value(value)
            yield f"{name}: {type(value).__name__}" if shown.startswith("<") else f"{name} = {shown}"


def _class(name: str, cls: type) -> Iterator[str]:
    bases = ", ".join(each.__name__ for each in cls.__bases__ if each is not object and each.__name__[0] != "_")
    if issubclass(cls, enum.Enum):
        yield f"class {name}({bases}): {', '.join(str(each.value) for each in cls)}"
        return
    protocol = getattr(cls, "_is_protocol", False)
    shape = "" if protocol or (issubclass(cls, BaseException) and "__init__" not in vars(cls)) else signature(cls)
    yield f"class {name}{shape}{f' is {bases}' if bases else ''}"
    lines = []
    for each in _own(cls):
        for member, value in vars(each).items():
            if not member.startswith("_"):
                lines += _member(member, value)
        if protocol:
            lines += [f"    {key}: {kind}" for key, kind in inspect.get_annotations(each).items()]
    yield from sorted(set(lines))


def _own(cls: type) -> Iterator[type]:
    """The class and its private bases: what the public ones have stands at their names."""
    public = {getattr(module, name) for module in (callsheet, plugin, testing) for name in _types(module)}
    for each in cls.__mro__:
        if each is cls or (each.__module__.startswith("callsheet") and each not in public):
            yield each


def _types(module: ModuleType) -> list[str]:
    return [name for name in module.__all__ if isinstance(getattr(module, name), type)]


def _member(name: str, value: object) -> list[str]:
    if isinstance(value, property):
        return [f"    {name} -> {kind_of(inspect.get_annotations(value.fget).get('return'))}"]
    word = "classmethod " if isinstance(value, classmethod) else "static " if isinstance(value, staticmethod) else ""
    function = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
    if not inspect.isfunction(function):
        return []
    return [f"    {word}{way_of(function)}{name}{signature(function)}"]


def _hooks() -> Iterator[str]:
    for name, value in vars(hookspecs).items():
        if name.startswith("callsheet_"):
            first = " (the first answer counts)" if value.callsheet_spec["firstresult"] else ""
            yield f"{name}{signature(value)}{first}"


def _commands(command: click.Command, path: str) -> Iterator[str]:
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    yield " ".join([path, *(f"{each.human_readable_name.rstrip('.')}{'...' * (each.nargs < 0)}" for each in arguments)])
    for option in sorted(
        (each for each in command.params if isinstance(each, click.Option)), key=lambda each: each.opts
    ):
        yield f"    {', '.join([*option.opts, *option.secondary_opts])}{_takes(option)}"
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in sorted(command.list_commands(context)):
            child = command.get_command(context, name)
            assert child is not None
            yield from _commands(child, f"{path} {name}")


def _takes(option: click.Option) -> str:
    if option.is_flag or option.count:
        return ""
    choices = option.type.choices if isinstance(option.type, click.Choice) else ()
    kind = "|".join(map(str, choices)) if choices else option.metavar or option.type.name.upper()
    return f" {kind}{' (repeatable)' if option.multiple else ''}{' (required)' if option.required else ''}"


def _exit_codes() -> Iterator[str]:
    some = {"one": SimpleNamespace(status=JobStatus.EXECUTED), "other": SimpleNamespace(status=JobStatus.BLOCKED)}
    for status, outcomes in (("succeeded", {}), ("partial", some), ("cancelled", {})):
        yield f"{exit_code(SimpleNamespace(status=status, outcomes=outcomes))} run: {status}"
    yield f"{errors.ConfigError('x').exit_code} ConfigError"
    yield f"{errors.ConfigError('x', missing=True).exit_code} ConfigError(missing=True)"
    yield f"{errors.PluginError('x').exit_code} PluginError"
    for kind in errors.ErrorKind:
        error = errors.error_for(kind)
        yield f"{error('x').exit_code} {kind.value} ({error.__name__})"


def _variables() -> list[str]:
    """Those of core; a plugin's are in its plugin.toml."""
    sources = Path(str(files("callsheet"))).rglob("*.py")
    named = re.compile(r"""["'](CALLSHEET_[A-Z_]+)["']""")
    return sorted({name for path in sources for name in named.findall(path.read_text(encoding="utf-8"))})


def _schema_keys(kind: str) -> list[str]:
    data = json.loads(files("callsheet").joinpath("schemas", f"{kind}.json").read_text(encoding="utf-8"))
    return sorted(set(_schema_paths(data, "")))


def _schema_paths(node: object, path: str) -> Iterator[str]:
    if not isinstance(node, dict):
        return
    for name, child in node.get("properties", {}).items():
        yield f"{path}{name}"
        yield from _schema_paths(child, f"{path}{name}.")
    yield from _schema_paths(node.get("items"), f"{path.removesuffix('.')}[].")
    yield from _schema_paths(node.get("additionalProperties"), f"{path}NAME.")
    for several in ("anyOf", "oneOf", "allOf"):
        for child in node.get(several, ()):
            yield from _schema_paths(child, path)


def _documents() -> Iterator[str]:
    """Each command is given, on a small mocked sheet, and the keys of what it says are listed."""
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as name, mock.patch.dict(os.environ):
        folder = Path(name)
        for variable in [each for each in os.environ if each.startswith("CALLSHEET_")]:
            del os.environ[variable]
        os.environ |= {f"XDG_{each}_HOME": str(folder / each) for each in ("CACHE", "CONFIG", "STATE")}
        (folder / "sheet.toml").write_text(SHEET, encoding="utf-8")
        os.chdir(folder)
        try:
            for command in DOCUMENTS:
                yield f"callsheet {command} --json"
                yield from sorted({f"    {key}" for key in _paths(_told([*command.split(), "--json"]), "")})
        finally:
            os.chdir(home)


def _told(arguments: list[str]) -> object:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        main(arguments)
    return json.loads(text.getvalue())


def _paths(document: object, path: str) -> Iterator[str]:
    """The keys with dots between them; below a table of somebody else's names only that table."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield f"{path}{key}"
            if key not in OPEN_TABLES:
                yield from _paths(value, f"{path}{key}.")
    elif isinstance(document, list):
        for each in document:
            yield from _paths(each, f"{path.removesuffix('.')}[].")


def _formats() -> Iterator[str]:
    receipt = Receipt(ModelRef("a", "m"), Operation.TEXT_GENERATE, "1", "k", "d", (), 0.0)
    yield f"plugin api {plugin_manifest.PLUGIN_API}"
    yield f"receipt {receipt.version}: {', '.join(each.name for each in fields(Receipt))}"
    yield f"manifest.json {manifest.FORMAT}: a job's {', '.join(manifest._OF_JOB + manifest._CLOCK)}"
    for number, step in enumerate(schema._STEPS, 1):
        yield f"ledger {number}: {hashlib.sha256(step.encode()).hexdigest()[:16]}"


def complaint(before: str, now: str) -> str:
    """What changed and what to do about it, or the empty text."""
    changed = list(
        difflib.unified_diff(before.splitlines(), now.splitlines(), "as it was", "as it is", lineterm="", n=1)
    )
    if not changed:
        return ""
    told = (
        "The public names have changed. If that is what you want: write it anew with",
        f"    {REFRESH}",
        "and say it in a fragment changelog/NAME.TYPE.md (TYPE: breaking, added, changed, fixed, removed). What is new needs",
        "a page in docs/decisions, what goes away its time as deprecated (docs/reference/versions.md).",
    )
    return "\n".join([*told, "", *changed])


def test_the_public_names_are_those_of_the_snapshot():
    """Nobody changes them by accident, and whoever reviews a change sees what it means for others."""
    said = complaint(SNAPSHOT.read_text(encoding="utf-8"), public_api())
    assert not said, said


def test_a_change_is_shown_with_what_to_do():
    """The line that changed, the one command, and where to say it."""
    before = SNAPSHOT.read_text(encoding="utf-8")
    said = complaint(before, before.replace("call_sync(", "call_now(", 1))
    assert "-call_sync(" in said
    assert "+call_now(" in said
    assert REFRESH in said
    assert "changelog/" in said
    assert complaint(before, before) == ""


if __name__ == "__main__":
    SNAPSHOT.write_text(public_api(), encoding="utf-8")
