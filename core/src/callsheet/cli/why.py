"""`callsheet plan --why`: a line for each model that could have been chosen, and why it was or was not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from callsheet.cli.terminal import put, put_table
from callsheet.money import Cost
from callsheet.selection import rank_reason
from callsheet.selector import Selection

__all__ = ["put_selections", "selection_documents"]


@dataclass(frozen=True, slots=True)
class _Line:
    ref: str
    choice: str
    why: str
    cost: Cost | None = None
    seconds: float | None = None


def put_selections(selections: Sequence[Selection]) -> None:
    """A table for each producer whose model was chosen."""
    for made in selections:
        put(f"{made.request.name}: {made.request}{f' ({made.lost})' if made.lost else ''}")
        rows = [(each.ref, each.choice, *_figures(each), each.why) for each in _lines(made)]
        put_table(("model", "choice", "price", "seconds", "why"), rows, right=("price", "seconds"))


def _figures(line: _Line) -> tuple[str, str]:
    return "" if line.cost is None else str(line.cost), "" if line.seconds is None else f"{line.seconds:.1f}"


def selection_documents(selections: Sequence[Selection]) -> list[dict[str, object]]:
    """The same as JSON."""
    return [
        {
            "producer": made.request.name,
            "asked": str(made.request),
            "by": made.by,
            "lost": made.lost,
            "candidates": [
                {
                    "ref": each.ref,
                    "choice": each.choice,
                    "why": each.why,
                    "cost": None if each.cost is None else each.cost.as_json(),
                    "seconds": each.seconds,
                }
                for each in _lines(made)
            ],
        }
        for made in selections
    ]


def _lines(made: Selection) -> Iterator[_Line]:
    decided = {
        "rank": "the best that can do it",
        "kept": "an earlier run chose it",
        "selector": "the program's selector chose it",
    }
    best, asked = made.ranked[0], len(made.refs)
    for number, each in enumerate(made.ranked):
        if number == 0:
            choice, why = "chosen", decided.get(made.by, f"{made.by} chose it")
        else:
            choice = f"fallback {number}" if number < asked else "spare"
            why = rank_reason(each, best) or f"{best.ref} was preferred"
        yield _Line(str(each.ref), choice, why, each.cost, each.seconds)
    for refused in made.refused:
        yield _Line(str(refused.ref), "no", refused.reason)
