"""How calls fared lately, by model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median, quantiles

from callsheet.stores.latencies import LATEST
from callsheet.stores.writer import Turn, Writer

__all__ = ["TrackRecord", "TrackRecords"]

_SELECT = f"""
SELECT a.ref, a.outcome, a.kind, a.ended - a.started
FROM (SELECT * FROM attempts ORDER BY id DESC LIMIT {LATEST}) a LEFT JOIN calls c USING (key)
WHERE a.ended >= ? AND a.outcome <> 'cancelled' AND coalesce(json_extract(c.request, '$.mode'), 'live') = 'live'
"""  # noqa: S608 - a constant


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """A model's attempts: how many, how many failed in which way, and how many seconds the others took.

    `median` and `slow` (of twenty, one takes longer) are None where none succeeded.
    """

    ref: str
    attempts: int
    failures: Mapping[str, int]
    median: float | None
    slow: float | None

    @property
    def failed(self) -> int:
        """How many failed, those of unknown outcome among them."""
        return sum(self.failures.values())


class TrackRecords:
    """The attempts of a ledger, added up. Those that somebody cancelled say nothing and are left out, as mocked ones are."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def since(self, moment: float) -> list[TrackRecord]:
        """Those that ended since then (seconds since the epoch), by model; of very many only the latest."""
        return await self._writer.submit(lambda turn: _added_up(turn, moment), writes=False)


def _added_up(turn: Turn, moment: float) -> list[TrackRecord]:
    times: dict[str, list[float]] = {}
    failures: dict[str, Counter[str]] = {}
    for ref, outcome, kind, seconds in turn.db.execute(_SELECT, (moment,)):
        taken, failed = times.setdefault(ref, []), failures.setdefault(ref, Counter())
        if outcome == "succeeded":
            taken.append(max(seconds, 0.0))
        else:
            failed[kind] += 1
    return [_record(ref, times[ref], failures[ref]) for ref in sorted(times)]


def _record(ref: str, times: list[float], failures: Counter[str]) -> TrackRecord:
    middle = median(times) if times else None
    slow = quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else middle
    return TrackRecord(ref, len(times) + failures.total(), dict(failures.most_common()), middle, slow)
