"""Many calls to one model at once: by batch where the provider takes them, else one by one, some at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

from callsheet.batch_round import Round, Seat
from callsheet.budget import Budget
from callsheet.errors import CallsheetError
from callsheet.jobs import CallWarning
from callsheet.pay_once import OnUnknown, PayOnce, Ticket
from callsheet.performing import Performance, Performed, Performer
from callsheet.policies import MoneyPolicy
from callsheet.preparation import Prepared, PreparedCall, Samples
from callsheet.services import Services

__all__ = ["perform_many"]


async def perform_many(
    performer: Performer,
    jobs: Sequence[Prepared],
    *,
    reuse: bool,
    on_unknown: OnUnknown,
    concurrency: int,
    money: MoneyPolicy | None = None,
) -> list[Performed | CallsheetError]:
    """Each job's result, or the error that it ended with, in order; equal calls are samples of their own.

    Fallbacks are asked by themselves, like calls that no batch takes: `concurrency` of all of them at a time. `money` bounds
    what they cost together; the project's own policy where it is None.
    """
    slots = asyncio.Semaphore(concurrency)
    seats = _seats(performer.services, [job.calls[0] for job in jobs])
    budget = Budget.of(performer.services, money or performer.services.policies.money, many=True)

    async def perform(number: int, samples: Sequence[int | None]) -> Performed | CallsheetError:
        job, seat = jobs[number], seats.get(number)

        def ticket(call: PreparedCall, _warnings: tuple[CallWarning, ...]) -> Ticket:
            return Ticket("", on_unknown, seat=seat if call is job.calls[0] else None, reuse=reuse, budget=budget)

        def place(call: PreparedCall) -> AbstractAsyncContextManager[object]:
            if seat is None or call is job.calls[0]:
                return nullcontext()
            seat.leave()
            return slots

        calls = list(zip(job.calls, samples, strict=True))
        known = reuse and len(calls) > 1
        ended: Performed | CallsheetError
        try:
            async with slots if seat is None else nullcontext():
                ended = await performer.perform(Performance(calls, ticket, job.warnings, known=known, place=place))
        except CallsheetError as error:
            ended = error
        if seat is not None:
            seat.leave()  # the others would wait for what was paid for before, or never got as far as its seat
        return ended

    samples = await _samples(performer.pay_once, jobs, reuse=reuse)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(perform(number, each)) for number, each in enumerate(samples)]
    return [task.result() for task in tasks]


async def _samples(pay_once: PayOnce, jobs: Sequence[Prepared], *, reuse: bool) -> list[list[int | None]]:
    """For each job's calls: the k-th of equal calls gets the k-th fresh sample; with `reuse` simply the k-th one.

    A fresh sample of a fallback is found when it is asked.
    """
    if reuse:
        primary, others = Samples(), Samples()
        return [[primary.take("", job.calls[0]), *(others.take("", call) for call in job.calls[1:])] for job in jobs]
    firsts = [job.calls[0] for job in jobs]
    equal = Counter(call.key(0) for call in firsts)
    ready: dict[str, list[int]] = {}
    for call in firsts:
        if (mark := call.key(0)) not in ready:
            ready[mark] = await pay_once.fresh.take(call, equal[mark])
    return [[ready[job.calls[0].key(0)].pop(0), *(None for _ in job.calls[1:])] for job in jobs]


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
