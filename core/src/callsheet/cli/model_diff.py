"""`callsheet model diff`: what providers have changed in models since their rows were written."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from callsheet.cli.model_add import document_option, read_document
from callsheet.cli.options import complete_refs, json_option, project_option
from callsheet.cli.terminal import Session, put, put_json, say
from callsheet.errors import CallsheetError

if TYPE_CHECKING:
    from callsheet.client import Client
    from callsheet.model_drift import Change
    from callsheet.models import ModelInfo

__all__ = ["diff"]

DRIFTED = 1
PARTIAL = 5
AT_ONCE = 8
SHOWN = 70


@click.command(epilog="Exit code 0: nothing has changed; 1: something has; 5: not every model could be asked for.")
@click.argument("ref", nargs=-1, shell_complete=complete_refs)
@document_option
@project_option
@json_option
@click.pass_obj
def diff(session: Session, ref: tuple[str, ...], source: Path | None, project: Path | None) -> int:
    """Compare your own rows (or those of the models REF…) with what their providers say of them now."""
    from callsheet.cli.work import open_project, perform

    if source is not None and len(ref) != 1:
        raise click.UsageError("--from describes one model: name it")
    document = None if source is None else read_document(source)

    async def work() -> int:
        async with open_project(session, project, user=True) as client:
            return await _diff(session, client, ref, document)

    return perform(work())


async def _diff(session: Session, client: Client, refs: tuple[str, ...], document: Mapping[str, object] | None) -> int:
    if refs:
        named = {info.name: info for info in (client.catalog.describe(client.catalog.find(ref)) for ref in refs)}
        rows = list(named.values())
    else:
        rows = [info for info in client.runtime.settings.models if info.schema]
        for problem in client.catalog.own_problems():
            say(f"warning: {problem}")
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(info: ModelInfo) -> list[Change] | CallsheetError:
        from callsheet.model_descriptions import describe
        from callsheet.model_drift import drift

        async with gate:
            try:
                return drift(info, await describe(client.runtime, info.provider, info.model, document))
            except CallsheetError as error:
                return error

    ended = dict(zip((info.name for info in rows), await asyncio.gather(*map(one, rows)), strict=True))
    failed = {name: end for name, end in ended.items() if isinstance(end, CallsheetError)}
    first = next(iter(failed.values()), None)
    if first is not None and len(failed) == len(ended) and first.exit_code != DRIFTED:
        raise first  # a missing key, a wrong row: as every command tells it
    changes = {name: end for name, end in ended.items() if not isinstance(end, CallsheetError)}
    _tell(session, changes, failed)
    return PARTIAL if failed else DRIFTED if any(changes.values()) else 0


def _tell(session: Session, changes: Mapping[str, list[Change]], failed: Mapping[str, CallsheetError]) -> None:
    problems = [f"{name}: {error}" for name, error in failed.items()]
    if session.json:
        from dataclasses import asdict

        models = [{"ref": name, "changes": [asdict(each) for each in found]} for name, found in changes.items()]
        put_json(session, {"models": models, "problems": problems})
        return
    for name, found in changes.items():
        put(name if found else f"{name}: nothing has changed")
        for change in found:
            put(f"  {_line(change)}")
    for problem in problems:
        say(f"warning: {problem}")
    if not changes and not problems:
        say("there are no rows of your own here; `callsheet model add` writes one")
    if any(changes.values()):
        say("`callsheet model add PROVIDER MODEL --force` takes the changes over")


def _line(change: Change) -> str:
    name = change.field or change.what
    if change.field and not change.key:
        kind = change.after if isinstance(change.after, Mapping) else {}
        return (
            f"{name}: is gone" if change.after is None else f"{name}: is new ({_short(kind.get('type', 'anything'))})"
        )
    where = f"{name}: {change.key}" if change.key else name
    return f"{where}: {_short(change.before)} -> {_short(change.after)}"


def _short(value: object) -> str:
    import json

    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
