"""Which jobs of a run go into a batch together: a producer's jobs are gathered until no further one can become ready."""

from __future__ import annotations

from collections.abc import Callable, Collection

from callsheet.batch_round import Round, Seat
from callsheet.errors import CallsheetError
from callsheet.expansion import Cell, Expansion
from callsheet.preparation import PreparedCall
from callsheet.services import Services

__all__ = ["Gathering", "NotStartedError"]


class NotStartedError(CallsheetError):
    """The run starts nothing new."""


class Gathering:
    """The rounds of one run, one at a time for each producer with `dispatch = "batch"`. `wake` calls for `close_ready`."""

    def __init__(self, services: Services, expansion: Expansion, wake: Callable[[], None]) -> None:
        self._services = services
        self._expansion = expansion
        self._wake = wake
        names = [name for name, each in expansion.producers.items() if each.producer.dispatch == "batch"]
        self._coming: dict[str, set[str]] = {name: set() for name in names}
        for cell in expansion.cells.values() if names else ():
            if cell.producer in self._coming:
                self._coming[cell.producer].add(cell.id)
        self._circular = {name for name in names if _needs(expansion, name)}
        self._rounds: dict[str, Round] = {}
        self._seats: dict[str, Seat] = {}
        self._dismissed = False

    def seat(self, cell: Cell, call: PreparedCall) -> Seat | None:
        """The place of a cell's call in the batch to come; None for a call that is sent by itself."""
        if not call.group or call.bound.batch is None:
            self.settled(cell)
            return None
        current = self._rounds.get(cell.producer)
        if current is None or current.closed:
            current = self._rounds[cell.producer] = Round(self._services, call.bound.batch)
            if self._dismissed:
                self.dismiss()
        seat = self._seats[cell.id] = Seat(current, lambda: self.settled(cell))
        return seat

    def settled(self, cell: Cell) -> None:
        """The cell has come, has ended, or goes its own way: nobody waits for it any more."""
        if cell.producer in self._coming:
            self._coming[cell.producer].discard(cell.id)
            self._wake()

    def close_ready(self, settled: Collection[str]) -> None:
        """Let every batch go that no further job of its producer can join."""
        for name, current in self._rounds.items():
            if current.waits and not current.closed and not self._may_come(name, settled):
                current.close()

    def dismiss(self) -> None:
        """What waits for others, or comes later, is not started."""
        self._dismissed = True
        for current in self._rounds.values():
            current.dismiss(NotStartedError("an earlier job failed"))

    def _may_come(self, producer: str, settled: Collection[str]) -> bool:
        """True while a cell of the producer is neither there nor kept away by calls that wait in a round."""
        coming = self._coming[producer]
        if not coming or producer not in self._circular:
            return bool(coming)
        stuck: dict[str, bool] = {}
        return not all(self._is_stuck(cell, settled, stuck) for cell in coming)

    def _is_stuck(self, cell: str, settled: Collection[str], known: dict[str, bool]) -> bool:
        """True when a cell needs, however indirectly, one that waits in a round. Without recursion: chains are long."""
        pending = [cell]
        while pending:
            current = pending[-1]
            unknown = [job for job in self._upstream(current, settled) if job not in known]
            if unknown:
                pending += unknown
                continue
            pending.pop()
            needs = self._upstream(current, settled)
            known[current] = self._waits(current) or any(known[job] for job in needs)
        return known[cell]

    def _upstream(self, cell: str, settled: Collection[str]) -> list[str]:
        return [job for job in self._expansion.cells[cell].upstream if job not in settled]

    def _waits(self, cell: str) -> bool:
        seat = self._seats.get(cell)
        return seat is not None and seat.waits


def _needs(expansion: Expansion, wanted: str) -> bool:
    """True when a producer reads itself, however indirectly: some of its jobs come after others of them."""
    seen: set[str] = set()
    pending = [wanted]
    while pending:
        for reference in expansion.producers[pending.pop()].references:
            if reference.producer == wanted:
                return True
            if reference.producer not in seen:
                seen.add(reference.producer)
                pending.append(reference.producer)
    return False
