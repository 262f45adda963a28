"""`python -m benchmarks [part …]`: one Markdown table. `--quick` leaves out the sizes that take minutes."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

from benchmarks import (
    aborts,
    blobs,
    calls,
    chain,
    engine,
    gates,
    ledger,
    mocked,
    predictions,
    startup,
    telemetry,
    transfer,
    waiting,
)
from benchmarks.measuring import Figure

LIBRARIES = (
    "callsheet",
    "callsheet-mock",
    "callsheet-openai",
    "callsheet-replicate",
    "httpx2",
    "openai",
    "pydantic",
    "jinja2",
    "pluggy",
    "click",
    "structlog",
    "rfc8785",
)


def _parts(*, large: bool) -> dict[str, Callable[[], Iterator[Figure]]]:
    return {
        "startup": startup.figures,
        "engine": partial(engine.figures, large=large),
        "ledger": ledger.figures,
        "waiting": partial(waiting.figures, large=large),
        "blobs": blobs.figures,
        "transfer": transfer.figures,
        "mocked": mocked.figures,
        "telemetry": telemetry.figures,
        "gates": gates.figures,
        "chain": chain.figures,
        "aborts": aborts.figures,
        "calls": calls.figures,
        "predictions": partial(predictions.figures, large=large),
    }


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return f"{os.cpu_count()} × {model}, {platform.system()} {platform.release()}, load {load}"


def main(arguments: list[str]) -> int:
    """Print the table, row by row as it grows."""
    parts = _parts(large="--quick" not in arguments)
    wanted = [name for name in arguments if not name.startswith("-")] or list(parts)
    unknown = [name for name in wanted if name not in parts]
    if unknown:
        print(f"there is no part {unknown[0]!r}: known are {', '.join(parts)}", file=sys.stderr)
        return 2
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    print(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; CPython {platform.python_version()}, SQLite {sqlite3.sqlite_version};"
    )
    print(f"{libraries};\n{_machine()}.\n", flush=True)
    print("| what | figure | baseline of the same run | ratio | budget | |\n| --- | --- | --- | --- | --- | --- |")
    for name in wanted:
        for figure in parts[name]():
            print(figure.row(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
