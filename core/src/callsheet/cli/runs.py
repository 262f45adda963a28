"""`callsheet runs list|show|verify`: what was run, how it ended, and whether everything is still as it was."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from callsheet.cli.commands import SuggestingGroup
from callsheet.cli.options import json_option, project_option
from callsheet.cli.run_control import cancel, events, find_record, must_have_runs, open_report
from callsheet.cli.terminal import Session, put, put_json, put_table, say

if TYPE_CHECKING:
    from callsheet.storage import RunRecord
    from callsheet.stores.ledger import Ledger
    from callsheet.verification import Verification

__all__ = ["runs"]

LATEST = 50


@click.group(cls=SuggestingGroup)
def runs() -> None:
    """List, show, open, follow, cancel and verify runs."""


for _command in (open_report, events, cancel):
    runs.add_command(_command)


@runs.command("list")
@project_option
@json_option
@click.pass_obj
def list_runs(session: Session, project: Path | None) -> None:
    """List the latest runs, newest first."""
    from callsheet.cli.work import has_ledger, open_project, perform

    async def work() -> list[dict[str, Any]]:
        async with open_project(session, project) as client:
            ledger = client.ledger
            return [_head(record, ledger) for record in await ledger.runs(limit=LATEST)]

    found = perform(work()) if has_ledger(project) else []
    if session.json:
        put_json(session, {"runs": found})
    elif found:
        rows = [(r["run"], r["status"], r["mode"], _time(r["started"]), r["sheet"], r["output"]) for r in found]
        put_table(("run", "status", "mode", "started", "sheet", "output"), rows)
    else:
        say("nothing was run in this project yet")


@runs.command("show")
@click.argument("run", required=False, default="")
@project_option
@json_option
@click.pass_obj
def show(session: Session, run: str, project: Path | None) -> None:
    """Show the jobs of RUN (default: the latest) with status, reason, model and cost."""
    from callsheet.cli.work import open_project, perform, resume_command

    async def work() -> tuple[dict[str, Any], str]:
        from callsheet.verification import rebuild_manifest

        async with open_project(session, project) as client:
            record = await find_record(client.ledger, run)
            manifest = await rebuild_manifest(client.runtime.services, record)
            told = {name: value for name, value in manifest.items() if name not in ("callsheet", "seq", "digest")}
            return {**told, **_head(record, client.ledger)}, resume_command(record.id, client)

    must_have_runs(project)
    told, command = perform(work())
    if session.json:
        put_json(session, told)
        return
    _show(told)
    if told["status"] not in ("succeeded", "running"):
        say(f"to go on (nothing is paid twice): {command}")


@runs.command("verify")
@click.argument("run", required=False, default="")
@project_option
@json_option
@click.pass_obj
def verify(session: Session, run: str, project: Path | None) -> int:
    """Compare the events of RUN (default: the latest) with its manifest, blobs and output files.

    What can be derived is put back: the manifest from the events, output files from the blobs and the ledger. An output
    file that somebody changed is kept beside it as NAME.altered.EXT.
    """
    from callsheet.cli.work import open_project, perform

    async def work() -> tuple[Verification, Verification, tuple[Path, ...]]:
        from callsheet.repair import repair_run
        from callsheet.verification import verify_run

        async with open_project(session, project) as client:
            services, record = client.runtime.services, await find_record(client.ledger, run)
            before = await verify_run(services, record)
            repaired = () if before.ok else await repair_run(services, record)
            return before, await verify_run(services, record) if repaired else before, repaired

    must_have_runs(project)
    found, after, repaired = perform(work())
    if session.json:
        document = {"run": found.run, "ok": after.ok, "problems": list(found.problems), "notes": list(found.notes)}
        document |= {"repaired": [str(path) for path in repaired], "output": str(found.output)}
        put_json(session, {**document, "blobs": found.blobs, "files": found.files})
    else:
        for note in found.notes:
            say(f"note: {note}")
        for problem in found.problems:
            put(problem)
        for path in repaired:
            say(f"repaired: {path}")
        verdict = (
            f"{len(found.problems)} problems, {len(after.problems)} left"
            if found.problems
            else "all is as it was written"
        )
        say(f"run {found.run}: {verdict} ({found.blobs} blobs and {found.files} output files compared)")
    return 0 if after.ok else 1


def _head(record: RunRecord, ledger: Ledger) -> dict[str, Any]:
    # A run whose process is gone without a word did not end, and is not running either.
    dead = record.ended is None and not ledger.owner.is_alive(record.owner)
    return {
        "run": record.id,
        "sheet": record.sheet,
        "mode": record.mode,
        "status": "interrupted" if dead else record.status,
        "started": record.started,
        "ended": record.ended,
        "output": record.output,
    }


def _show(told: Mapping[str, Any]) -> None:
    from callsheet.manifest import cost_from_json

    put(f"run {told['run']} {told['status']} ({told['mode']}), {_time(told['started'])}: {told['sheet']}")
    rows = [
        (job["id"], job["status"], _why(job), job.get("ref", ""), cost_from_json(job["cost"]) if "cost" in job else "")
        for job in told["jobs"]
    ]
    put_table(("job", "status", "reason", "model", "cost"), rows, right=("cost",))
    cost = cost_from_json(told["cost"])
    put(f"cost: {cost}{f' ({cost.reason})' if cost.reason else ''}")
    put(f"artifacts: {told['output']}")


def _why(job: Mapping[str, Any]) -> str:
    if job.get("message"):
        return str(job["message"])
    if job.get("needs"):
        return f"needs {', '.join(job['needs'])}"
    return ": ".join(str(job[name]) for name in ("reason", "detail") if job.get(name))


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
