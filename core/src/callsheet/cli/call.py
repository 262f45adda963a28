"""`callsheet call`: one call to one model from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from callsheet.cli.options import (
    PAIR,
    call_cost_option,
    complete_refs,
    json_option,
    mode_option,
    project_option,
    table_of,
)
from callsheet.cli.terminal import Session
from callsheet.errors import ConfigError
from callsheet.selector import AUTO

if TYPE_CHECKING:
    from callsheet.client import Client
    from callsheet.models import ModelRef, Operation

__all__ = ["call", "text_or_file"]

_JSON_ATTRIBUTES = ("output_schema", "messages")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_PLACES = {"image": ("images", "image"), "audio": ("audio",), "video": ("clips", "files")}
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
@click.option("--system", metavar="TEXT", help="Short for -p system=TEXT.")
@click.option("--schema", type=_FILE, metavar="FILE", help="A JSON Schema for the answer: -p output_schema=@FILE.")
@click.option("--attach", type=_FILE, multiple=True, metavar="FILE", help="A picture, a sound or another file.")
@mode_option
@click.option("--stream/--no-stream", default=None, help="Show text while it comes.  [default: on a terminal]")
@click.option(
    "--fallback",
    "fallbacks",
    multiple=True,
    metavar="REF",
    shell_complete=complete_refs,
    help="Asked when the model before has failed.",
)
@click.option("--reuse", is_flag=True, help="Take the result that was paid for before, if there is one.")
@call_cost_option
@click.option("--strict", is_flag=True, help="Warnings are errors.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the result goes. What is no WAV is not saved as .wav: it gets its own extension.",
)
@project_option
@json_option
@click.pass_obj
def call(session: Session, /, ref: str, *, params: Pairs, options: Pairs, project: Path | None, **asked: Any) -> int:
    """Make one call to the model REF. Text goes to stdout, files to -o or into the working folder."""
    from callsheet.cli.live_text import LiveText
    from callsheet.cli.results import Call, call_to_end, check_target
    from callsheet.cli.work import open_project, perform

    settings = {name: _json_or_text(text) for name, text in table_of(options, "--option").items()}
    check_target(asked["output"])
    if asked["stream"] and (session.json or asked["output"] is not None):
        raise click.UsageError("--stream shows the text while it comes: it does not go with --json and -o")

    async def work() -> int:
        async with open_project(session, project, user=True) as client:
            target, operation = _meant(client, ref, asked["operation"])
            wanted: dict[str, Any] = {
                "operation": operation,
                "options": settings,
                **{name: asked[name] for name in ("mode", "reuse", "strict", "fallbacks", "max_cost")},
                **_attributes(operation, (*params, *_shorts(operation, asked))),
            }
            told = Call(str(target), operation.value, asked["mode"], asked["output"])
            if not _streamed(session, operation, asked):
                return await call_to_end(session, client, told, client.call(target, **wanted))
            live = LiveText(session)
            made = live.follow(client.stream(target, **wanted))
            return await call_to_end(session, client, told, made, live=live)

    return perform(work())


def _meant(client: Client, ref: str, operation: str | None) -> tuple[ModelRef, Operation]:
    """The model and what it does. Raises ConfigError when neither catalog nor user says that."""
    from callsheet.models import Operation
    from callsheet.toml_tables import near_or_known

    target = client.catalog.find(ref)
    if target.provider == AUTO:
        operation = operation or target.model
    if operation is not None:
        names = [each.value for each in Operation]
        if operation not in names:
            raise ConfigError(f"there is no operation {operation!r}{near_or_known(operation, names)}")
        return target, Operation(operation)
    known = client.runtime.registry.operation_of(target)
    if known is None:
        hint = client.catalog.hint(target)
        raise ConfigError(f"{target} is in no catalog here{hint}; or say what it does: --operation image.generate")
    return target, known


def _streamed(session: Session, operation: Operation, asked: dict[str, Any]) -> bool:
    """As the user says; else text on a terminal, unless it is to be shaped or saved as a whole. Raises UsageError."""
    if operation != "text.generate":
        if asked["stream"]:
            raise click.UsageError(f"--stream is for text, and this model does {operation}")
        return False
    if asked["stream"] is not None:
        return bool(asked["stream"])
    return sys.stdout.isatty() and not session.json and asked["output"] is None and asked["schema"] is None


def _shorts(operation: Operation, asked: dict[str, Any]) -> Pairs:
    """What --system, --schema and --attach stand for, as `-p` would say it. Raises ConfigError."""
    from callsheet.inputs import file_attributes
    from callsheet.media import HEAD_BYTES, media_type_of

    pairs = [] if asked["system"] is None else [("system", asked["system"])]
    if asked["schema"] is not None:
        pairs.append(("output_schema", f"@{asked['schema']}"))
    for path in asked["attach"]:
        with path.open("rb") as stream:
            kind = media_type_of(path.name, stream.read(HEAD_BYTES))
        places = _PLACES.get(kind.partition("/")[0], ("files",))
        place = next((name for name in places if name in file_attributes(operation)), None)
        if place is None:
            raise ConfigError(f"{operation} takes no {kind}", where=f"--attach {path.name}")
        pairs.append((place, f"@{path}"))
    return tuple(pairs)


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


def text_or_file(text: str, where: str) -> str:
    """The text; of `@FILE` what the file holds, and `@@` is an @. Raises ConfigError."""
    if text.startswith("@@"):
        return text[1:]
    return _read(Path(text[1:]), where) if text.startswith("@") else text


def _value(name: str, text: str) -> object:
    text = text_or_file(text, f"-p {name}")
    if name not in _JSON_ATTRIBUTES:
        return text
    from callsheet.sheet_files import parse_json

    return parse_json(text, f"-p {name}")


def _read(path: Path, where: str) -> str:
    from callsheet.sheet_files import read_text

    if not path.is_file():
        raise ConfigError(f"there is no file {str(path)!r} (@@ for a text that begins with @)", where=where)
    return read_text(path, where)


def _json_or_text(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
