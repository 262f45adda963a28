"""From a manifest to the page: everything is put into words here, the template only places it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from callsheet.advice import advice
from callsheet.manifest import cost_from_json
from callsheet.report.timeline import bars, seconds_text

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["MAX_TEXT", "REPORT", "is_report", "render_report", "shows_text"]

REPORT = "report.html"
MAX_TEXT = 8000
"""How many characters of a text are shown; the whole of it is one click away."""
SHORT_TEXT = 400
"""Longer texts are folded."""
SHORT_SETTING = 40
MANY_PLAYERS = 24
"""With more players than this on the page, none of them loads anything before it is played."""
_MARK = b'<meta name="generator" content="callsheet">'
_MARK_WITHIN = 400
_WRONG = ("failed", "unknown", "pending")
_ORDER = ("executed", "reused", "failed", "unknown", "pending", "blocked", "cancelled", "skipped")
_NEXT = {
    "unknown": "nobody knows whether it was paid for; to send it again: callsheet resume {run} --on-unknown retry",
    "pending": "it is still with the provider; to ask again: callsheet resume {run}",
    "cancelled": "to go on: callsheet resume {run}",
    "skipped": "to go on: callsheet resume {run}",
}
_LEADING = ("prompt", "text")
# Control characters, and those that turn the direction of what follows: none of them belongs on a page.
_CLEAN = (
    {code: None for code in (*range(32), *range(127, 160)) if code not in (9, 10)}
    | dict.fromkeys((0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFFFE, 0xFFFF), None)
    | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
)


def is_report(head: bytes) -> bool:
    """True when a file that begins so is a report that a run wrote, and not somebody's own page."""
    return _MARK in head[:_MARK_WITHIN]


def shows_text(media_type: str) -> bool:
    """True for artifacts whose text the page shows."""
    plain = _plain(media_type)
    return plain.startswith("text/") or plain.endswith(("/json", "+json"))


def render_report(manifest: Mapping[str, Any], files: Mapping[str, str | None]) -> bytes:
    """The page, as UTF-8. `files` are those that lie beside it, with the beginning of their text where one is shown.

    The same arguments give the same bytes.
    """
    view = _view(_clean(dict(manifest)), _clean(dict(files)))
    return _template().render(view).encode()


@cache
def _template() -> Template:
    from importlib.resources import files

    from jinja2 import Environment, StrictUndefined

    source = files("callsheet.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source)


def _view(manifest: Mapping[str, Any], files: Mapping[str, str | None]) -> dict[str, object]:
    run, jobs = str(manifest.get("run", "")), list(manifest.get("jobs", []))
    made = {str(a["sha256"]): str(a["file"]) for job in jobs for a in job.get("artifacts", ()) if a.get("sha256")}
    anchors = {str(job["id"]): f"job-{number}" for number, job in enumerate(jobs)}
    cards = [_card(job, run, anchors, made, files) for job in jobs]
    players = sum(1 for card in cards for a in card["artifacts"] if a["show"] in ("video", "audio"))
    started, ended = manifest.get("started"), manifest.get("ended")
    counts = manifest.get("counts", {})
    return {
        "title": manifest.get("title") or manifest.get("sheet") or "A run",
        "run": run,
        "sheet": manifest.get("sheet", ""),
        "mode": manifest.get("mode", "live"),
        "status": manifest.get("status", ""),
        "counts": [(name, counts[name]) for name in _ORDER if counts.get(name)],
        "cost": _money(manifest.get("cost")),
        "started": _moment(started),
        "took": seconds_text(ended - started) if started is not None and ended is not None else "",
        "mocked": sorted({card["producer"] for card in cards if card["mocked"]}),
        "wrong": [card for card in cards if card["status"] in _WRONG],
        "missing": [card for card in cards if card["status"] in ("blocked", "cancelled", "skipped")],
        "bars": bars(jobs, anchors),
        "groups": _groups(jobs, cards),
        "preload": "none" if players > MANY_PLAYERS else "metadata",
    }


def _groups(jobs: list[Mapping[str, Any]], cards: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The cards by producer, what stands upstream first."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    above: dict[str, set[str]] = {}
    for job, card in zip(jobs, cards, strict=True):
        grouped.setdefault(card["producer"], []).append(card)
        needed = (str(each).partition("[")[0] for each in (*job.get("upstream", ()), *job.get("needs", ())))
        above.setdefault(card["producer"], set()).update(needed)
    depths: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in depths:
            depths[name] = 0  # where producers feed each other by turns, the circle is cut here
            depths[name] = max((1 + depth(each) for each in sorted(above.get(name, ())) if each != name), default=0)
        return depths[name]

    return sorted(grouped.items(), key=lambda entry: (depth(entry[0]), entry[0]))


def _card(
    job: Mapping[str, Any],
    run: str,
    anchors: Mapping[str, str],
    made: Mapping[str, str],
    files: Mapping[str, str | None],
) -> dict[str, Any]:
    status = str(job.get("status", ""))
    inputs: Mapping[str, Any] = job.get("inputs", {})
    short = {name: str(value) for name, value in inputs.items() if _is_short(name, value)}
    long = {name: value for name, value in inputs.items() if name not in short}
    facts = [
        *((name.replace("_", " "), value) for name, value in sorted(short.items())),
        ("why", ": ".join(str(job[name]) for name in ("reason", "detail") if job.get(name))),
        ("pinned", ", ".join(map(str, job.get("pin", ())))),
        ("needs", ", ".join(map(str, job.get("needs", ())))),
        ("cost", _money(job["cost"]) if "cost" in job else ""),
        ("took", seconds_text(job["finished"] - job["started"]) if {"started", "finished"} <= job.keys() else ""),
        ("sent", "in a batch" if job.get("dispatch") == "batch" else ""),
        ("ended with", "" if job.get("finish", "stop") in ("stop", "") else str(job["finish"])),
    ]
    return {
        "id": str(job["id"]),
        "anchor": anchors[str(job["id"])],
        "producer": str(job.get("producer", job["id"])),
        "status": status,
        "ref": str(job.get("ref", "")),
        "operation": str(job.get("operation", "")),
        "mocked": bool(job.get("mocked")),
        "unchecked": job.get("mapping") == "unchecked",
        "facts": [(name, value) for name, value in facts if value],
        "upstream": [(str(each), anchors.get(str(each), "")) for each in job.get("upstream", ())],
        "inputs": [*_inputs(long, made, files)],
        "warnings": list(dict.fromkeys(map(str, job.get("warnings", ())))),
        "attempts": [_attempt(each) for each in job.get("attempts", ()) if each.get("outcome") != "succeeded"],
        "failure": _failure(job, run) if status not in ("executed", "reused", "blocked") else None,
        "artifacts": [_artifact(artifact, files) for artifact in job.get("artifacts", ())],
    }


def _is_short(name: str, value: object) -> bool:
    """True for a setting, such as a duration or an aspect ratio, that needs no box of its own."""
    return name not in _LEADING and not isinstance(value, (dict, list)) and len(str(value)) <= SHORT_SETTING


def _inputs(
    inputs: Mapping[str, Any], made: Mapping[str, str], files: Mapping[str, str | None]
) -> Iterator[dict[str, object]]:
    """What a job was made from, the prompt first; a file of this run is a link to it."""
    for name in sorted(inputs, key=lambda each: (each not in _LEADING, each != "system")):
        value = inputs[name]
        if isinstance(value, (dict, list)):
            many = value if isinstance(value, list) else [value]
            yield {"name": name, "files": [_input_file(each, made, files) for each in many], "text": None}
        else:
            yield {"name": name, "files": [], "text": _text(str(value))}


def _input_file(file: object, made: Mapping[str, str], files: Mapping[str, str | None]) -> tuple[str, str]:
    """The words for a file, and where it lies beside the page ("" when it does not)."""
    about = file if isinstance(file, dict) else {}
    name = made.get(str(about.get("sha256")), "")
    if name in files:
        return name, _link(name)
    return str(about.get("name") or str(about.get("sha256", ""))[:12]), ""


def _attempt(attempt: Mapping[str, Any]) -> str:
    head = " ".join(str(attempt[name]) for name in ("ref", "kind") if attempt.get(name))
    return f"{head} (sent: {attempt.get('sent', '')}): {attempt.get('message', '')}"


def _failure(job: Mapping[str, Any], run: str) -> dict[str, object]:
    status, kind = str(job.get("status", "")), str(job.get("kind", ""))
    todo = _NEXT.get(status, "").format(run=run) or advice(kind)
    names = ("kind", "sent", "status_code", "request_id", "docs_url")
    prompt = str(job.get("prompt", ""))
    if prompt in job.get("inputs", {}).values():
        prompt = ""  # it stands among the inputs
    return {
        "message": str(job.get("message") or job.get("detail") or status),
        "facts": [(name.replace("_", " "), str(job[name])) for name in names if job.get(name)],
        "prompt": _text(prompt) if prompt else None,
        "todo": todo or f"then go on: callsheet resume {run}",
    }


def _artifact(artifact: Mapping[str, Any], files: Mapping[str, str | None]) -> dict[str, object]:
    name, media_type = str(artifact.get("file", "")), str(artifact.get("media_type", ""))
    there, text = name in files, files.get(name)
    medium = _plain(media_type).partition("/")[0]
    show = medium if medium in ("image", "video", "audio") else "text" if text is not None else "file"
    size = f"{artifact['width']}×{artifact['height']}" if {"width", "height"} <= artifact.keys() else ""
    length = f"{artifact['duration']:g} s" if "duration" in artifact else ""
    return {
        "name": name,
        "link": _link(name) if there else "",
        "show": show if there else "missing",
        "width": artifact.get("width"),
        "height": artifact.get("height"),
        "text": _text(text or ""),
        # A page that a model wrote is saved, not opened: it may hold scripts.
        "download": _plain(media_type) in ("text/html", "image/svg+xml", "application/xhtml+xml"),
        "about": ", ".join(part for part in (media_type, size, length, _bytes(artifact.get("bytes"))) if part),
    }


def _text(text: str) -> dict[str, object]:
    """A text for the page: cut, and folded under its first words when it is long."""
    shown = text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
    first = " ".join(text.split())[:90]
    folded = len(text) > SHORT_TEXT or text.count("\n") > 12
    return {"all": shown.rstrip("\n"), "folded": folded, "first": f"{first}…", "cut": len(text) > MAX_TEXT}


def _link(name: str) -> str:
    return quote(name, safe="")


def _plain(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


def _money(cost: object) -> str:
    if not isinstance(cost, Mapping):
        return ""
    read = cost_from_json(cost)
    return f"{read} ({read.reason})" if read.reason else str(read)


def _moment(seconds: object) -> str:
    if not isinstance(seconds, (int, float)):
        return ""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _bytes(count: object) -> str:
    if not isinstance(count, int):
        return ""
    return f"{count} B" if count < 1000 else f"{count / 1000:.1f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"


def _clean(value: Any) -> Any:
    """The value with every text in it fit for a page."""
    if isinstance(value, str):
        return value.translate(_CLEAN)
    if isinstance(value, Mapping):
        return {_clean(k): _clean(v) for k, v in value.items()}
    return [_clean(each) for each in value] if isinstance(value, (list, tuple)) else value
