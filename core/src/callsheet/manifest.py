"""The manifest of a run: derived from its events, never written by hand, and checkable against them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal

from callsheet.artifacts import extension_for
from callsheet.digests import digest
from callsheet.money import Cost, total
from callsheet.storage import Event, RunRecord

__all__ = ["FORMAT", "build_manifest", "check_digest", "cost_from_json", "file_name"]

FORMAT = 1

_STATUS = {
    "job.succeeded": "executed",
    "job.reused": "reused",
    "job.pinned": "reused",
    "job.failed": "failed",
    "job.unknown": "unknown",
    "job.pending": "pending",
    "job.blocked": "blocked",
    "job.skipped": "skipped",
    "job.cancelled": "cancelled",
}
_OF_JOB = (
    "ref", "mode", "mapping", "mocked", "dispatch", "key", "sample", "reason", "detail", "cost", "usage", "finish", "meta",
    "warnings", "operation", "inputs", "upstream", "pin", "needs", "kind", "sent", "message", "status_code",
    "request_id", "docs_url", "prompt",
)  # fmt: skip
_PAID = ("job.succeeded", "job.collected", "attempt.failed", "attempt.lost")
_OUTCOME = {
    "job.succeeded": "succeeded",
    "attempt.failed": "failed",
    "attempt.lost": "unknown",
    "job.aborted": "cancelled",
}
_OF_ATTEMPT = ("ref", "number", "kind", "sent", "message", "cost")
_CLOCK = ("started", "submitted", "finished")


def file_name(producer: str, index: int | None, number: int | None, media_type: str) -> str:
    """`<producer>[-<index>][-<number>].<ext>`; `number` only where a job has several artifacts."""
    parts = [producer, *(str(n) for n in (index, number) if n is not None)]
    return f"{'-'.join(parts)}.{extension_for(media_type)}"


def build_manifest(run: RunRecord, title: str, events: Iterable[Event]) -> dict[str, object]:
    """The manifest as JSON data, with the last event's `seq` and a digest over all the rest."""
    jobs: dict[str, dict[str, object]] = {}
    paid: dict[str, dict[str, object]] = {}
    attempts: dict[str, list[dict[str, object]]] = {}
    clocks: dict[str, dict[str, object]] = {}
    spent: list[Cost] = []
    seq, status, ended = 0, run.status, run.ended
    for event in events:
        seq = event.seq
        if event.type == "run.finished":
            status, ended = str(event.body.get("status", run.status)), event.at
        if event.type in _PAID and isinstance(cost := event.body.get("cost"), Mapping):
            spent.append(cost_from_json(cost))  # also when a later part of the same run finds the result in the store
        _clock(clocks, event)
        if event.job and event.type in _STATUS:
            jobs[event.job] = job = {**_job(event), **clocks[event.job]}
            if event.type == "job.succeeded":
                paid[event.job] = job
            elif event.type == "job.reused" and paid.get(event.job, {}).get("key") == job.get("key"):
                jobs[event.job] = paid[event.job]  # a resume found what this very run had paid for
        if event.job and (attempt := _attempt(event)):
            attempts.setdefault(event.job, []).append(attempt)
    for name, job in jobs.items():
        job["attempts"] = attempts.get(name, [])
    manifest: dict[str, object] = {
        "callsheet": FORMAT,
        "run": run.id,
        "sheet": run.sheet,
        "title": title,
        "mode": run.mode,
        "status": status,
        "started": run.started,
        "ended": ended,
        "counts": dict(sorted(Counter(str(job["status"]) for job in jobs.values()).items())),
        "cost": total(spent).as_json(),
        "jobs": [jobs[name] for name in sorted(jobs, key=_natural)],
        "seq": seq,
    }
    return {**manifest, "digest": digest(manifest)}


def _attempt(event: Event) -> dict[str, object]:
    """How an attempt ended; empty for an event that is no attempt's end."""
    outcome = _OUTCOME.get(event.type, "")
    if not outcome or (event.type == "job.aborted" and event.body.get("outcome") != "stopped"):
        return {}
    known = {name: event.body[name] for name in _OF_ATTEMPT if event.body.get(name) not in (None, "")}
    started = {"started": event.body["began"]} if "began" in event.body else {}
    return {"outcome": outcome, **known, **started, "ended": event.at}


def _clock(clocks: dict[str, dict[str, object]], event: Event) -> None:
    """Note when a job of the run was started, submitted and finished; a resumed job starts anew."""
    started, submitted, finished = _CLOCK
    if event.type == "job.started" and finished in clocks.get(event.job, _CLOCK):
        clocks[event.job] = {started: event.at}
    elif event.type == "job.submitted":
        clocks.setdefault(event.job, {})[submitted] = event.at
    elif event.job and event.type in _STATUS:
        clocks[event.job] = {**clocks.get(event.job, {}), finished: event.at}


def _job(event: Event) -> dict[str, object]:
    producer, _, rest = event.job.partition("[")
    index = int(rest[:-1]) if rest else None
    job: dict[str, object] = {"id": event.job, "producer": producer, "index": index, "status": _STATUS[event.type]}
    job |= {name: event.body[name] for name in _OF_JOB if event.body.get(name) not in (None, "", [], {})}
    artifacts = event.body.get("artifacts", [])
    assert isinstance(artifacts, list)
    many = len(artifacts) > 1
    job["artifacts"] = [
        {**a, "file": file_name(producer, index, number if many else None, str(a["media_type"]))}
        for number, a in enumerate(artifacts)
    ]
    return job


def _natural(job: str) -> tuple[str, int]:
    producer, _, rest = job.partition("[")
    return producer, int(rest[:-1]) if rest else -1


def cost_from_json(value: Mapping[str, object]) -> Cost:
    """The cost that `Cost.as_json` wrote."""
    if "low" in value:
        return Cost(Decimal(str(value["low"])), Decimal(str(value["high"])))
    if value.get("usd") is None:
        return Cost.unknown(str(value.get("reason", "")))
    return Cost.exactly(str(value["usd"]))


def check_digest(manifest: Mapping[str, object]) -> bool:
    """True when a manifest is as it was written."""
    rest = {name: value for name, value in manifest.items() if name != "digest"}
    return manifest.get("digest") == digest(rest)
