"""`callsheet jobs`: the calls of which the last word is not spoken, and who works on them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from callsheet.cli.options import json_option, project_option
from callsheet.cli.terminal import Session, put_json, put_table, say

if TYPE_CHECKING:
    from callsheet.client import Client
    from callsheet.storage import CallRecord

__all__ = ["jobs"]

_COLUMNS = ("state", "job", "model", "run", "provider job", "since", "owner")


@click.command()
@click.option("--orphans", is_flag=True, help="Only those that no living process works on.")
@project_option
@json_option
@click.pass_obj
def jobs(session: Session, orphans: bool, project: Path | None) -> None:
    """List the calls that are under way or were left behind, and how to go on with them."""
    from callsheet.cli.work import ledgers, open_project, perform

    async def work() -> list[dict[str, Any]]:
        found = []
        for folder in ledgers(project):
            async with open_project(session, folder, user=True) as client:
                found += [await _row(client, call) for call in await client.ledger.open_calls()]
        return found

    rows = perform(work())
    if orphans:
        rows = [row for row in rows if row["owner"] == "dead"]
    if session.json:
        put_json(session, {"jobs": rows})
    elif rows:
        _show(rows)
    else:
        say("no call was left behind" if orphans else "no call is under way")


async def _row(client: Client, call: CallRecord) -> dict[str, Any]:
    from callsheet.cancellation import orphaned
    from callsheet.cli.work import project_command
    from callsheet.stores.records import encode_receipt

    return {
        "state": call.state.value,
        "job": call.job,
        "ref": call.ref,
        "operation": call.operation,
        "run": call.run,
        "key": call.key,
        "job_id": call.receipt.job_id if call.receipt is not None else "",
        "since": call.created,
        "updated": call.updated,
        "owner": "dead" if await orphaned(client.runtime, call) else "alive",
        "resume": project_command(client, "resume", call.run) if call.run else "",
        "cancel": project_command(client, "runs", "cancel", call.run) if call.run else "",
        "receipt": json.loads(encode_receipt(call.receipt))
        if call.receipt is not None and call.receipt.job_id
        else None,
    }


def _show(rows: list[dict[str, Any]]) -> None:
    names = ("state", "job", "ref", "run", "job_id", "since", "owner")
    put_table(_COLUMNS, [[_time(row[name]) if name == "since" else row[name] for name in names] for row in rows])
    for run in dict.fromkeys(row["run"] for row in rows):
        row = next(row for row in rows if row["run"] == run and row["owner"] == "dead") if _dead(rows, run) else None
        if row is None:
            one = next(row for row in rows if row["run"] == run)
            if one["cancel"]:
                say(f"to stop the run {run}: {one['cancel']}")
        elif run:
            say(f"to go on with the run {run}: {row['resume']}; to stop its jobs: {row['cancel']}")
        elif row["receipt"] is not None:
            say("calls without a run: save the `receipt` of `callsheet jobs --json` as FILE.json, then")
            say("  callsheet resume FILE.json")
        else:
            say("calls without a run and without a receipt: make the same call again with --reuse")


def _dead(rows: list[dict[str, Any]], run: str) -> bool:
    return any(row["run"] == run and row["owner"] == "dead" for row in rows)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
