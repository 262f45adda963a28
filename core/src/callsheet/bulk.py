"""Many calls to one model at once: by batch where the provider takes them, else one by one, some at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from callsheet.batch_round import Round, Seat
from callsheet.budget import Budget
from callsheet.errors import CallsheetError
from callsheet.pay_once import OnUnknown, PayOnce, Ticket
from callsheet.performing import Performance, Performed, Performer
from callsheet.preparation import PreparedCall
from callsheet.services import Services

__all__ = ["perform_many"]


async def perform_many(
    performer: Performer,
    calls: Sequence[PreparedCall],
    *,
    reuse: bool,
    on_unknown: OnUnknown,
    concurrency: int,
) -> list[Performed | CallsheetError]:
    """Each call's result, or the error that it ended with, in order; equal calls are samples of their own."""
    slots = asyncio.Semaphore(concurrency)
    seats = _seats(performer.services, calls)
    budget = Budget.of(performer.services, performer.services.policies.money, many=True)

    async def perform(number: int, sample: int) -> Performed | CallsheetError:
        ticket = Ticket("", on_unknown, seat=seats.get(number), reuse=reuse, budget=budget)
        performance = Performance([(calls[number], sample)], lambda _call, _warnings: ticket)
        try:
            if ticket.seat is not None:
                return await performer.perform(performance)
            async with slots:
                return await performer.perform(performance)
        except CallsheetError as error:
            return error

    samples = await _samples(performer.pay_once, calls, reuse=reuse)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(perform(number, sample)) for number, sample in enumerate(samples)]
    return [task.result() for task in tasks]


async def _samples(pay_once: PayOnce, calls: Sequence[PreparedCall], *, reuse: bool) -> list[int]:
    """The k-th of equal calls gets the k-th fresh sample; with `reuse` simply the k-th one."""
    equal = Counter(call.key(0) for call in calls)
    ready: dict[str, list[int]] = {}
    for call in calls:
        if (mark := call.key(0)) not in ready:
            count = equal[mark]
            ready[mark] = list(range(count)) if reuse else await pay_once.fresh.take(call, count)
    return [ready[call.key(0)].pop(0) for call in calls]


def _seats(services: Services, calls: Sequence[PreparedCall]) -> dict[int, Seat]:
    """A place for each call that may go by batch; a round is closed when all of its calls have come."""
    going = [number for number, call in enumerate(calls) if call.group]
    limits = calls[going[0]].bound.batch if going else None
    if limits is None:
        return {}
    seats: dict[int, Seat] = {}
    for start in range(0, len(going), limits.max_requests):
        numbers = going[start : start + limits.max_requests]
        gathering = Round(services, limits)
        came = _closing(gathering, len(numbers))
        seats |= {number: Seat(gathering, came) for number in numbers}
    return seats


def _closing(gathering: Round, count: int) -> Callable[[], None]:
    left = count

    def came() -> None:
        nonlocal left
        left -= 1
        if not left:
            asyncio.get_running_loop().call_soon(gathering.close)

    return came
