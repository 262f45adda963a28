"""Who talks to the ledger's database: one thread, which commits together what is waiting; in memory, nobody but the caller."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from callsheet.errors import CallsheetError
from callsheet.storage import Event
from callsheet.stores.loop_calls import LoopCalls
from callsheet.stores.schema import close_database, explain, open_database

__all__ = ["Turn", "Writer"]

T = TypeVar("T")

_LARGEST_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Turn:
    """What an operation works with: the database, and the list its new events go to."""

    db: sqlite3.Connection
    events: list[Event]


@dataclass(slots=True)
class _Task:
    operation: Callable[[Turn], Any]
    future: asyncio.Future[Any]
    writes: bool
    durable: bool
    value: Any = None
    error: BaseException | None = None


class Writer:
    """Runs operations in order, each whole or not at all, and answers after their common commit (group commit).

    When one of a batch fails, the batch is rolled back and carried out anew, each operation in a savepoint: so an
    operation may be called twice, and must do the same again. A database in memory waits for no disk: there, an
    operation is carried out at once, on the loop's own thread.

    Belongs to the event loop it was started on. An operation once submitted is carried out, even when the task that
    waits for it is cancelled: it may record something that was paid for.
    """

    def __init__(self, path: Path | None, busy_timeout: float, publish: Callable[[Event], None]) -> None:
        self.name = str(path or ":memory:")
        self._path = path
        self.commits = 0
        self._busy_timeout = busy_timeout
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Task | None] = SimpleQueue()
        self._closing = False
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._thread: Thread | None = None
        self._memory: sqlite3.Connection | None = None
        self._synchronous = True

    @classmethod
    async def start(cls, path: Path | None, busy_timeout: float, publish: Callable[[Event], None]) -> Writer:
        """Open the database (None: in memory) in a new thread. Raises what `open_database` raises."""
        writer = cls(path, busy_timeout, publish)
        if path is None:
            writer._memory = open_database(None, busy_timeout)
            return writer
        writer._begin()
        try:
            await writer._ready
        except asyncio.CancelledError:
            writer._closing = True
            writer._queue.put(None)
            raise
        return writer

    @property
    def durable(self) -> bool:
        """False for a database in memory."""
        return self._memory is None

    def submit(self, operation: Callable[[Turn], T], *, writes: bool = True, durable: bool = True) -> asyncio.Future[T]:
        """Queue an operation; its result or error comes after the commit. Raises CallsheetError when closed.

        One that is not `durable` may be undone by a power cut, until a durable one follows it; a process that dies does
        not undo it, and other processes see it at once. It is for what is harmless to lose as long as nothing was sent.
        """
        if self._closing:
            raise CallsheetError(f"the ledger {self.name} is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        task = _Task(operation, future, writes, durable)
        if self._memory is None:
            self._queue.put(task)
        else:
            self._answer([task], self._execute(self._memory, [task]))
        return future

    async def stop(self) -> None:
        """Carry out what is queued, checkpoint, and end the thread. Safe to call twice."""
        first, self._closing = not self._closing, True
        if self._memory is not None:
            if first:
                close_database(self._memory)
            return
        if first:
            self._queue.put(None)
        assert self._thread is not None
        await asyncio.to_thread(self._thread.join)

    def _begin(self) -> None:
        try:
            calls = LoopCalls(self._loop)
        except OSError as error:
            raise CallsheetError(f"the ledger {self.name} cannot be opened: {error.strerror or error}") from error
        self._thread = Thread(target=self._work, args=(calls,), name="callsheet-ledger", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            calls.close()
            raise

    def _work(self, calls: LoopCalls) -> None:
        try:
            self._serve_all(calls)
        finally:
            calls.end()

    def _serve_all(self, calls: LoopCalls) -> None:
        try:
            db = open_database(self._path, self._busy_timeout)
        except BaseException as error:  # noqa: BLE001 - handed over to the task that opens the ledger
            calls.ask(_settle, self._ready, None, error)
            return
        calls.ask(_settle, self._ready, None, None)
        try:
            while self._serve(db, calls):
                pass
        finally:
            close_database(db)

    def _serve(self, db: sqlite3.Connection, calls: LoopCalls) -> bool:
        batch: list[_Task] = []
        entry = self._queue.get()
        while entry is not None:
            batch.append(entry)
            if self._queue.empty() or len(batch) == _LARGEST_BATCH:
                break
            entry = self._queue.get()
        if batch:
            events = self._execute(db, batch)
            calls.ask(self._answer, batch, events)
        return entry is not None

    def _execute(self, db: sqlite3.Connection, batch: list[_Task]) -> list[Event]:
        turn = Turn(db, [])
        try:
            if not any(task.writes for task in batch):
                for task in batch:
                    _read(turn, task)
                return []
            if self._memory is None:
                self._sync(db, durable=any(task.durable for task in batch))
            db.execute("BEGIN IMMEDIATE")
            if not _all_succeed(turn, batch):
                db.execute("ROLLBACK")
                turn.events.clear()
                db.execute("BEGIN IMMEDIATE")
                for task in batch:
                    (_write if task.writes else _read)(turn, task)
            db.execute("COMMIT")
            self.commits += 1
        except BaseException as error:  # noqa: BLE001 - handed over to the tasks that wait
            if db.in_transaction:
                db.execute("ROLLBACK")
            for task in batch:
                # One error object a task: a shared one would collect the tracebacks of all of them.
                task.error = self._explain(error) if isinstance(error, sqlite3.Error) else error
            return []
        return turn.events

    def _sync(self, db: sqlite3.Connection, *, durable: bool) -> None:
        """Whether the next commit waits for the disk (https://www.sqlite.org/pragma.html#pragma_synchronous)."""
        if durable is not self._synchronous:
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._synchronous = durable

    def _answer(self, batch: list[_Task], events: list[Event]) -> None:
        for event in events:
            self._publish(event)
        for task in batch:
            error = task.error
            _settle(task.future, task.value, self._explain(error) if isinstance(error, sqlite3.Error) else error)

    def _explain(self, error: sqlite3.Error) -> CallsheetError:
        found = explain(error, self.name, self._busy_timeout)
        found.__cause__ = error
        return found


def _all_succeed(turn: Turn, batch: list[_Task]) -> bool:
    """Carry out all operations without savepoints, which cost more than most of them; False when one fails."""
    try:
        for task in batch:
            task.value = task.operation(turn)
    except Exception:
        if not turn.db.in_transaction:
            raise  # SQLite itself has given up the whole transaction (disk full, I/O error)
        return False
    return True


def _write(turn: Turn, task: _Task) -> None:
    """Carry out one operation of a transaction in a savepoint of its own, so that its failure harms no other."""
    db, mark = turn.db, len(turn.events)
    db.execute("SAVEPOINT operation")
    try:
        task.value = task.operation(turn)
    except Exception as error:
        if not db.in_transaction:
            raise  # SQLite itself has given up the whole transaction (disk full, I/O error)
        db.execute("ROLLBACK TO operation")
        del turn.events[mark:]
        task.error = error
    db.execute("RELEASE operation")


def _read(turn: Turn, task: _Task) -> None:
    try:
        task.value = task.operation(turn)
    except Exception as error:  # noqa: BLE001 - handed over to the task that waits
        task.error = error


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
