"""`callsheet jobs`: the calls of which the last word is not spoken, who works on them, and what to do with the others."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from callsheet.cli.options import json_option, project_option
from callsheet.cli.terminal import Session, put, put_json, put_table, say

if TYPE_CHECKING:
    from callsheet.adoption import Adoption
    from callsheet.client import Client
    from callsheet.errors import CallsheetError
    from callsheet.storage import CallRecord

__all__ = ["jobs"]

_COLUMNS = ("state", "job", "model", "run", "provider job", "since", "owner")


@click.command()
@click.argument("job_ids", nargs=-1, metavar="[JOB_ID]...")
@click.option("--orphans", is_flag=True, help="Only those that no living process works on.")
@click.option("--adopt", is_flag=True, help="Wait for the orphans and collect them.")
@click.option("--cancel", is_flag=True, help="Stop the orphans at their providers.")
@click.option("--yes", is_flag=True, help="Stop them without a question.")
@project_option
@json_option
@click.pass_obj
def jobs(
    session: Session,
    job_ids: tuple[str, ...],
    *,
    orphans: bool,
    adopt: bool,
    cancel: bool,
    yes: bool,
    project: Path | None,
) -> int:
    """List the calls that are under way or were left behind; adopt or stop what was left behind.

    JOB_ID names some of them: the provider's id of the job, the call's key, or the beginning of one.
    """
    from callsheet.cli.work import perform

    if adopt and cancel:
        raise click.UsageError("--adopt collects and --cancel stops: choose one")
    if yes and not cancel:
        raise click.UsageError("--yes goes with --cancel")
    orphans = orphans or adopt or cancel
    rows = perform(_listed(session, project, job_ids, orphans=orphans))
    if not adopt and not cancel:
        _list(session, rows, orphans=orphans)
        return 0
    if cancel and rows and not yes and sys.stdin.isatty() and not _confirmed(rows):
        say("nothing was stopped")
        return 1
    return perform(_settle(session, project, {row["key"] for row in rows}, cancel=cancel))


def _confirmed(rows: list[dict[str, Any]]) -> bool:
    for row in rows:
        say("  ".join(part for part in (row["job"], row["state"], row["ref"], row["job_id"]) if part))
    return click.confirm(f"Stop {'this job' if len(rows) == 1 else 'these jobs'} at the provider?", err=True)


async def _listed(
    session: Session, project: Path | None, job_ids: tuple[str, ...], *, orphans: bool
) -> list[dict[str, Any]]:
    """The rows that are asked for. Raises ConfigError for an id that none of them has."""
    from callsheet.cli.work import ledgers, open_project
    from callsheet.errors import ConfigError

    found = []
    for folder in ledgers(project):
        async with open_project(session, folder, user=True) as client:
            found += [await _row(client, call) for call in await client.ledger.open_calls()]
    rows = [row for row in found if row["owner"] == "dead" or not orphans]
    for job_id in job_ids:
        if not any(_is_meant(row, job_id) for row in rows):
            where = "was left behind" if orphans else "is under way"
            raise ConfigError(f"no call with the job {job_id!r} {where}: `callsheet jobs` lists those", missing=True)
    return [row for row in rows if not job_ids or any(_is_meant(row, job_id) for job_id in job_ids)]


def _is_meant(row: dict[str, Any], job_id: str) -> bool:
    return bool(job_id) and any(str(row[name]).startswith(job_id) for name in ("job_id", "key"))


async def _row(client: Client, call: CallRecord) -> dict[str, Any]:
    from callsheet.cli.work import project_command
    from callsheet.orphans import orphaned
    from callsheet.stores.records import encode_receipt

    receipt = call.receipt if call.receipt is not None and call.receipt.job_id else None
    job_id = receipt.job_id if receipt is not None else ""
    cancel = project_command(client, "jobs", "--cancel", job_id or call.key[:12])
    return {
        "state": call.state.value,
        "job": call.job,
        "ref": call.ref,
        "operation": call.operation,
        "run": call.run,
        "key": call.key,
        "job_id": job_id,
        "since": call.created,
        "updated": call.updated,
        "owner": "dead" if await orphaned(client.runtime, call) else "alive",
        "resume": project_command(client, "resume", call.run or job_id or call.key[:12]),
        "cancel": project_command(client, "runs", "cancel", call.run) if call.run else cancel,
        "receipt": None if receipt is None else json.loads(encode_receipt(receipt)),
    }


def _list(session: Session, rows: list[dict[str, Any]], *, orphans: bool) -> None:
    if session.json:
        put_json(session, {"jobs": rows})
    elif rows:
        _show(rows)
    else:
        say("no call was left behind" if orphans else "no call is under way")


def _show(rows: list[dict[str, Any]]) -> None:
    names = ("state", "job", "ref", "run", "job_id", "since", "owner")
    put_table(_COLUMNS, [[_time(row[name]) if name == "since" else row[name] for name in names] for row in rows])
    dead = {row["resume"]: row for row in rows if row["owner"] == "dead"}
    for row in dead.values():
        whole = f"the run {row['run']}" if row["run"] else f"the job {row['job_id'] or row['job']}"
        say(f"to go on with {whole}: {row['resume']}; to stop it: {row['cancel']}")
    if len(dead) > 1:
        say("to collect all that was left behind: callsheet jobs --adopt; to stop it: callsheet jobs --cancel")
    for row in {row["run"]: row for row in rows if row["owner"] == "alive" and row["run"]}.values():
        say(f"to stop the run {row['run']}: {row['cancel']}")


async def _settle(session: Session, project: Path | None, keys: set[str], *, cancel: bool) -> int:
    """Adopt or stop the calls with these keys, tell of each, and give the exit code."""
    from callsheet.adoption import adopt, stop
    from callsheet.cli.work import ledgers, open_project

    ended: list[Adoption] = []
    told: list[dict[str, Any]] = []
    resumes: dict[str, None] = {}
    for folder in ledgers(project):
        async with open_project(session, folder, user=True) as client:
            calls = [call for call in await client.ledger.open_calls() if call.key in keys]
            hear = _heard if session.json else _tell
            settled = await (stop if cancel else adopt)(client.runtime, calls, hear)
            rows = [(each, await _row(client, each.call)) for each in settled]
            told += [_document(each, row) for each, row in rows]
            resumes |= {row["resume"]: None for each, row in rows if _goes_on(each)}
            ended += settled
    if session.json:
        put_json(session, {"jobs": told})
    elif not ended:
        say("no call was left behind")
    for command in [] if session.json else resumes:
        say(f"to go on: {command}")
    return _exit_code(ended, cancel=cancel)


def _goes_on(each: Adoption) -> bool:
    """True when `resume` has something to do: a run, a job that is still there, a result to be shown."""
    return bool(each.call.run) or not each.settled or each.result is not None


def _heard(_each: Adoption) -> None:
    """It is in the document, at the end."""


def _tell(each: Adoption) -> None:
    call = each.call
    job_id = call.receipt.job_id if call.receipt is not None else ""
    put("  ".join(part for part in (call.job, each.outcome, call.ref, job_id) if part))
    if each.error is not None and each.outcome != "not_sent":
        say(f"  {each.error}")


def _document(each: Adoption, row: dict[str, Any]) -> dict[str, Any]:
    from callsheet.run_events import result_summary

    kept = {name: row[name] for name in ("job", "ref", "run", "key", "job_id")}
    kept["resume"] = row["resume"] if _goes_on(each) else ""
    message = str(each.error) if each.error is not None else ""
    artifacts = result_summary(each.result)["artifacts"] if each.result is not None else []
    return {**kept, "outcome": each.outcome, "message": message, "artifacts": artifacts}


def _exit_code(ended: Iterable[Adoption], *, cancel: bool) -> int:
    """0 when all is well, 5 when some of it is; else what every error says."""
    ended = list(ended)
    good = [each.settled and (cancel or each.outcome != "failed") for each in ended]
    if all(good):
        return 0
    if any(good):
        return 5
    errors: list[CallsheetError] = [each.error for each in ended if each.error is not None]
    codes = {error.exit_code for error in errors}
    return codes.pop() if codes in ({3}, {4}) else 1


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
