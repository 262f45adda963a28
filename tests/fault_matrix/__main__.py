"""Measures all of the matrix, and writes its table: `PYTHONPATH=tests python -m fault_matrix`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from fault_matrix.columns import COLUMNS
from fault_matrix.page import PAGE, written
from fault_matrix.rows import ROWS
from fault_matrix.trial import Trial, tried


async def _measured(folder: Path) -> dict[str, dict[str, Trial | None]]:
    matrix: dict[str, dict[str, Trial | None]] = {}
    for number, row in enumerate(ROWS):
        matrix[row.name] = {
            column.name: await tried(column, row, folder / f"{number}-{column.name}") for column in COLUMNS
        }
    return matrix


if __name__ == "__main__":
    with TemporaryDirectory() as made:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), asyncio.run(_measured(Path(made)))), encoding="utf-8")
