"""`callsheet costs`: what was spent, by run, provider, model, producer or day."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from callsheet.cli.options import json_option, project_option
from callsheet.cli.terminal import Session, put, put_json, put_table

if TYPE_CHECKING:
    from callsheet.money import Cost
    from callsheet.stores.spending import PaidAttempt

__all__ = ["costs"]

_BY: dict[str, Callable[[PaidAttempt], str]] = {
    "run": lambda paid: paid.run or "(single calls)",
    "provider": lambda paid: paid.ref.partition(":")[0],
    "model": lambda paid: paid.ref,
    "producer": lambda paid: paid.job.partition("[")[0],
    "day": lambda paid: datetime.fromtimestamp(paid.ended).astimezone().date().isoformat(),
}


@click.command()
@click.option("--by", type=click.Choice(list(_BY)), default="provider", show_default=True, help="What to add up.")
@click.option(
    "--since", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="From the beginning of this day on."
)
@project_option
@json_option
@click.pass_obj
def costs(session: Session, by: str, since: datetime | None, project: Path | None) -> None:
    """Show what was paid for: every attempt that a provider may bill, failed ones too.

    Results that were used again cost nothing and are not counted. What nobody knows the price of is counted apart.
    """
    from callsheet.cli.work import perform

    attempts = perform(_attempts(session, project, since))
    groups: dict[str, list[PaidAttempt]] = {}
    for attempt in attempts:
        groups.setdefault(_BY[by](attempt), []).append(attempt)
    rows = [{"name": name, **_summed(group)} for name, group in sorted(groups.items())]
    whole = _summed(attempts)
    if session.json:
        day = since.date().isoformat() if since else None
        put_json(session, {"by": by, "since": day, "costs": [_json(row) for row in rows], "total": _json(whole)})
        return
    if not rows:
        put("nothing was paid for" + (" since then" if since else " yet"))
        return
    columns = (by, "cost", "attempts", "failed", "unknown")
    table = [tuple(row.values()) for row in rows]
    put_table(columns, [*table, ("total", *whole.values())] if len(table) > 1 else table, right=columns[1:])


async def _attempts(session: Session, project: Path | None, since: datetime | None) -> list[PaidAttempt]:
    from callsheet.cli.work import ledgers, open_project

    found: list[PaidAttempt] = []
    for folder in ledgers(project):
        async with open_project(session, folder, user=True) as client:
            found += await client.ledger.spending.attempts(since.astimezone().timestamp() if since else 0.0)
    return found


def _summed(attempts: Iterable[PaidAttempt]) -> dict[str, Any]:
    """What the attempts with a known cost add up to, how many there are, and of these the failed and the unknown ones."""
    from callsheet.money import total

    made = list(attempts)
    known: list[Cost] = [each.cost for each in made if each.cost is not None and each.cost.high is not None]
    return {
        "cost": total(known),
        "attempts": len(made),
        "failed": sum(1 for each in made if each.outcome != "succeeded"),
        "unknown": len(made) - len(known),
    }


def _json(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "cost": row["cost"].as_json()}
