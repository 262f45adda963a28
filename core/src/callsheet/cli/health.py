"""`callsheet health`: which breakers are open, which gates are held, how calls fared, and whether providers answer."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from callsheet.cli.options import json_option, project_option
from callsheet.cli.terminal import Session, put, put_json, put_table, say

if TYPE_CHECKING:
    from callsheet.health import CheckUp, GateHealth, Health
    from callsheet.stores.breakers import Failing
    from callsheet.stores.track_records import TrackRecord

__all__ = ["health"]

Row = dict[str, Any]

_OF_THE_USER = (
    "note: this folder belongs to no project, so your calls from all such folders are in here; a callsheet.toml begins a "
    "project with calls of its own"
)

_BREAKERS = ("breaker of", "name", "state", "failures", "last", "until", "why")
_GATES = ("gate", "limit", "at once", "held until")
_MODELS = ("model", "attempts", "failed", "median", "slow", "failures")
_CHECKS = ("provider", "answers", "seconds", "problem")


@click.command()
@click.option("--check", is_flag=True, help="Ask each provider something that costs nothing, too.")
@click.option("--reset", metavar="PROVIDER", help="Let this provider's calls through again.")
@project_option
@json_option
@click.pass_obj
def health(session: Session, *, check: bool, reset: str | None, project: Path | None) -> int:
    """Show what keeps calls from being sent, and how calls fared in the last 24 hours.

    Exit code 1 when --check finds a provider that does not answer.
    """
    from callsheet.cli.work import perform

    if check and reset:
        raise click.UsageError("--check asks providers, --reset forgets what they did: choose one")
    document = perform(_reset(session, project, reset) if reset else _looked_at(session, project, check=check))
    if session.json:
        put_json(session, document)
    elif reset:
        done = [f"{each['scope']} {each['name']}" for each in document["reset"]["breakers"]]
        done += [f"gate {rate_key}" for rate_key in document["reset"]["gates"]]
        put(f"let through again: {', '.join(done)}" if done else f"nothing of {reset!r} was open or held")
    else:
        _show(document)
    return 1 if any(not each["ok"] for each in document.get("checks", ())) else 0


async def _reset(session: Session, project: Path | None, provider: str) -> Row:
    from callsheet.cli.work import ledgers, open_project
    from callsheet.health import reset_health

    breakers: list[Row] = []
    gates: list[str] = []
    for folder in ledgers(project):
        async with open_project(session, folder, user=True) as client:
            domains, keys = await reset_health(client.runtime, provider)
            breakers += [domain._asdict() for domain in domains]
            gates += keys
    return {"reset": {"provider": provider, "breakers": breakers, "gates": gates}}


async def _looked_at(session: Session, project: Path | None, *, check: bool) -> Row:
    from callsheet.cli.work import ledgers, open_project
    from callsheet.health import check_up, health_of

    document: Row = {"breakers": [], "gates": [], "models": []}
    for folder in ledgers(project):
        async with open_project(session, folder, user=True) as client:
            found = await health_of(client.runtime)
            document["breakers"] += [_breaker(each, found) for each in found.breakers]
            document["gates"] += [_gate(each, found) for each in found.gates]
            document["models"] += [_model(each) for each in found.models]
            if folder is None and not session.json and any(document.values()):
                say(_OF_THE_USER)
    if check:
        async with open_project(session, project, user=True) as client:
            document["checks"] = [_check(each) for each in await check_up(client.runtime)]
    return document


def _breaker(failing: Failing, found: Health) -> Row:
    state = "counting" if not failing.is_open else "open" if failing.until > found.moment else "due"
    return {
        "scope": failing.domain.scope,
        "name": failing.domain.name,
        "provider": failing.provider,
        "state": state,
        "failures": failing.failures,
        "failed": failing.failed,
        "until": failing.until or None,
        "kind": failing.kind,
        "message": failing.message,
    }


def _gate(gate: GateHealth, found: Health) -> Row:
    row, limit = gate.row, gate.limit
    return {
        "rate_key": gate.rate_key,
        "requests_per_second": limit.requests,
        "tokens_per_second": limit.tokens,
        "concurrency": limit.concurrency,
        "concurrency_now": row.width if row is not None and row.width is not None else limit.concurrency,
        "blocked_until": row.blocked if row is not None and row.blocked > found.moment else None,
    }


def _model(record: TrackRecord) -> Row:
    return {
        "ref": record.ref,
        "attempts": record.attempts,
        "failed": record.failed,
        "failures": dict(record.failures),
        "median_seconds": record.median,
        "slow_seconds": record.slow,
    }


def _check(check: CheckUp) -> Row:
    done = {"provider": check.provider, "ok": not check.problem, "seconds": round(check.seconds, 3)}
    return {**done, "problem": check.problem}


def _show(document: Row) -> None:
    for row in document["breakers"]:
        row["state"] = {"due": "the next call tries it"}.get(row["state"], row["state"])
    tables: dict[tuple[str, ...], list[tuple[object, ...]]] = {
        _BREAKERS: [
            (r["scope"], r["name"], r["state"], r["failures"], _hour(r["failed"]), _hour(r["until"]), r["kind"])
            for r in document["breakers"]
        ],
        _GATES: [
            (r["rate_key"], _limit(r), _number(r["concurrency_now"]), _hour(r["blocked_until"]))
            for r in document["gates"]
        ],
        _MODELS: [
            (
                r["ref"],
                r["attempts"],
                r["failed"],
                _seconds(r["median_seconds"]),
                _seconds(r["slow_seconds"]),
                _kinds(r),
            )
            for r in document["models"]
        ],
        _CHECKS: [
            (r["provider"], "yes" if r["ok"] else "no", f"{r['seconds']:.2f}", r["problem"])
            for r in document.get("checks", ())
        ],
    }
    shown = [(headers, rows) for headers, rows in tables.items() if rows]
    for number, (headers, rows) in enumerate(shown):
        if number:
            put("")
        put_table(headers, rows)
    if not shown:
        put("nothing keeps calls from being sent, and none was made in the last 24 hours")
    for provider in dict.fromkeys(r["provider"] for r in document["breakers"] if r["until"]):
        say(f"to try {provider} at once: callsheet health --reset {provider}")


def _hour(at: float | None) -> str:
    return "" if not at else datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _limit(row: Row) -> str:
    parts = [f"{row[f'{what}_per_second']:g} {what}/s" for what in ("requests", "tokens") if row[f"{what}_per_second"]]
    return ", ".join(parts)


def _number(value: float | None) -> str:
    return "" if value is None else f"{int(value)}"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"


def _kinds(row: Row) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in row["failures"].items())
