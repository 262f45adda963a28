"""How a call is opened: all that is written before its request leaves, in one transaction as far as nothing is in the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from callsheet.secrets import Redactor
from callsheet.stores.calls import Claim, Claiming, NewCall
from callsheet.stores.gates import Place, Slot, give_back, take
from callsheet.stores.history import EventRow, shown
from callsheet.stores.owners import Owner
from callsheet.stores.spending import Bounds, Reservation, has_room
from callsheet.stores.writer import Turn

__all__ = ["Opened", "Opener", "Opening"]


@dataclass(frozen=True, slots=True)
class Opening:
    """A claim and, when the call becomes ours, what follows it: `money` set aside, a `place` at the gate, and `sending`.

    None for `money`: there is no budget; for `place`: there is no limit; for `sending`: it cannot leave yet. With `unsent`,
    what a dead owner had sent is not taken over: it is `held`.
    """

    new: NewCall
    started: EventRow
    money: tuple[Reservation, Bounds] | None = None
    place: Place | None = None
    sending: EventRow | None = None
    unsent: bool = False


class Opened(NamedTuple):
    """How far an opening got: `reserved` with its money set aside, `sending` to its end."""

    claim: Claim
    reserved: bool = False
    sending: bool = False


class Opener:
    """One opening, and how to take it back when the task that asked for it was cancelled meanwhile."""

    def __init__(self, opening: Opening, owner: Owner, redactor: Redactor) -> None:
        self._opening = opening
        self._owner = owner
        self._events = shown((each for each in (opening.started, opening.sending) if each is not None), redactor)
        alive, unsent = owner.is_alive, opening.unsent
        self._claiming = Claiming(opening.new, owner.id, alive, retry_unknown=False, unsent=unsent)
        self._slot: Slot | None = None

    def carry_out(self, turn: Turn, now: float) -> Opened:
        """Take the steps. One that cannot be taken at once is the end: what asks for it again by itself has patience."""
        asked, self._slot = self._opening, None
        fits = self._claiming.look(turn) == "claimed" and self._fits(turn)
        nanos = asked.money[0].nanos if asked.money is not None and fits else None
        if asked.sending is not None and fits and self._has_place(turn, now):
            claim = self._claiming.write(turn, now, self._events, leaving=True, reserved=nanos)
            return Opened(claim, reserved=True, sending=True)
        return Opened(self._claiming.write(turn, now, self._events[:1], reserved=nanos), reserved=fits)

    def _fits(self, turn: Turn) -> bool:
        money = self._opening.money
        return money is None or has_room(turn, *money, self._owner.is_alive).bound is None

    def _has_place(self, turn: Turn, now: float) -> bool:
        place = self._opening.place
        if place is not None:
            self._slot = take(turn, place, now)
        return place is None or self._slot is not None

    def take_back(self, turn: Turn) -> None:
        """Undo the steps: nobody has sent anything, and nobody will."""
        place = self._opening.place
        if self._claiming.take_back(turn) and place is not None and self._slot is not None:
            give_back(turn, place.rate_key, self._slot)
