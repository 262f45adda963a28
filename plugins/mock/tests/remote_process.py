"""A process of its own that makes a remote job and dies: `python remote_process.py MODE FOLDER LATENCY`.

Mode `receipt` prints the receipt as JSON as soon as it is durable; mode `lost` dies between acceptance and record.
"""

import asyncio
import os
import sys
from pathlib import Path

from callsheet.client import Client
from callsheet.project import Project
from callsheet.settings import Settings
from callsheet.stores.records import encode_receipt
from callsheet_mock.handlers import JobHandler
from callsheet_mock.journal import Journal

MODE, FOLDER, LATENCY = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
submit = JobHandler.submit


async def submit_and_die(self, request, context):
    """Accepted by the provider, and nobody is told."""
    await submit(self, request, context)
    os._exit(9)


async def main() -> None:
    """One call that never comes back."""
    project = Project.at(FOLDER)
    workspace = project.state / "plugins" / "callsheet-mock"

    async def die_while_waiting(_seconds: float) -> None:
        entry = workspace.joinpath("journal.jsonl").read_text().partition('"key":"')[2]
        key = entry.partition('"')[0]
        assert Journal(workspace).count("accepted", key) == 1
        record = await client.ledger.get(key)
        sys.stdout.write(encode_receipt(record.receipt))
        sys.stdout.flush()
        os._exit(9)

    client = await Client.open(project, Settings(), sleep=die_while_waiting)
    if MODE == "lost":
        JobHandler.submit = submit_and_die
    await client.call("mock:video", prompt="lava", size="64x48", duration=2, options={"latency": LATENCY}, reuse=True)


asyncio.run(main())
