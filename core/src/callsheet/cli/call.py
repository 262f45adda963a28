"""`callsheet call`: one call to one model from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from callsheet.cli.options import PAIR, complete_refs, json_option, mode_option, project_option, table_of
from callsheet.cli.terminal import Session
from callsheet.errors import ConfigError

if TYPE_CHECKING:
    from callsheet.client import Client
    from callsheet.models import ModelRef, Operation

__all__ = ["call"]

_JSON_ATTRIBUTES = ("output_schema", "messages")
Pairs = tuple[tuple[str, str], ...]


@click.command()
@click.argument("ref", shell_complete=complete_refs)
@click.option(
    "-p", "--param", "params", type=PAIR, multiple=True, metavar="NAME=VALUE", help="An attribute; @FILE reads text."
)
@click.option(
    "--option", "options", type=PAIR, multiple=True, metavar="NAME=VALUE", help="A setting of the vendor's own."
)
@click.option("--operation", metavar="OP", help="What the model does, where no catalog says it.")
@mode_option
@click.option("--reuse", is_flag=True, help="Take the result that was paid for before, if there is one.")
@click.option("--strict", is_flag=True, help="Warnings are errors.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Where the result goes.")
@project_option
@json_option
@click.pass_obj
def call(session: Session, /, ref: str, *, params: Pairs, options: Pairs, project: Path | None, **asked: Any) -> int:
    """Make one call to the model REF. Text goes to stdout, files to -o or into the working folder."""
    from callsheet.cli.results import Call, call_to_end, check_target
    from callsheet.cli.work import open_project, perform

    settings = {name: _json_or_text(text) for name, text in table_of(options, "--option").items()}
    check_target(asked["output"])

    async def work() -> int:
        async with open_project(session, project, user=True) as client:
            target, operation = _meant(client, ref, asked["operation"])
            attributes = _attributes(operation, params)
            told = Call(str(target), operation.value, asked["mode"], asked["output"])
            made = client.call(
                target,
                operation=operation,
                mode=asked["mode"],
                options=settings,
                reuse=asked["reuse"],
                strict=asked["strict"],
                **attributes,
            )
            return await call_to_end(session, client, told, made)

    return perform(work())


def _meant(client: Client, ref: str, operation: str | None) -> tuple[ModelRef, Operation]:
    """The model and what it does. Raises ConfigError when neither catalog nor user says that."""
    from callsheet.models import Operation
    from callsheet.toml_tables import near_or_known

    target = client.catalog.find(ref)
    if operation is not None:
        names = [each.value for each in Operation]
        if operation not in names:
            raise ConfigError(f"there is no operation {operation!r}{near_or_known(operation, names)}")
        return target, Operation(operation)
    info = client.catalog.get(target)
    if info is None:
        hint = client.catalog.hint(target)
        raise ConfigError(f"{target} is in no catalog here{hint}; or say what it does: --operation image.generate")
    return target, info.operation


def _attributes(operation: Operation, params: Pairs) -> dict[str, Any]:
    """The attributes of `-p`: files stay paths, `@file` is read, a name given again makes a list."""
    from callsheet.inputs import attribute_names, file_attributes, list_attributes
    from callsheet.toml_tables import near_or_known

    known, files, lists = attribute_names(operation), file_attributes(operation), list_attributes(operation)
    gathered: dict[str, list[object]] = {}
    for name, text in params:
        if name not in known:
            hint = near_or_known(name, known)
            raise ConfigError(f"{operation} takes no {name!r}{hint} (vendor settings go with --option)", where="-p")
        if name in gathered and name not in lists:
            raise click.UsageError(f"-p {name} is given twice")
        gathered.setdefault(name, []).append(text.removeprefix("@") if name in files else _value(name, text))
    values: dict[str, Any] = {}
    for name, given in gathered.items():
        many = given[0] if len(given) == 1 and isinstance(given[0], list) else given
        values[name] = many if name in lists else given[0]
    return values


def _value(name: str, text: str) -> object:
    if text.startswith("@@"):
        text = text[1:]
    elif text.startswith("@"):
        text = _read(Path(text[1:]), name)
    if name not in _JSON_ATTRIBUTES:
        return text
    from callsheet.sheet_files import parse_json

    return parse_json(text, f"-p {name}")


def _read(path: Path, name: str) -> str:
    from callsheet.sheet_files import read_text

    if not path.is_file():
        raise ConfigError(f"there is no file {str(path)!r} (@@ for a text that begins with @)", where=f"-p {name}")
    return read_text(path, f"-p {name}")


def _json_or_text(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
