"""A process of its own that makes one call with a large file: `upload_process.py FOLDER`, the file on stdin."""

import asyncio
import sys
from pathlib import Path

from callsheet.client import Client
from callsheet.project import Project
from callsheet.settings import Settings


async def main() -> None:
    """One call."""

    async def sleep(_seconds: float) -> None:
        """Nobody waits."""

    async with await Client.open(Project.at(Path(sys.argv[1])), Settings(), sleep=sleep) as client:
        file = await client.runtime.services.blobs.put(sys.stdin.buffer.read(), "image/png", "c.png")
        await client.call("replicate:google/nano-banana", prompt="lava", images=[file])


asyncio.run(main())
