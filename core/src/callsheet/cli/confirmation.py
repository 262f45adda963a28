"""Asking before a run that may cost more than the user wants to spend without a question."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from callsheet.cli.terminal import Session, say
from callsheet.cli.work import open_sheet, perform
from callsheet.config import find_project, load_settings
from callsheet.money import Cost
from callsheet.sheet import CallSheet

if TYPE_CHECKING:
    from callsheet.plan import Plan
    from callsheet.runs import RunRequest

__all__ = ["confirmed"]


def confirmed(session: Session, sheet: Path, request: RunRequest) -> bool:
    """True when the run may start: by its plan it costs no more than `[money] confirm_above`, or the user says yes.

    Raises UsageError where nobody can be asked. What has no price is not counted.
    """
    threshold = load_settings(find_project(CallSheet.load(sheet).folder)).policies.money.confirm_above
    if threshold is None:
        return True

    async def planned() -> Plan:
        async with open_sheet(session, sheet) as (client, loaded):
            return await client.plan(loaded, request)

    plan = perform(planned())
    most = plan.most
    if most <= threshold:
        return True
    may = f"this run may cost {Cost.exactly(most)}"
    beside = sum(1 for job in plan.jobs if job.cost.high is None)
    may += f", and what {beside} more of its jobs cost is unknown" if beside else ""
    above = f"the project asks above {Cost.exactly(threshold)}"
    if not sys.stdin.isatty():
        raise click.UsageError(f"{may}; {above} ([money] confirm_above): add --yes to run it all the same")
    say(f"{may}; {above}")
    return click.confirm("Run it?", err=True)
