"""The ledger: the durable record of every paid call, of runs and of what happened in them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from callsheet.errors import ConfigError
from callsheet.jobs import Attempt, JobResult, Receipt
from callsheet.secrets import Redactor
from callsheet.storage import CallRecord, CallState, Event, Failure, RunRecord
from callsheet.stores import calls, history, waits
from callsheet.stores.breakers import BreakerRows
from callsheet.stores.calls import Claim, Claiming, LostOwnershipError, NewCall, Verdict
from callsheet.stores.chats import Chats
from callsheet.stores.gates import GateRows
from callsheet.stores.history import EventRow, Pick, shown
from callsheet.stores.latencies import Latencies
from callsheet.stores.openings import Opened, Opener, Opening
from callsheet.stores.owners import Owner
from callsheet.stores.records import masked
from callsheet.stores.spending import Spending
from callsheet.stores.steps import Change, Step, Stepping
from callsheet.stores.track_records import TrackRecords
from callsheet.stores.uploads import UploadRows
from callsheet.stores.writer import Turn, Writer

__all__ = ["Change", "Claim", "EventRow", "Ledger", "LostOwnershipError", "NewCall", "Pick", "Step", "Verdict"]

T = TypeVar("T")


class Ledger:
    """One SQLite file that several processes share. Open it with `await Ledger.open(…)`.

    A method that changes something returns when the change is durable; a state and its events are one transaction.
    A write once begun is carried out even when its caller is cancelled; a claim is then taken back. Every method may
    raise CallsheetError when the database is locked for too long, full or damaged; nothing was written then.
    """

    def __init__(self, writer: Writer, owner: Owner, clock: Callable[[], float], redactor: Redactor) -> None:
        self.owner = owner
        self.chats = Chats(writer, clock)
        self.spending = Spending(writer, owner, clock)
        self.uploads = UploadRows(writer, clock)
        self.gates = GateRows(writer)
        self.breakers = BreakerRows(writer)
        self.track_records = TrackRecords(writer)
        self.latencies = Latencies(writer)
        self._writer = writer
        self._clock = clock
        self._redactor = redactor
        self._subscribers: list[Callable[[Event], None]] = []

    @classmethod
    async def open(
        cls,
        path: Path | None,
        owner: Owner,
        *,
        clock: Callable[[], float] = time.time,
        busy_timeout: float = 30.0,
        redactor: Redactor | None = None,
    ) -> Ledger:
        """Open the ledger's file, creating it if needed; None keeps it in memory, without durability.

        `busy_timeout` is how many seconds to wait for other processes; `redactor` masks secrets in events, in what runs
        were asked for and in providers' metadata. The file must lie in the owner's state folder,
        else two processes would not see each other's locks. Raises ConfigError for that, for a network file system, a
        file that is no ledger, or one that a newer callsheet wrote.
        """
        subscribers: list[Callable[[Event], None]] = []
        publish = partial(_publish, subscribers)
        place = None if path is None else _placed(path, owner)
        writer = await Writer.start(place, busy_timeout, publish)
        ledger = cls(writer, owner, clock, redactor or Redactor())
        ledger._subscribers = subscribers
        return ledger

    @property
    def durable(self) -> bool:
        """False for one in memory."""
        return self._writer.durable

    async def close(self) -> None:
        """Carry out what is queued, checkpoint, and end the thread. Safe to call twice."""
        await self._writer.stop()

    async def __aenter__(self) -> Ledger:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call `callback` on the event loop's thread with each event of this process, after its commit.

        Returns a function that ends the subscription. What the callback raises goes to the loop's exception handler.
        """
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback) if callback in self._subscribers else None

    async def claim(
        self,
        key: str,
        *,
        ref: str,
        operation: str,
        job: str,
        run: str,
        request_digest: str,
        request: Mapping[str, object],
        events: Iterable[EventRow] = (),
    ) -> Claim:
        """Ask to work on a call; see `Claim` for the verdicts. The events are written when the row becomes ours."""
        new = NewCall(key, ref, operation, job, run, request_digest, request)
        return await self._claim(new, events, retry_unknown=False)

    async def reclaim(
        self,
        key: str,
        *,
        ref: str,
        operation: str,
        job: str,
        run: str,
        request_digest: str,
        request: Mapping[str, object],
        lost: int | None = None,
        events: Iterable[EventRow] = (),
    ) -> Claim:
        """Like `claim`, but a call whose outcome is unknown is claimed anew: the user accepts to pay perhaps twice.

        So is one that succeeded at epoch `lost`, because the files of that result are not there any more.
        """
        new = NewCall(key, ref, operation, job, run, request_digest, request)
        return await self._claim(new, events, retry_unknown=True, lost=lost)

    async def _claim(
        self, new: NewCall, events: Iterable[EventRow], *, retry_unknown: bool, lost: int | None = None
    ) -> Claim:
        claiming = Claiming(new, self.owner.id, self.owner.is_alive, retry_unknown=retry_unknown, lost=lost)
        now, rows = self._clock(), shown(events, self._redactor)
        # nothing was sent yet: the step to `sending`, which is durable, makes it so
        return await self._begin(lambda turn: claiming.carry_out(turn, now, rows), claiming.take_back, durable=False)

    async def open_call(self, opening: Opening) -> Opened:
        """`claim` a call and go on as far as nothing is in the way, up to `sending`."""
        opener, now = Opener(opening, self.owner, self._redactor), self._clock()
        return await self._begin(
            lambda turn: opener.carry_out(turn, now), opener.take_back, durable=opening.sending is not None
        )

    async def _begin(self, begin: Callable[[Turn], T], take_back: Callable[[Turn], object], *, durable: bool) -> T:
        try:
            return await self._writer.submit(begin, durable=durable)
        except asyncio.CancelledError:
            # Nobody would work on the call. Operations keep their order, so it is begun by then.
            self._writer.submit(take_back).add_done_callback(_look_at)
            raise

    async def advance(
        self,
        key: str,
        epoch: int,
        state: CallState,
        *,
        request_id: str | None = None,
        receipt: Receipt | None = None,
        result: JobResult | None = None,
        failure: Failure | None = None,
        attempt: Attempt | None = None,
        pick: Pick | None = None,
        events: Iterable[EventRow] = (),
    ) -> None:
        """Take a step with a call that we hold; None leaves what is known.

        Raises LostOwnershipError when it is not ours any more, CallsheetError for a step that is not allowed.
        """
        change = Change(key, epoch, state, request_id, receipt, result, failure, attempt, pick)
        stepping, now = self._stepping(change, events), self._clock()
        await self._write(lambda turn: stepping.carry_out(turn, now))

    async def claim_many(self, calls: Iterable[tuple[NewCall, tuple[EventRow, ...]]]) -> list[Claim]:
        """`claim` for each, all in one transaction. It is carried out even when the caller is cancelled."""
        owner, now = self.owner, self._clock()
        wanted = [
            (Claiming(new, owner.id, owner.is_alive, retry_unknown=False), shown(events, self._redactor))
            for new, events in calls
        ]
        return await self._write(lambda turn: [each.carry_out(turn, now, rows) for each, rows in wanted])

    async def advance_many(self, steps: Iterable[Step]) -> None:
        """`advance` for each, all or none of them. Raises as `advance` does."""
        taken, now = [self._stepping(step.change, step.events) for step in steps], self._clock()

        def write(turn: Turn) -> None:
            for each in taken:
                each.carry_out(turn, now)

        await self._write(write)

    def _stepping(self, change: Change, events: Iterable[EventRow]) -> Stepping:
        return Stepping(change, events, self.owner.id, self._redactor)

    async def batch_calls(self, batch: str) -> list[CallRecord]:
        """The calls that left in the batch with this key, oldest first."""
        return await self._read(lambda turn: calls.batch_calls(turn, batch))

    async def calls_of_job(self, job_id: str, *, beginning: bool = False) -> list[CallRecord]:
        """The calls whose job has this id at its provider, oldest first: several for a batch.

        With `beginning`, also those whose job's id or whose key begins so.
        """
        return await self._read(lambda turn: calls.calls_of_job(turn, job_id, beginning=beginning))

    async def release(self, key: str, epoch: int, *, events: Iterable[EventRow] = ()) -> None:
        """Forget a claimed call of which nothing was sent. Raises as `advance` does."""
        now, rows = self._clock(), shown(events, self._redactor)
        await self._write(lambda turn: calls.release(turn, key, epoch, owner=self.owner.id, now=now, events=rows))

    async def let_go(self, key: str, epoch: int) -> None:
        """Stop working on an open call, as it stands: the next claim takes it over. Nothing happens to any other."""
        now = self._clock()
        await self._write(lambda turn: calls.let_go(turn, key, epoch, owner=self.owner.id, now=now))

    async def start_waiting(self, key: str, run: str, events: Iterable[EventRow] = ()) -> None:
        """Write that this process waits for a call of another one."""
        now, rows = self._clock(), shown(events, self._redactor)

        def write(turn: Turn) -> None:
            waits.add_wait(turn, key, self.owner.id, self.owner.is_alive)
            history.add_events(turn, run, now, rows)

        await self._write(write)

    async def stop_waiting(self, key: str) -> None:
        """This process waits no longer."""
        await self._write(lambda turn: waits.remove_wait(turn, key, self.owner.id))

    async def is_awaited(self, key: str) -> bool:
        """True when another living process waits for the call."""
        return await self._read(lambda turn: waits.is_awaited(turn, key, self.owner.id, self.owner.is_alive))

    async def get(self, key: str) -> CallRecord | None:
        """One call's record."""
        return (await self.get_many([key])).get(key)

    async def get_many(self, keys: Iterable[str]) -> dict[str, CallRecord]:
        """The records of those keys which are known, in the order asked for."""
        wanted = list(keys)
        return await self._read(lambda turn: calls.get_many(turn, wanted))

    async def paid_or_open(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that are not free: under way, unknown or succeeded."""
        wanted = list(keys)
        return await self._read(lambda turn: calls.paid_or_open(turn, wanted, self.owner.is_alive))

    async def open_calls(self, run: str | None = None) -> list[CallRecord]:
        """The calls that are not final (of one run), oldest first."""
        return await self._read(lambda turn: calls.open_calls(turn, run))

    async def attempts(self, key: str) -> list[Attempt]:
        """All attempts ever made for a key, in the order they were recorded."""
        return await self._read(lambda turn: calls.attempts(turn, key))

    async def start_run(self, record: RunRecord, events: Iterable[EventRow] = ()) -> None:
        """Write a new run. Raises CallsheetError when its id is taken."""
        now, rows = self._clock(), shown(events, self._redactor)
        request = masked(record.request, self._redactor)[1]
        await self._write(lambda turn: history.start_run(turn, record, request, now, rows))

    async def finish_run(self, run: str, status: str, events: Iterable[EventRow] = ()) -> RunRecord:
        """Write how a run ended, and when."""
        now, rows = self._clock(), shown(events, self._redactor)
        return await self._write(lambda turn: history.finish_run(turn, run, status, now, rows))

    async def reopen_run(self, run: str, owner: str, events: Iterable[EventRow] = ()) -> RunRecord:
        """Let `owner` (an owner's id) go on with a run. Raises CallsheetError while another living process does."""
        now, rows, alive = self._clock(), shown(events, self._redactor), self.owner.is_alive
        return await self._write(lambda turn: history.reopen_run(turn, run, owner, alive=alive, now=now, events=rows))

    async def request_cancel(self, run: str) -> RunRecord:
        """Ask the process that works on a run to stop it; it looks for this now and then."""
        now = self._clock()
        return await self._write(lambda turn: history.request_cancel(turn, run, now))

    async def is_cancel_requested(self, run: str) -> bool:
        """True when somebody asked for the run (its whole id) to be stopped."""
        return await self._read(lambda turn: history.is_cancel_requested(turn, run))

    async def run(self, run: str) -> RunRecord:
        """The run with this id, or the only one whose id begins so. Raises ConfigError when there is none or several."""
        return await self._read(lambda turn: history.find_run(turn, run))

    async def runs(self, limit: int = 20) -> list[RunRecord]:
        """The latest runs, newest first."""
        return await self._read(lambda turn: history.list_runs(turn, limit))

    async def append(self, run: str, events: Iterable[EventRow]) -> list[Event]:
        """Append events to a run."""
        now, rows = self._clock(), shown(events, self._redactor)
        return await self._write(lambda turn: history.add_events(turn, run, now, rows))

    async def events(self, run: str, after: int = 0) -> list[Event]:
        """A run's events whose seq is greater than `after`, in order."""
        return await self._read(lambda turn: history.events_of(turn, run, after))

    async def pick(self, sheet: str, job: str) -> Pick | None:
        """Which call satisfied a sheet's job last."""
        return await self._read(lambda turn: history.pick_of(turn, sheet, job))

    async def picks(self, sheet: str) -> dict[str, Pick]:
        """A sheet's picks by job."""
        return await self._read(lambda turn: history.picks_of(turn, sheet))

    async def set_pick(self, pick: Pick) -> None:
        """Keep which call satisfied a job."""
        await self._write(lambda turn: history.put_pick(turn, pick))

    async def selection(self, sheet: str) -> dict[str, str]:
        """The refs that the user chose for a sheet, by producer."""
        return await self._read(lambda turn: history.selection_of(turn, sheet))

    async def set_selection(self, sheet: str, producer: str, ref: str) -> None:
        """Keep the user's choice of a model."""
        await self._write(lambda turn: history.put_selection(turn, sheet, producer, ref))

    async def clear_selection(self, sheet: str) -> None:
        """Forget the user's choices for a sheet."""
        await self._write(lambda turn: history.clear_selection(turn, sheet))

    async def _write(self, operation: Callable[[Turn], T]) -> T:
        return await self._writer.submit(operation)

    async def _read(self, operation: Callable[[Turn], T]) -> T:
        return await self._writer.submit(operation, writes=False)


def _placed(path: Path, owner: Owner) -> Path:
    if path.parent.resolve() != owner.folder.resolve():
        raise ConfigError(f"the ledger {path} does not lie in its owner's state folder {owner.folder}")
    return path.absolute()


def _publish(subscribers: list[Callable[[Event], None]], event: Event) -> None:
    for subscriber in list(subscribers):
        try:
            subscriber(event)
        except Exception as error:  # noqa: BLE001 - a broken listener must not keep the others from their answers
            context = {"message": "a subscriber of the ledger failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)


def _look_at(future: asyncio.Future[Any]) -> None:
    """Fetch an error that nobody waits for, else asyncio complains about it."""
    if not future.cancelled():
        future.exception()
