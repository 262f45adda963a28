"""`callsheet resume`: go on with a run, or collect a remote job: by its receipt, or as the ledger knows it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from callsheet.cli.options import json_option, max_cost_option, on_unknown_of, on_unknown_option, project_option
from callsheet.cli.terminal import Session, say
from callsheet.errors import CallsheetError, ConfigError

if TYPE_CHECKING:
    from callsheet.client import Client
    from callsheet.jobs import JobResult
    from callsheet.models import Mode
    from callsheet.runs import Run
    from callsheet.storage import CallRecord, RunRecord

__all__ = ["resume"]

MAX_RECEIPT_BYTES = 1 << 20
_SHOWN = 5


@click.command()
@click.argument("run", metavar="RUN|JOB_ID|RECEIPT.json")
@on_unknown_option
@max_cost_option
@click.option("--mode", type=click.Choice(["live", "mock"]), help="For a receipt: who made it.  [default: live]")
@project_option
@json_option
@click.pass_obj
def resume(
    session: Session,
    /,
    run: str,
    *,
    on_unknown: str | None,
    max_cost: Decimal | None,
    mode: str | None,
    project: Path | None,
) -> int:
    """Go on with a run, or collect one remote job.

    RUN is a run's id; JOB_ID is the provider's id of a job, or the key of its call; the beginning of one will do.
    RECEIPT.json needs no ledger. A job that is on record as ended gives its result again.
    """
    flag = "--on-unknown" if on_unknown is not None else "" if max_cost is None else "--max-cost"
    if run.endswith(".json") or Path(run).is_file():
        if flag:
            raise click.UsageError(f"{flag} is for runs: a receipt's job is polled and never sent again")
        return _collect(session, Path(run), mode or "live", project)
    if mode is not None:
        raise click.UsageError("--mode is for receipts: a run keeps the mode that it was started with")
    policy = on_unknown_of(on_unknown) if on_unknown is not None else None

    async def go_on(client: Client, record: RunRecord) -> Run:
        return await client.resume(record.id, on_unknown=policy, max_cost=max_cost)

    return _go_on(session, run, go_on, flag, project)


def _go_on(
    session: Session,
    name: str,
    resumed: Callable[[Client, RunRecord], Coroutine[Any, Any, Run]],
    flag: str,
    project: Path | None,
) -> int:
    from callsheet.cli.endings import run_to_end
    from callsheet.cli.work import ledgers, open_project, perform

    places = ledgers(project)
    if not places:
        raise ConfigError("nothing was run in this project yet: name its folder with --project", missing=True)

    async def work() -> int:
        for folder in places:
            async with open_project(session, folder, user=True) as client:
                run = await _run_of(client, name)
                if run is not None:
                    return await run_to_end(session, client, resumed(client, run))
                calls = await client.ledger.calls_of_job(name) or await client.ledger.calls_of_job(name, beginning=True)
                if calls and flag:
                    raise click.UsageError(f"{flag} is for runs: a job is polled and never sent again")
                if calls:
                    return await _collect_recorded(session, client, name, calls)
        what = f"neither a run nor a provider's job {name!r} is on record here"
        how = "`callsheet runs list` and `callsheet jobs` show what is, and a job's receipt is a file: RECEIPT.json"
        raise ConfigError(f"{what}: {how}", missing=True)

    return perform(work())


async def _run_of(client: Client, name: str) -> RunRecord | None:
    """The run, None when there is none. Raises ConfigError when several begin so."""
    try:
        return await client.ledger.run(name)
    except ConfigError as error:
        if error.exit_code == 3:
            return None
        raise


async def _collect_recorded(session: Session, client: Client, name: str, calls: list[CallRecord]) -> int:
    from callsheet.cli.results import Call, call_to_end
    from callsheet.cli.work import resume_command
    from callsheet.orphans import mode_of

    first = calls[0]
    mode = mode_of(first)
    about = Call(first.ref, first.operation, mode)
    code = await call_to_end(session, client, about, _result(client, name, calls, mode))
    for run in dict.fromkeys(call.run for call in calls if call.run):
        say(f"to go on with the run {run}: {resume_command(run, client)}")
    return code


async def _result(client: Client, name: str, calls: list[CallRecord], mode: Mode) -> JobResult:
    """What the job gave; of a batch, what all of its calls gave. Raises ConfigError when several jobs are meant."""
    from callsheet.adoption import collect_call
    from callsheet.batching import is_batch

    if len(calls) == 1:
        return client.located(await collect_call(client.runtime, calls[0]))
    receipts = {call.receipt.key: call.receipt for call in calls if call.receipt is not None}
    if len(receipts) == 1 and all(map(is_batch, receipts.values())):
        return await client.collect(receipts.popitem()[1], mode)
    told = ", ".join(f"{call.key[:12]} ({call.job}, {call.ref})" for call in calls[:_SHOWN])
    more = ", …" if len(calls) > _SHOWN else ""
    raise ConfigError(f"several calls have a job {name!r}: name one by its key: {told}{more}")


def _collect(session: Session, file: Path, mode: str, project: Path | None) -> int:
    from callsheet.cli.results import Call, call_to_end
    from callsheet.cli.work import open_project, perform
    from callsheet.stores.records import decode_receipt

    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_RECEIPT_BYTES + 1)
        if len(data) > MAX_RECEIPT_BYTES:
            raise ConfigError("is larger than 1 MiB: no receipt is", where=str(file))
        receipt = decode_receipt(data.decode("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", where=str(file)) from None
    except ConfigError:
        raise
    except CallsheetError as error:
        raise ConfigError(str(error), where=str(file)) from None

    async def work() -> int:
        async with open_project(session, project, user=True) as client:
            about = Call(str(receipt.ref), receipt.operation.value, mode)
            return await call_to_end(session, client, about, client.collect(receipt, mode))

    return perform(work())
