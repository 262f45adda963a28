"""Chats in the ledger: what is asked is durable before it is sent, and older ledgers learn of chats when opened."""

from __future__ import annotations

import sqlite3

import pytest

from callsheet.artifacts import FileRef
from callsheet.errors import CallsheetError, ConfigError
from callsheet.messages import FilePart, Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from callsheet.stores import schema
from callsheet.stores.chats import Exchange
from callsheet.stores.ledger import Ledger
from callsheet.stores.records import decode_message, encode_message

HELLO = Message("user", (TextPart("hello"),))
HI = Message("assistant", (TextPart("hi"),))


@pytest.mark.parametrize(
    "message",
    [
        HELLO,
        Message("assistant", ()),
        Message("user", (FilePart(FileRef("a" * 64, "image/png", 3, "a.png")), TextPart("\ud83d and \x1b"))),
        Message("assistant", (ReasoningPart("so", "opaque"), ToolCallPart("1", "look", {"at": [1, None, "x"]}))),
        Message("tool", (ToolResultPart("1", "nothing", failed=True),)),
    ],
    ids=["text", "nothing", "file", "thoughts", "tool"],
)
def test_messages_survive(message):
    """Every kind of part comes back as it was."""
    assert decode_message(encode_message(message)) == message


@pytest.mark.parametrize(
    "text", ["{}", '{"role": "god", "parts": []}', '{"role": "user", "parts": [{"kind": "smell"}]}']
)
def test_what_is_no_message_is_refused(text):
    """With a word on where."""
    with pytest.raises(CallsheetError, match="not a valid Message"):
        decode_message(text)


async def test_a_chat_is_written_with_its_first_message(ledger):
    """One in which nothing was said leaves no trace, and cannot be gone on with."""
    chat = ledger.chats.begin("p:m", "live", "be brief")
    with pytest.raises(ConfigError, match="no chat to continue"):
        await ledger.chats.find()
    asked = await ledger.chats.ask(chat, HELLO)
    assert await ledger.chats.exchanges(chat.id) == [asked]
    await ledger.chats.answer(chat.id, asked.number, HI)
    again = await ledger.chats.ask(chat, HELLO)
    assert again.sample != asked.sample
    assert await ledger.chats.exchanges(chat.id) == [Exchange(1, asked.sample, HELLO, HI), again]
    await ledger.chats.switch(chat.id, "p:other")
    assert ((await ledger.chats.find(chat.id[:5])).ref, (await ledger.chats.find()).system) == ("p:other", "be brief")


async def test_chats_by_the_beginning_of_their_id(ledger):
    """None and several are errors that say what there is."""
    chats = [ledger.chats.begin("p:m", "live", "") for _ in range(40)]
    for chat in chats:
        await ledger.chats.ask(chat, HELLO)
    twice = next(a.id[0] for a in chats if sum(b.id[0] == a.id[0] for b in chats) > 1)
    with pytest.raises(ConfigError, match=f"several chats begin with '{twice}'"):
        await ledger.chats.find(twice)
    with pytest.raises(ConfigError, match=r"no chat .zz.*--list"):
        await ledger.chats.find("zz")
    assert len(await ledger.chats.latest(7)) == 7


@pytest.mark.parametrize("version", range(1, schema.SCHEMA_VERSION))
async def test_an_older_ledger_is_brought_up_to_date(tmp_path, owner, version):
    """What is in it stays; the tables that came later are added."""
    path = tmp_path / "ledger.sqlite3"
    with sqlite3.connect(path) as db:
        db.executescript("".join(schema._STEPS[:version]))
        db.execute("INSERT INTO selections VALUES ('s', 'p', 'a:b')")
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    async with await Ledger.open(path, owner) as ledger:
        assert await ledger.selection("s") == {"p": "a:b"}
        chat = ledger.chats.begin("p:m", "live", "")
        await ledger.chats.ask(chat, HELLO)
        assert await ledger.chats.find() == (await ledger.chats.latest())[0][0]
