"""The rows of chats: what was asked, what was answered, and the sample by which an answer is paid for only once."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from callsheet.errors import ConfigError
from callsheet.messages import Message
from callsheet.stores.records import decode_message, encode_message
from callsheet.stores.writer import Turn, Writer

__all__ = ["Chat", "Chats", "Exchange"]

_SAMPLES = 1 << 48
_SELECT = "SELECT id, ref, mode, system, started, updated FROM chats"
_INSERT = "INSERT OR IGNORE INTO chats (id, ref, mode, system, started, updated) VALUES (?, ?, ?, ?, ?, ?)"
_SELECT_EXCHANGES = "SELECT number, sample, question, answer FROM exchanges WHERE chat = ? ORDER BY number"


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation with one model, in one mode; times are seconds since the epoch."""

    id: str
    ref: str
    mode: str
    system: str
    started: float
    updated: float


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the user said, and the answer once there is one.

    `sample` is drawn before anything is sent, so that asking again after a crash is the same call and not another one.
    """

    number: int
    sample: int
    question: Message
    answer: Message | None = None


class Chats:
    """The chats of a ledger. Every change is durable when its method returns."""

    def __init__(self, writer: Writer, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._clock = clock

    def begin(self, ref: str, mode: str, system: str) -> Chat:
        """A new chat; it is written with its first message."""
        now = self._clock()
        return Chat(secrets.token_hex(6), ref, mode, system, now, now)

    async def find(self, chat: str = "") -> Chat:
        """The chat with this id or the beginning of it, or the latest. Raises ConfigError for none or several."""
        return await self._writer.submit(lambda turn: _find(turn, chat), writes=False)

    async def latest(self, limit: int = 20) -> list[tuple[Chat, list[Exchange]]]:
        """The chats that were talked in last, newest first, with what was said."""

        def read(turn: Turn) -> list[tuple[Chat, list[Exchange]]]:
            rows = turn.db.execute(_SELECT + " ORDER BY updated DESC, id LIMIT ?", (limit,)).fetchall()
            return [(Chat(*row), _exchanges(turn, row[0])) for row in rows]

        return await self._writer.submit(read, writes=False)

    async def exchanges(self, chat: str) -> list[Exchange]:
        """What was said in a chat (its whole id), in order."""
        return await self._writer.submit(lambda turn: _exchanges(turn, chat), writes=False)

    async def switch(self, chat: str, ref: str) -> None:
        """Go on with another model."""

        def write(turn: Turn) -> None:
            turn.db.execute("UPDATE chats SET ref = ? WHERE id = ?", (ref, chat))

        await self._writer.submit(write)

    async def ask(self, chat: Chat, question: Message) -> Exchange:
        """Keep what the user says, before it is sent."""
        now, sample, text = self._clock(), secrets.randbelow(_SAMPLES), encode_message(question)

        def write(turn: Turn) -> Exchange:
            row = (chat.id, chat.ref, chat.mode, chat.system, chat.started, now)
            turn.db.execute(_INSERT, row)
            query = "SELECT coalesce(max(number), 0) FROM exchanges WHERE chat = ?"
            last = turn.db.execute(query, (chat.id,)).fetchone()
            values = (chat.id, int(last[0]) + 1, sample, text)
            turn.db.execute("INSERT INTO exchanges (chat, number, sample, question) VALUES (?, ?, ?, ?)", values)
            turn.db.execute("UPDATE chats SET updated = ? WHERE id = ?", (now, chat.id))
            return Exchange(values[1], sample, question)

        return await self._writer.submit(write)

    async def answer(self, chat: str, number: int, answer: Message) -> None:
        """Keep the answer."""
        now, text = self._clock(), encode_message(answer)

        def write(turn: Turn) -> None:
            turn.db.execute("UPDATE exchanges SET answer = ? WHERE chat = ? AND number = ?", (text, chat, number))
            turn.db.execute("UPDATE chats SET updated = ? WHERE id = ?", (now, chat))

        await self._writer.submit(write)


def _find(turn: Turn, chat: str) -> Chat:
    if not chat:
        row: tuple[Any, ...] | None = turn.db.execute(_SELECT + " ORDER BY updated DESC, id LIMIT 1").fetchone()
        if row is None:
            raise ConfigError("there is no chat to continue here: begin one with `callsheet chat REF`", missing=True)
        return Chat(*row)
    rows = turn.db.execute(_SELECT + " WHERE substr(id, 1, ?) = ? ORDER BY id LIMIT 6", (len(chat), chat)).fetchall()
    if len(rows) == 1:
        return Chat(*rows[0])
    if not rows:
        raise ConfigError(f"there is no chat {chat!r}: `callsheet chat --list` shows those there are", missing=True)
    raise ConfigError(f"several chats begin with {chat!r}: {', '.join(row[0] for row in rows)}")


def _exchanges(turn: Turn, chat: str) -> list[Exchange]:
    rows = turn.db.execute(_SELECT_EXCHANGES, (chat,))
    return [
        Exchange(number, sample, decode_message(question), None if answer is None else decode_message(answer))
        for number, sample, question, answer in rows
    ]
