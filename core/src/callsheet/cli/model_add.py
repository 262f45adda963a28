"""`callsheet model add`: the row of any model, inferred from the provider's own description, into your own folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from callsheet.cli.options import json_option, project_option
from callsheet.cli.terminal import Session, put, put_json, put_table, say
from callsheet.errors import ConfigError

if TYPE_CHECKING:
    from callsheet.client import Client
    from callsheet.model_shelf import ShelvedModel

__all__ = ["add", "document_option", "read_document"]

document_option = click.option(
    "--from",
    "source",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.json",
    help="The provider's description, from a file: nothing is asked, and no key is needed.",
)


class Asked(NamedTuple):
    """What the command line says."""

    provider: str
    model: str
    operation: str
    alias: str
    user: bool
    force: bool
    dry_run: bool


@click.command()
@click.argument("provider")
@click.argument("model")
@document_option
@click.option("-o", "--operation", default="", metavar="OP", help="What the model does, where the guess is wrong.")
@click.option("--as", "alias", default="", metavar="NAME", help="A short name for it.")
@click.option("--user", is_flag=True, help="For all your projects, and not for this one alone.")
@click.option("--force", is_flag=True, help="Write an existing row anew.")
@click.option("--dry-run", is_flag=True, help="Show the row, and write nothing.")
@project_option
@json_option
@click.pass_obj
def add(
    session: Session, /, provider: str, model: str, *, source: Path | None, project: Path | None, **asked: str | bool
) -> None:
    """Write a row for MODEL of PROVIDER, by the provider's own description of it.

    The row says what the model does, which general attribute goes into which of its fields, and what it makes; its
    schema lies beside it. The row is yours to edit.
    """
    from callsheet.cli.work import open_project, perform

    document = None if source is None else read_document(source)
    wanted = Asked(provider, model, **asked)  # type: ignore[arg-type]

    async def work() -> None:
        async with open_project(session, project, user=True) as client:
            await _add(session, client, wanted, document)

    perform(work())


def read_document(file: Path) -> Mapping[str, object]:
    """A provider's description. Raises ConfigError for a file that is no JSON object of at most 4 MiB."""
    from callsheet.sheet_files import parse_json, read_text

    document = parse_json(read_text(file, str(file)), str(file))
    if not isinstance(document, dict):
        raise ConfigError("is no JSON object: wanted is the provider's description of a model", where=str(file))
    return document


async def _add(session: Session, client: Client, asked: Asked, document: Mapping[str, object] | None) -> None:
    from callsheet.model_descriptions import describe
    from callsheet.model_shelf import Shelf, Wishes
    from callsheet.own_models import MODELS, user_models

    project = client.runtime.project.folder.resolve()
    shelf = Shelf(user_models() if asked.user else project / MODELS)
    described = await describe(client.runtime, asked.provider, asked.model, document)
    drafted = shelf.draft(asked.provider, described, Wishes(asked.operation, asked.alias))
    hidden = _check_place(client, drafted, project, asked.alias)
    if not asked.dry_run:
        if not asked.force:
            _spare_plugin_row(client, drafted)
        shelf.write(drafted, force=asked.force)
    _tell(session, drafted, written=not asked.dry_run)
    if hidden:
        say(f"note: the row in {hidden} wins in this project")
    if not asked.user and not client.runtime.settings.origin:
        say(f"note: there is no callsheet.toml in {project}: only what is called from there knows the row (or: --user)")


def _check_place(client: Client, drafted: ShelvedModel, project: Path, alias: str) -> str:
    """Where a row stands that wins in this project; empty when none does.

    Raises ConfigError for a row that would never be used, and for an alias that means another model already.
    """
    from callsheet.model_shelf import shadowing

    ref = drafted.info.name
    hidden = shadowing(drafted.info, client.runtime.settings.models, project)
    if hidden == "callsheet.toml":
        raise ConfigError(f"callsheet.toml has a row of {ref}, which would win: remove it there first")
    if alias:
        try:
            meant = client.catalog.find(alias)
        except ConfigError:
            return hidden
        if f"{meant.provider}:{meant.model}" != ref:
            raise ConfigError(f"{alias!r} means {meant} already: choose another name", where="--as")
    return hidden


def _spare_plugin_row(client: Client, drafted: ShelvedModel) -> None:
    """Raises ConfigError for a model that a plugin has a row for, which may have prices, rules and limits besides."""
    from callsheet.models import ModelRef

    ref = ModelRef(drafted.info.provider, drafted.info.model)
    if ref.model in {info.model for info in client.catalog.search(provider=ref.provider) if info.plugin}:
        owner = client.runtime.services.host.discovery.owner(ref.provider)
        what = f"{owner.label if owner else ref.provider} has a row of {ref}, which its authors look after"
        raise ConfigError(f"{what}: nothing has to be added; --force puts yours in its place")


def _tell(session: Session, drafted: ShelvedModel, *, written: bool) -> None:
    import json

    from callsheet.cli.models import put_options

    schema = json.loads(drafted.schema)
    files = [str(drafted.path), str(drafted.schema_path)]
    if session.json:
        row = json.loads(json.dumps(drafted.row, default=str))  # prices that were kept have dates
        about = {"ref": drafted.info.name, "row": row, "schema": schema, "notes": list(drafted.notes)}
        put_json(session, about | {"files": files, "written": written})
        return
    info = drafted.info
    facts = {
        "model": info.name,
        "operation": info.operation,
        "aliases": ", ".join(info.aliases),
        "makes": info.output,
        "revision": info.revision,
    }
    for name, value in facts.items():
        if value:
            put(f"{name + ':':14}{value}")
    put_table(("attribute", "goes to"), list(info.inputs.items()))
    put_options(schema)
    for note in drafted.notes:
        say(f"note: {note}")
    say(f"{'written' if written else 'would be written'}: {files[0]} and {drafted.schema_path.name}")
