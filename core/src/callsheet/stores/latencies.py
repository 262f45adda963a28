"""How long calls took, by model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from statistics import median

from callsheet.stores.writer import Turn, Writer

__all__ = ["Latencies"]

LATEST = 2000
"""How many attempts are looked at: a project may have millions."""
# What left in a batch took as long as its vendor had promised, which says nothing about a call.
_SELECT = f"""
SELECT a.ref, a.ended - a.started FROM (SELECT * FROM attempts ORDER BY id DESC LIMIT {LATEST}) a JOIN calls c USING (key)
WHERE a.outcome = 'succeeded' AND a.ref IN (SELECT value FROM json_each(?))
AND coalesce(json_extract(c.request, '$.mode'), 'live') = 'live'
AND CASE WHEN json_valid(c.receipt) THEN json_extract(c.receipt, '$.key') = c.key ELSE c.receipt IS NULL END
"""  # noqa: S608 - a constant


class Latencies:
    """The times of a ledger's calls."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def seen(self, refs: Iterable[str]) -> dict[str, float]:
        """The median of the latest successful live calls in seconds, by model; without those that have none."""
        wanted = json.dumps(list(refs))
        return await self._writer.submit(lambda turn: _medians(turn, wanted), writes=False)


def _medians(turn: Turn, refs: str) -> dict[str, float]:
    times: dict[str, list[float]] = {}
    for ref, seconds in turn.db.execute(_SELECT, (refs,)):
        times.setdefault(ref, []).append(max(seconds, 0.0))
    return {ref: median(each) for ref, each in times.items()}
