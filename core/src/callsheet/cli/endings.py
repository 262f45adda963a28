"""How a run is carried out and how its end is told: progress, the document or the summary, and the exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any

from callsheet.cli.complaints import advice, tell_prompt
from callsheet.cli.progress import watching
from callsheet.cli.terminal import Session, put, put_json, say
from callsheet.cli.work import resume_command
from callsheet.client import Client
from callsheet.manifest import cost_from_json
from callsheet.outputs import OutputFolder
from callsheet.runner import JobOutcome
from callsheet.runs import Run
from callsheet.storage import Event

__all__ = ["exit_code", "run_to_end"]

MAX_FAILURES = 20
_ALWAYS = ("executed", "reused", "failed", "blocked")
_SOMETIMES = ("unknown", "pending", "cancelled", "skipped")
_WRONG = ("failed", "unknown", "pending")


class _Seen:
    """Remembers which run the events are of: a cancelled run gives no result that could say it."""

    def __init__(self) -> None:
        self.run = ""

    def __call__(self, event: Event) -> None:
        self.run = event.run or self.run


async def run_to_end(session: Session, client: Client, work: Coroutine[Any, Any, Run]) -> int:
    """Await a run with progress shown, tell how it ended, and give the exit code. Tells of a cancelled one, too."""
    seen = _Seen()
    forget = client.ledger.subscribe(seen)
    try:
        with watching(session, client.ledger):
            run = await work
    except asyncio.CancelledError:
        if seen.run:
            await _tell_cancelled(session, client, seen.run)
        raise
    finally:
        forget()
    code = exit_code(run)
    _tell(session, client, run.manifest, run.output, warnings=[w.message for w in run.warnings], notes=run.notes)
    return code


def exit_code(run: Run) -> int:
    """0 when all is there, 5 when part of it is; 130 when it was stopped; else what every failure says."""
    if run.status == "succeeded":
        return 0
    if run.status == "cancelled":
        return 130
    if any(outcome.status.good for outcome in run.outcomes.values()):
        return 5
    codes = {_code(outcome) for outcome in run.outcomes.values() if outcome.error is not None}
    return codes.pop() if codes in ({3}, {4}) else 1


def _code(outcome: JobOutcome) -> int:
    return outcome.error.exit_code if outcome.error is not None else 1


async def _tell_cancelled(session: Session, client: Client, run_id: str) -> None:
    """The run wrote its manifest before it let go; what it says is all there is to tell."""
    record = await client.ledger.run(run_id)
    session.told = not session.json
    output = OutputFolder(Path(record.output))
    manifest = output.manifest()
    if manifest is not None and manifest.get("run") == record.id:
        _tell(session, client, manifest, output.path, warnings=(), notes=())
    elif not session.json:
        say(f"cancelled; to go on: {resume_command(record.id, client)}")


def _tell(
    session: Session,
    client: Client,
    manifest: Mapping[str, Any],
    output: Path,
    *,
    warnings: Iterable[str],
    notes: Iterable[str],
) -> None:
    told = list(dict.fromkeys([*warnings, *(text for job in manifest["jobs"] for text in job.get("warnings", ()))]))
    if session.json:
        put_json(session, _document(manifest, output, told, list(notes)))
        return
    for artifact in _artifacts(manifest, output):
        put(artifact["file"])
    _tell_failures(manifest)
    for note in notes:
        say(f"note: {note}")
    for warning in told:
        say(f"warning: {warning}")
    _summarise(client, manifest, output)


def _document(manifest: Mapping[str, Any], output: Path, warnings: list[str], notes: list[str]) -> dict[str, object]:
    counts = manifest["counts"]
    document = {"run": manifest["run"], "status": manifest["status"]}
    document |= {name: counts.get(name, 0) for name in _ALWAYS}
    document |= {name: counts[name] for name in _SOMETIMES if counts.get(name)}
    document |= {"cost": manifest["cost"], "warnings": warnings, "notes": notes, "output": str(output)}
    errors = [_error(job) for job in manifest["jobs"] if job["status"] in _WRONG]
    document |= {"errors": errors} if errors else {}
    return document | {"artifacts": _artifacts(manifest, output)}


def _error(job: Mapping[str, Any]) -> dict[str, object]:
    kept = {name: job.get(name, "") for name in ("kind", "sent", "message", "ref", "producer", "docs_url")}
    return {"job": job["id"], "status": job["status"], **kept}


def _artifacts(manifest: Mapping[str, Any], output: Path) -> list[dict[str, object]]:
    return [
        {
            "job": job["id"],
            "file": str(output / artifact["file"]),
            "media_type": artifact["media_type"],
            "sha256": artifact["sha256"],
            "bytes": artifact["bytes"],
        }
        for job in manifest["jobs"]
        for artifact in job["artifacts"]
    ]


def _tell_failures(manifest: Mapping[str, Any]) -> None:
    wrong = [job for job in manifest["jobs"] if job["status"] in _WRONG]
    for job in wrong[:MAX_FAILURES]:
        about = f" ({job['ref']})" if job.get("ref") and job["ref"] not in job.get("message", "") else ""
        say(f"error: {job['id']} {job['status']}: {job.get('message', '')}{about}")
        tell_prompt(str(job.get("prompt", "")))
        if job["status"] == "failed" and advice(str(job.get("kind", ""))):
            say(f"  what to do: {advice(str(job['kind']))}")
        if job.get("docs_url"):
            say(f"  see {job['docs_url']}")
    if len(wrong) > MAX_FAILURES:
        say(f"… and {len(wrong) - MAX_FAILURES} more: `callsheet runs show {manifest['run']}`")


def _summarise(client: Client, manifest: Mapping[str, Any], output: Path) -> None:
    counts, status = manifest["counts"], manifest["status"]
    mode = "" if manifest["mode"] == "live" else f" ({manifest['mode']})"
    told = ", ".join(f"{counts[name]} {name}" for name in (*_ALWAYS, *_SOMETIMES) if counts.get(name))
    if status == "succeeded" and not counts.get("executed"):
        say(f"nothing to do: all {counts.get('reused', 0)} results are there already")
    say(f"run {manifest['run']} {status}{mode}: {told or 'no jobs'}")
    cost = cost_from_json(manifest["cost"])
    say(f"cost: {cost}{f' ({cost.reason})' if cost.reason else ''}")
    say(f"artifacts: {output}")
    if status != "succeeded":
        say(f"to go on (nothing is paid twice): {resume_command(manifest['run'], client)}")
