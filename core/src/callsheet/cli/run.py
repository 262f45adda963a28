"""`callsheet run`: a call sheet from plan to finished artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from callsheet.cli.options import (
    json_option,
    max_cost_option,
    on_unknown_option,
    request_of,
    sheet_argument,
    sheet_options,
)
from callsheet.cli.terminal import Session, say

__all__ = ["run"]


@click.command()
@sheet_argument
@sheet_options
@click.option("--fail-fast", is_flag=True, help="Start nothing new after a failure; paid jobs finish.")
@on_unknown_option
@max_cost_option
@click.option("--yes", is_flag=True, help="Run without a question, whatever it costs by the plan.")
@click.option("--dry-run", is_flag=True, help="Show the plan, send nothing.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder for the artifacts.  [default: output beside the sheet, output-mock for a mocked run]",
)
@json_option
@click.pass_obj
def run(session: Session, /, sheet: Path, *, dry_run: bool, yes: bool, **asked: Any) -> int:
    """Run SHEET (a folder with sheet.toml, or a file). What is paid for already is not paid again."""
    if dry_run:
        from callsheet.cli.plan import show_plan

        show_plan(session, sheet, asked)
        return 0
    from callsheet.cli.confirmation import confirmed
    from callsheet.cli.endings import run_to_end
    from callsheet.cli.work import open_sheet, perform

    request = request_of(asked)
    if not yes and not confirmed(session, sheet, request):
        say("nothing was run")
        return 1

    async def work() -> int:
        async with open_sheet(session, sheet) as (client, loaded):
            return await run_to_end(session, client, client.run(loaded, request))

    return perform(work())
