"""The manifest: derived from events, in a human order, with a digest."""

from __future__ import annotations

import json

from callsheet.manifest import build_manifest, check_digest, file_name
from callsheet.storage import Event, RunRecord

RUN = RunRecord("r1", "sheet.toml", "live", "running", "me", 1.0, None, "/out", {})


def event(seq: int, type_: str, job: str = "", **body: object) -> Event:
    """An event at the time of its number."""
    return Event(seq, "r1", float(seq), type_, job, body)


def artifact(media_type: str = "image/png") -> dict[str, object]:
    """What an event says of an artifact."""
    return {"kind": "blob", "media_type": media_type, "sha256": "ab" * 32, "bytes": 3}


EVENTS = [
    event(1, "run.started"),
    event(2, "job.succeeded", "clip[10]", artifacts=[artifact()], cost={"usd": "0.03"}, ref="p:m", warnings=[]),
    event(3, "job.succeeded", "clip[2]", artifacts=[artifact(), artifact("video/mp4")], cost={"usd": "0.02"}),
    event(4, "attempt.failed", "a", kind="overloaded", sent="rejected", message="busy", ref="p:m", number=1, began=3.5),
    event(5, "job.failed", "a", kind="timeout", message="no answer"),
    event(6, "job.blocked", "b", needs=["a"]),
    event(7, "job.pinned", "s", artifacts=[artifact("application/json")], pin=["s.json"]),
    event(8, "something.else", "zzz"),
    event(9, "run.finished", status="partial"),
]


def jobs(manifest: dict[str, object]) -> dict[str, dict[str, object]]:
    """The manifest's jobs by id, in its order."""
    listed = manifest["jobs"]
    assert isinstance(listed, list)
    return {job["id"]: job for job in listed}


def test_it_says_what_the_events_say() -> None:
    """Counts, cost, times, jobs and attempts follow from the events alone."""
    manifest = build_manifest(RUN, "T", EVENTS)
    assert list(jobs(manifest)) == ["a", "b", "clip[2]", "clip[10]", "s"]
    assert manifest["counts"] == {"blocked": 1, "executed": 2, "failed": 1, "reused": 1}
    assert (manifest["cost"], manifest["status"], manifest["ended"], manifest["seq"]) == (
        {"usd": "0.05"},
        "partial",
        9.0,
        9,
    )
    told = jobs(manifest)["a"]["attempts"]
    why = {"kind": "overloaded", "sent": "rejected", "message": "busy"}
    assert told == [{"outcome": "failed", "ref": "p:m", "number": 1, **why, "started": 3.5, "ended": 4.0}]
    paid = {"outcome": "succeeded", "ref": "p:m", "cost": {"usd": "0.03"}, "ended": 2.0}
    assert jobs(manifest)["clip[10]"]["attempts"] == [paid]
    assert jobs(manifest)["b"]["needs"] == ["a"]
    assert "warnings" not in jobs(manifest)["clip[10]"]


def test_file_names() -> None:
    """`<producer>[-<index>][-<number>].<ext>`, and nothing of what an event says becomes a name."""
    named = {
        job: [a["file"] for a in told["artifacts"]] for job, told in jobs(build_manifest(RUN, "T", EVENTS)).items()
    }  # type: ignore[attr-defined]
    assert named["clip[10]"] == ["clip-10.png"]
    assert named["clip[2]"] == ["clip-2-0.png", "clip-2-1.mp4"]
    assert named["s"] == ["s.json"]
    assert file_name("x", None, None, "../../evil") == "x.bin"
    hostile = event(2, "job.succeeded", "x", artifacts=[{**artifact(), "file": "../../evil"}])
    assert jobs(build_manifest(RUN, "T", [hostile]))["x"]["artifacts"][0]["file"] == "x.png"  # type: ignore[index]


def test_a_resumed_run_still_cost_what_it_cost() -> None:
    """The last event of a job is its state, but what was paid in the run stays paid."""
    again = [
        *EVENTS,
        event(10, "job.reused", "clip[10]", key="of another wording", artifacts=[artifact()]),
        event(11, "job.succeeded", "a", cost={"usd": "1"}),
    ]
    manifest = build_manifest(RUN, "T", again)
    assert jobs(manifest)["clip[10]"]["status"] == "reused"
    assert jobs(manifest)["a"]["status"] == "executed"
    assert manifest["cost"] == {"usd": "1.05"}


def test_an_unknown_cost_stays_unknown() -> None:
    """One job without a price makes the sum unknown, with the known part told."""
    unknown = event(10, "job.succeeded", "u", cost={"usd": None, "reason": "no price"})
    assert build_manifest(RUN, "T", [*EVENTS, unknown])["cost"] == {
        "usd": None,
        "reason": "no price; the known part is $0.05",
    }


def test_the_digest() -> None:
    """The same events give the same manifest; any change shows, also after the way through a file."""
    manifest = build_manifest(RUN, "T", EVENTS)
    assert manifest == build_manifest(RUN, "T", iter(EVENTS))
    assert check_digest(json.loads(json.dumps(manifest, indent=2)))
    assert not check_digest({**manifest, "title": "other"})
    assert not check_digest({**manifest, "more": 1})
    assert not check_digest({})


def test_no_events() -> None:
    """A run that has not begun has a manifest with nothing in it."""
    manifest = build_manifest(RUN, "T", [])
    assert (manifest["jobs"], manifest["seq"], manifest["status"], manifest["cost"]) == (
        [],
        0,
        "running",
        {"usd": "0.00"},
    )
