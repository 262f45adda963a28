"""The page of the command line: every command with its arguments and flags, as click has them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import click

from callsheet.cli.commands import cli

__all__ = ["command_line", "commands"]

_HEAD = """\
# The command line

Every command, as `callsheet COMMAND --help` shows it. This page is written by `nox -s references`, and a test compares it with
the code. Data goes to stdout, everything else to stderr; [Errors](errors.md#exit-codes) has the exit codes. Plugins may add
commands: `callsheet plugins list` names them.
"""
_WIDTH = 125


def commands() -> Iterator[tuple[str, click.Command, click.Context]]:
    """Each command with its whole name, a group before its own commands."""
    yield from _below("callsheet", cli, None)


def _below(
    name: str, command: click.Command, parent: click.Context | None
) -> Iterator[tuple[str, click.Command, click.Context]]:
    context = click.Context(command, info_name=name.rpartition(" ")[2], parent=parent)
    yield name, command, context
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            inner = command.get_command(context, each)
            if inner is not None and not inner.hidden:
                yield from _below(f"{name} {each}", inner, context)


def command_line() -> str:
    """The page."""
    return "\n".join([_HEAD, *(_section(*each) for each in commands())])


def _section(name: str, command: click.Command, context: click.Context) -> str:
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    parts = [f"## {name}", f"```text\n{usage}\n```", *_paragraphs(command.help or "")]
    rows = [row for parameter in command.params if (row := _row(parameter, context))]
    if rows:
        parts.append("\n".join(["| option | meaning |", "| --- | --- |", *rows]))
    if isinstance(command, click.Group):
        inner = [f"`{each}`" for each in command.list_commands(context)]
        parts.append(_wrapped(f"Commands: {', '.join(inner)}."))
    return "\n\n".join([*parts, *_paragraphs(command.epilog or "")]) + "\n"


def _paragraphs(text: str) -> list[str]:
    return [_wrapped(each) for each in text.replace("\b", "").split("\n\n") if each.strip()]


def _wrapped(text: str) -> str:
    flat = " ".join(text.split())
    return textwrap.fill(flat, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _row(parameter: click.Parameter, context: click.Context) -> str:
    if not isinstance(parameter, click.Option) or parameter.hidden:
        return ""
    value = "" if parameter.is_flag else f" {parameter.make_metavar(context)}"
    spelt = ", ".join(f"`{name}{value}`" for name in (*parameter.opts, *parameter.secondary_opts))
    said = [parameter.help or ""]
    if parameter.multiple:
        said.append("May be given several times.")
    if parameter.required:
        said.append("Required.")
    if parameter.show_default and parameter.default is not None:
        said.append(f"[default: {parameter.default}]")
    return f"| {_cell(spelt)} | {_cell(' '.join(' '.join(said).split()))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
