"""A file from a loopback server: 64 MB to disk with its digest, through the guarded way in, against a raw httpx2 loop."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from statistics import median

from benchmarks.blobs import forget_peak, peak
from benchmarks.measuring import ROOT, Figure, module_child
from callsheet.http import HttpLimits
from callsheet.stores.blobs import LocalBlobs
from callsheet.transfer.download import GuardedTransfer
from callsheet.transfer.endpoint import Endpoint
from callsheet.transfer.pool import ConnectionPool

__all__ = ["figures"]

SIZE = 64 << 20
ROUNDS = 9
LIMITS = HttpLimits(max_bytes=SIZE)


async def serve() -> None:
    """A server which sends 64 MB of samples for every request; prints its port."""
    body = os.urandom(1 << 20)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: audio/pcm\r\ncontent-length: {SIZE}\r\n\r\n".encode())
                for _ in range(SIZE // len(body)):
                    writer.write(body)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def measure(rounds: int = ROUNDS) -> dict[str, float]:
    """Both ways in turn: medians of CPU and wall seconds, of the ratios within a round, and how far memory grew."""
    import httpx2

    command = [sys.executable, "-m", "benchmarks.transfer", "serve"]
    with (
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server,  # noqa: ASYNC220
        tempfile.TemporaryDirectory() as name,
    ):
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        folder = Path(name)
        blobs, pool = LocalBlobs(folder / "blobs"), ConnectionPool()
        transfer = GuardedTransfer(Endpoint(pool, url), pool, blobs.put)

        async def received() -> None:
            async with transfer.endpoint.stream("GET", "/file", limits=LIMITS) as reply:
                file = await transfer.receive(reply, "audio/pcm")
            if file.bytes != SIZE:
                raise RuntimeError("the file is not whole")

        async with httpx2.AsyncClient() as client:

            async def by_hand() -> None:
                digest = hashlib.sha256()
                async with client.stream("GET", f"{url}/file") as reply:
                    with (folder / "draft").open("wb", buffering=0) as file:
                        async for piece in reply.aiter_bytes():
                            digest.update(piece)
                            file.write(piece)
                        os.fsync(file.fileno())
                (folder / "draft").rename(folder / digest.hexdigest())

            try:
                return await _compare({"raw": by_hand, "ours": received}, folder, rounds)
            finally:
                await pool.aclose()
                server.terminate()


async def _compare(ways: dict[str, Callable[[], Awaitable[None]]], folder: Path, rounds: int) -> dict[str, float]:
    taken: dict[str, list[float]] = {f"{way}{what}": [] for way in ways for what in ("", " wall")}
    grown = 0
    for run in ways.values():
        await run()
    for _ in range(rounds):
        for way, run in ways.items():
            for old in (path for path in folder.rglob("*") if path.is_file()):
                old.unlink()  # the store does not write twice what it has
            before = forget_peak()
            wall, cpu = time.monotonic(), time.process_time()
            await run()
            taken[way].append(time.process_time() - cpu)
            taken[f"{way} wall"].append(time.monotonic() - wall)
            grown = max(grown, peak() - before) if way == "ours" else grown
    ratios = {
        f"ratio{what}": median(r / o for r, o in zip(taken[f"raw{what}"], taken[f"ours{what}"], strict=True))
        for what in ("", " wall")
    }
    return {name: median(values) for name, values in taken.items()} | ratios | {"memory": grown / 1024}


def figures() -> Iterator[Figure]:
    """Rows for the table."""
    found = module_child("transfer")
    yield Figure(
        "64 MB from a server to disk with sha256: speed by CPU time",
        f"{found['ours'] * 1000:.0f} ms CPU",
        f"raw httpx2 {found['raw'] * 1000:.0f} ms CPU",
        found["ratio"],
        "≥ 0.9 ×",
        found["ratio"] >= 0.9,
    )
    yield Figure(
        "… by wall time",
        f"{found['ours wall'] * 1000:.0f} ms",
        f"raw httpx2 {found['raw wall'] * 1000:.0f} ms",
        found["ratio wall"],
        "≥ 0.9 ×",
        found["ratio wall"] >= 0.9,
    )
    yield Figure(
        "… and how far resident memory grows", f"+{found['memory']:.1f} MB", "", None, "≤ +8 MB", found["memory"] <= 8
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    else:
        print(json.dumps(asyncio.run(measure())))
