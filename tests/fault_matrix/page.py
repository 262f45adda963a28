"""The table of the page: one line a row, its cells as they are measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

from fault_matrix.columns import COLUMNS
from fault_matrix.rows import ROWS
from fault_matrix.trial import Trial

__all__ = ["NOTHING", "PAGE", "cells", "expected", "named", "written"]

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
NOTHING = "–"
"""In the place of a cell that cannot be."""
_HEAD = "| what goes wrong |"
_NAMES = [column.name for column in COLUMNS]


def cells(trials: Mapping[str, Trial | None]) -> list[str]:
    """A row's kind, and its cells; a cell with another kind says so."""
    kinds = Counter(trial.kind for trial in trials.values() if trial is not None and trial.kind)
    usual = kinds.most_common(1)[0][0] if kinds else ""
    return [f"`{usual}`" if usual else "", *(_cell(trials[name], usual) for name in _NAMES)]


def _cell(trial: Trial | None, usual: str) -> str:
    if trial is None:
        return NOTHING
    return trial.cell if trial.kind in ("", usual) else f"{trial.cell} (`{trial.kind}`)"


def expected(row: str, column: str) -> tuple[str, str]:
    """The kind and the cell, as the page has them."""
    line = next(line for line in _rows(PAGE.read_text(encoding="utf-8")) if line.startswith(f"| {row} |"))
    kind, *found = (each.strip() for each in line.strip("|").split("|")[1:])
    cell, _, own = found[_NAMES.index(column)].partition(" (")
    return (own or kind).strip("`)"), cell


def named() -> list[str]:
    """The rows that the page has."""
    return [line.split("|")[1].strip() for line in _rows(PAGE.read_text(encoding="utf-8"))]


def _rows(text: str) -> list[str]:
    lines = text.splitlines()
    first = _first(lines)
    return list(takewhile(lambda line: line.startswith("|"), lines[first:]))


def _first(lines: list[str]) -> int:
    return next(number for number, line in enumerate(lines) if line.startswith(_HEAD)) + 2


def written(text: str, matrix: Mapping[str, Mapping[str, Trial | None]]) -> str:
    """The page with this table in the place of its own."""
    lines = text.splitlines()
    first = _first(lines)
    made = [f"| {' | '.join([row.name, *cells(matrix[row.name])])} |" for row in ROWS]
    lines[first : first + len(_rows(text))] = made
    return "\n".join(lines) + "\n"
