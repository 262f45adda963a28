"""`callsheet resume`: go on with a run, or collect a remote job by its receipt."""

from __future__ import annotations

from pathlib import Path

import click

from callsheet.cli.options import json_option, on_unknown_of, on_unknown_option, project_option
from callsheet.cli.terminal import Session
from callsheet.errors import CallsheetError, ConfigError

__all__ = ["resume"]

MAX_RECEIPT_BYTES = 1 << 20


@click.command()
@click.argument("run", metavar="RUN|RECEIPT.json")
@on_unknown_option
@click.option("--mode", type=click.Choice(["live", "mock"]), help="For a receipt: who made it.  [default: live]")
@project_option
@json_option
@click.pass_obj
def resume(session: Session, run: str, on_unknown: str | None, mode: str | None, project: Path | None) -> int:
    """Go on with a run (its id or the beginning of it), or collect the remote job of a receipt."""
    if run.endswith(".json") or Path(run).is_file():
        if on_unknown is not None:
            raise click.UsageError("--on-unknown is for runs: a receipt's job is polled and never sent again")
        return _collect(session, Path(run), mode or "live", project)
    if mode is not None:
        raise click.UsageError("--mode is for receipts: a run keeps the mode that it was started with")
    return _go_on(session, run, on_unknown, project)


def _go_on(session: Session, run: str, on_unknown: str | None, project: Path | None) -> int:
    from callsheet.cli.endings import run_to_end
    from callsheet.cli.work import has_ledger, open_project, perform

    if not has_ledger(project):
        raise ConfigError("nothing was run in this project yet: name its folder with --project", missing=True)
    policy = on_unknown_of(on_unknown) if on_unknown is not None else None

    async def work() -> int:
        async with open_project(session, project) as client:
            return await run_to_end(session, client, client.resume(run, on_unknown=policy))

    return perform(work())


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
