"""Fresh samples: each of many equal calls is a take of its own, also when they are made at once."""

from __future__ import annotations

from collections import OrderedDict

from callsheet.preparation import PreparedCall
from callsheet.stores.ledger import Ledger

__all__ = ["FreshSamples"]

_LOOK_GROWS, _LARGEST_LOOK = 8, 512
"""How many samples are looked up at once: one, and the more of them the longer none is found that is free."""
_REMEMBERED = 4096
"""How many different calls are remembered; a forgotten one is looked up again."""


class FreshSamples:
    """Numbers that nobody has paid for and nobody in this process was given; the ledger is asked, then remembered."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._next: OrderedDict[str, int] = OrderedDict()
        self._returned: dict[str, list[int]] = {}

    def guess(self, call: PreparedCall) -> int:
        """A sample that nobody in this process was given. Whether it is paid for already, its claim shows."""
        mark = call.key(0)
        if returned := self._returned.get(mark):
            return returned.pop()
        sample = self._next.get(mark, 0)
        self._remember(mark, sample + 1)
        return sample

    async def take(self, call: PreparedCall, count: int = 1) -> list[int]:
        """The next `count` samples of this call."""
        mark = call.key(0)
        size = 1
        taken: list[int] = []
        while len(taken) < count:
            first = self._next.get(mark, 0)
            end = first + max(size, count - len(taken))
            size = min(size * _LOOK_GROWS, _LARGEST_LOOK)
            self._remember(mark, end)  # before anything is awaited: two equal calls get two numbers
            keys = {call.key(sample): sample for sample in (*sorted(self._returned.pop(mark, ())), *range(first, end))}
            used = await self._ledger.paid_or_open(keys) if self._ledger.durable else set()
            taken += [sample for key, sample in keys.items() if key not in used]
            spare = [sample for sample in taken[count:] if sample >= first]
            if spare and self._next.get(mark) == end:
                self._remember(mark, spare[0])  # looked at, and not needed
            if earlier := [sample for sample in taken[count:] if sample < first]:
                self._returned.setdefault(mark, []).extend(earlier)
        return taken[:count]

    def give_back(self, call: PreparedCall, sample: int) -> None:
        """This sample failed: it is looked at again, and no other that may be on its way."""
        if self._ledger.durable and (mark := call.key(0)) in self._next:
            self._returned.setdefault(mark, []).append(sample)

    def _remember(self, mark: str, following: int) -> None:
        self._next[mark] = following
        self._next.move_to_end(mark)
        if len(self._next) > _REMEMBERED:
            self._returned.pop(self._next.popitem(last=False)[0], None)
