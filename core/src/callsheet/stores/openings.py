"""How a call is opened: all that is written before its request leaves, in one transaction as far as nothing is in the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from callsheet.storage import CallState
from callsheet.stores.calls import Claim, Claiming, NewCall
from callsheet.stores.gates import Place, Slot, give_back, take
from callsheet.stores.history import EventRow
from callsheet.stores.owners import Owner
from callsheet.stores.spending import Bounds, Reservation, reserve, settle
from callsheet.stores.writer import Turn

__all__ = ["Opened", "Opener", "Opening"]


@dataclass(frozen=True, slots=True)
class Opening:
    """A claim and, when the call becomes ours, what follows it: `money` set aside, a `place` at the gate, and `sending`.

    None for `money`: there is no budget; for `place`: there is no limit; for `sending`: it cannot leave yet.
    """

    new: NewCall
    started: EventRow
    money: tuple[Reservation, Bounds] | None = None
    place: Place | None = None
    sending: EventRow | None = None


class Opened(NamedTuple):
    """How far an opening got: `reserved` with its money set aside, `sending` to its end."""

    claim: Claim
    reserved: bool = False
    sending: bool = False


class Opener:
    """One opening, and how to take it back when the task that asked for it was cancelled meanwhile."""

    def __init__(self, opening: Opening, owner: Owner) -> None:
        self._opening = opening
        self._owner = owner
        self._claiming = Claiming(opening.new, owner.id, owner.is_alive, retry_unknown=False)
        self._slot: Slot | None = None

    def carry_out(self, turn: Turn, now: float) -> Opened:
        """Take the steps. One that cannot be taken at once is the end: what asks for it again by itself has patience."""
        asked, self._slot = self._opening, None
        reserved = self._claiming.look(turn) == "claimed" and self._reserves(turn, now)
        if asked.sending is not None and reserved and self._has_place(turn, now):
            told = [asked.started, asked.sending]
            return Opened(self._claiming.write(turn, now, told, CallState.SENDING), reserved=True, sending=True)
        return Opened(self._claiming.write(turn, now, [asked.started]), reserved=reserved)

    def _reserves(self, turn: Turn, now: float) -> bool:
        money = self._opening.money
        return money is None or reserve(turn, *money, self._owner.is_alive, now).bound is None

    def _has_place(self, turn: Turn, now: float) -> bool:
        place = self._opening.place
        if place is not None:
            self._slot = take(turn, place, now)
        return place is None or self._slot is not None

    def take_back(self, turn: Turn) -> None:
        """Undo the steps: nobody has sent anything, and nobody will."""
        if not self._claiming.take_back(turn):
            return
        settle(turn, self._opening.new.key)
        if self._opening.place is not None and self._slot is not None:
            give_back(turn, self._opening.place.rate_key, self._slot)
