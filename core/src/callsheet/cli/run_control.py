"""`callsheet runs open|events|cancel`: looking at a run, following it, and stopping it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from callsheet.cli.options import json_option, project_option
from callsheet.cli.terminal import Session, put, put_json, say
from callsheet.errors import ConfigError

if TYPE_CHECKING:
    from callsheet.cancellation import Cancellation
    from callsheet.client import Client
    from callsheet.storage import Event, RunRecord
    from callsheet.stores.ledger import Ledger

__all__ = ["cancel", "events", "find_record", "must_have_runs", "open_report"]

FOLLOW_SECONDS = 0.5
_TOLD = ("ref", "status", "reason", "detail", "outcome", "kind", "sent", "message", "job_id", "request_id")


@click.command("open")
@click.argument("run", required=False, default="")
@project_option
@json_option
@click.pass_obj
def open_report(session: Session, run: str, project: Path | None) -> None:
    """Open the report of RUN (default: the latest) in the browser, and print where it is."""
    from callsheet.cli.work import open_project, perform

    async def work() -> tuple[str, Path, str]:
        async with open_project(session, project) as client:
            return await _report(client, await find_record(client.ledger, run))

    must_have_runs(project)
    found, path, later = perform(work())
    import webbrowser

    opened = webbrowser.open(path.as_uri())
    if later:
        say(f"note: {path.parent} holds the later run {later} by now")
    if not opened:
        say("note: there is no browser here; open the file by hand")
    if session.json:
        put_json(session, {"run": later or found, "report": str(path), "opened": opened})
    else:
        put(path)


async def _report(client: Client, record: RunRecord) -> tuple[str, Path, str]:
    """The run's id, its report, and the later run that it is of. Raises ConfigError when there is nothing to open."""
    from callsheet.outputs import OutputFolder
    from callsheet.report import REPORT
    from callsheet.verification import later_run, rebuild_manifest

    if record.ended is None:
        raise ConfigError(f"the run {record.id} has not ended: `callsheet runs events {record.id} --follow` shows it")
    folder = OutputFolder(Path(record.output))
    later = await later_run(client.runtime.services, record, folder)
    if later:
        path = folder.path / REPORT
        if not path.is_file():
            raise ConfigError(f"{folder.path} holds the later run {later}: open that one", missing=True)
        return record.id, path, later
    written = folder.manifest()
    if written is None or written.get("run") != record.id:
        text = (
            f"the outputs of the run {record.id} are not in {folder.path}: `callsheet resume {record.id}` writes them"
        )
        raise ConfigError(text, missing=True)
    manifest = await rebuild_manifest(client.runtime.services, record)
    return record.id, folder.write_report(manifest), ""


@click.command("events")
@click.argument("run", required=False, default="")
@click.option("--follow", is_flag=True, help="Go on until the run has ended.")
@click.option("--jsonl", is_flag=True, help="Print one JSON object a line.")
@project_option
@click.pass_obj
def events(session: Session, run: str, *, follow: bool, jsonl: bool, project: Path | None) -> None:
    """Print what happened in RUN (default: the latest), in order."""
    from callsheet.cli.work import open_project, perform

    async def work() -> None:
        async with open_project(session, project) as client:
            record = await find_record(client.ledger, run)
            async for event in _events(client, record, follow=follow):
                _put_event(event, jsonl=jsonl)

    must_have_runs(project)
    perform(work())


async def _events(client: Client, record: RunRecord, *, follow: bool) -> AsyncIterator[Event]:
    """The run's events; with `follow`, until it has ended or its process is dead."""
    ledger, seen = client.ledger, 0
    while True:
        over = not follow or record.ended is not None or not ledger.owner.is_alive(record.owner)
        for event in await ledger.events(record.id, after=seen):  # after the look, so that the last ones are not missed
            seen = event.seq
            yield event
        if over:
            return
        await client.runtime.services.sleep(FOLLOW_SECONDS)
        record = await ledger.run(record.id)


def _put_event(event: Event, *, jsonl: bool) -> None:
    if jsonl:
        body = {"seq": event.seq, "run": event.run, "at": event.at, "type": event.type, "job": event.job}
        click.echo(json.dumps({**body, "body": dict(event.body)}))
        return
    from datetime import datetime

    at = datetime.fromtimestamp(event.at).astimezone().strftime("%H:%M:%S")
    told = (str(event.body[name]).replace("\n", " ") for name in _TOLD if event.body.get(name) not in (None, "", []))
    put("  ".join([at, event.type, *([event.job] if event.job else []), *told]))


@click.command("cancel")
@click.argument("run")
@project_option
@json_option
@click.pass_obj
def cancel(session: Session, run: str, project: Path | None) -> int:
    """Stop RUN: its process is asked to; when that is dead, its jobs are aborted at the providers from here."""
    from callsheet.cli.work import open_project, perform, resume_command

    async def work() -> int:
        from callsheet.cancellation import cancel_run

        async with open_project(session, project) as client:
            ended = await cancel_run(client.runtime, run)
            return _tell(session, ended, resume_command(ended.run.id, client))

    must_have_runs(project)
    return perform(work())


def _tell(session: Session, ended: Cancellation, again: str) -> int:
    """What became of the run: 0 when nothing of it goes on, 5 when some jobs do, 1 when all of them do."""
    record, calls = ended.run, ended.calls
    if session.json:
        told: list[dict[str, Any]] = [
            {"job": call.job, "ref": call.ref, "job_id": call.job_id, "outcome": call.outcome} for call in calls
        ]
        document = {"run": record.id, "status": record.status, "output": record.output, "calls": told}
        put_json(session, {**document, "notes": list(ended.notes)})
    else:
        for call in calls:
            put("  ".join(part for part in (call.job, call.outcome, call.ref, call.job_id) if part))
        for note in ended.notes:
            say(f"note: {note}")
        if record.status != "cancelled":
            say(f"run {record.id} has ended as {record.status}: there is nothing to cancel")
        else:
            say(f"run {record.id} is cancelled; to go on (nothing is paid twice): {again}")
    if all(call.ok for call in calls):
        return 0
    return 5 if any(call.ok for call in calls) else 1


def must_have_runs(project: Path | None) -> None:
    """Raises ConfigError where nothing was run."""
    from callsheet.cli.work import has_ledger

    if not has_ledger(project):
        raise ConfigError("nothing was run in this project yet: name its folder with --project", missing=True)


async def find_record(ledger: Ledger, run: str) -> RunRecord:
    """The run that is meant; the latest when none is named. Raises ConfigError."""
    if run:
        return await ledger.run(run)
    latest = await ledger.runs(limit=1)
    if not latest:
        raise ConfigError("nothing was run in this project yet", missing=True)
    return latest[0]
