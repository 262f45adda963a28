"""`callsheet plan`: what a run would do, and for how much."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from callsheet.cli.options import json_option, request_of, sheet_argument, sheet_options
from callsheet.cli.prices import dated_prices, price_rows
from callsheet.cli.terminal import Session, put, put_json, put_table, say

if TYPE_CHECKING:
    from callsheet.plan import Plan, PlannedJob

__all__ = ["plan", "show_plan"]


@click.command()
@sheet_argument
@sheet_options
@click.option("--why", is_flag=True, help="Say of each model that auto:OPERATION could mean why it was chosen or not.")
@json_option
@click.pass_obj
def plan(session: Session, /, sheet: Path, *, why: bool, **asked: Any) -> None:
    """Show what a run of SHEET (a folder or a file) would do, and for how much. Sends nothing."""
    show_plan(session, sheet, asked, why=why)


def show_plan(session: Session, sheet: Path, asked: dict[str, Any], *, why: bool = False) -> None:
    """Plan the sheet and show it; `asked` are the flags. Raises ConfigError, PluginError."""
    from callsheet.cli.work import perform

    request = request_of(asked)

    async def work() -> Plan:
        from callsheet.cli.work import open_sheet

        async with open_sheet(session, sheet) as (client, loaded):
            return await client.plan(loaded, request)

    made = perform(work())
    if session.json:
        document = _document(made)
        if why:
            from callsheet.cli.why import selection_documents

            document["selections"] = selection_documents(made.selections)
        put_json(session, document)
        return
    _show(made)
    if why:
        from callsheet.cli.why import put_selections

        put_selections(made.selections)
    say(f"run it with: {_command_to_run(sheet, asked)}")


def _document(plan: Plan) -> dict[str, object]:
    return {
        "sheet": plan.sheet,
        "title": plan.title,
        "mode": plan.mode,
        "jobs": [_job(job) for job in plan.jobs],
        "counts": _counts(plan),
        "cost": plan.cost.as_json(),
        "warnings": [warning.message for warning in plan.warnings],
        "notes": list(plan.notes),
    }


def _job(job: PlannedJob) -> dict[str, object]:
    return {
        "id": job.id,
        "state": job.state.value,
        "reason": job.reason.value if job.reason is not None else None,
        "detail": job.detail,
        "ref": job.ref,
        "fallbacks": list(job.fallbacks),
        "mapping": job.mapping,
        "dispatch": job.dispatch,
        "cost": job.cost.as_json(),
        "price": price_rows(job.prices),
        "upstream": list(job.upstream),
    }


def _counts(plan: Plan) -> dict[str, int]:
    from callsheet.plan import JobState

    return {state.value: plan.count(state) for state in JobState}


def _show(plan: Plan) -> None:
    rows = [(job.id, job.state, _why(job), _model(job), _price(job)) for job in plan.jobs]
    put_table(("job", "state", "reason", "model", "price"), rows, right=("price",))
    unpriced = (job for job in plan.jobs if job.prices and not job.cost.known)
    for model, prices in dict.fromkeys((_model(job), job.prices) for job in unpriced):
        put(f"{model}: {dated_prices(prices)}")
    counts = ", ".join(f"{number} {state}" for state, number in _counts(plan).items() if number)
    cost = plan.cost
    put(f"{len(plan.jobs)} jobs: {counts or 'none'}; cost: {cost}{f' ({cost.reason})' if cost.reason else ''}")
    for note in plan.notes:
        say(f"note: {note}")
    for message in dict.fromkeys(warning.message for warning in plan.warnings):
        say(f"warning: {message}")


def _why(job: PlannedJob) -> str:
    reason = job.reason.value if job.reason is not None else ""
    return f"{reason}: {job.detail}" if job.detail else reason


def _model(job: PlannedJob) -> str:
    marks = ["mock"] if job.mode == "mock" else []
    marks += ["batch"] if job.dispatch == "batch" else []
    marks += ["unchecked"] if job.mapping == "unchecked" else []
    return f"{job.ref} ({', '.join(marks)})" if marks else job.ref


def _price(job: PlannedJob) -> str:
    return "" if job.state in ("cached", "blocked") else str(job.cost)


def _command_to_run(sheet: Path, asked: dict[str, Any]) -> str:
    from callsheet.cli.work import command_line

    words = ["run", str(sheet)]
    if asked["mode"] != "live":
        words += ["--mode", asked["mode"]]
    for names in asked["mock"]:
        words += ["--mock", names]
    for flag, key in (("--input", "inputs"), ("--model", "models")):
        for name, value in asked[key]:
            words += [flag, f"{name}={value}"]
    for flag, key in (("--fail-fast", "fail_fast"), ("--strict", "strict"), ("--reset-selection", "reset_selection")):
        words += [flag] if asked.get(key) else []
    for flag, key in (("--on-unknown", "on_unknown"), ("--max-cost", "max_cost"), ("-o", "output")):
        words += [flag, str(asked[key])] if asked.get(key) is not None else []
    return command_line(*words)
