"""A chat with a model: its history is in the ledger, and each answer is an ordinary call with a sample of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from dataclasses import replace
from decimal import Decimal

from callsheet.artifacts import BlobArtifact, FileRef, TextArtifact
from callsheet.client import Client
from callsheet.errors import ConfigError
from callsheet.jobs import JobResult
from callsheet.messages import FilePart, Message, Part, TextPart
from callsheet.models import Mode, Operation
from callsheet.pay_once import OnUnknown
from callsheet.stores.chats import Chat, Exchange
from callsheet.streams import StreamEvent

__all__ = ["Conversation"]


class Conversation:
    """`ask`, read `stream` to its end, hand its result to `answered`; what has no answer yet is `pending`.

    A question that failed is left out of what later ones are sent with.
    """

    def __init__(self, client: Client, chat: Chat, exchanges: list[Exchange]) -> None:
        self._client = client
        self.chat = chat
        self.exchanges = exchanges

    @classmethod
    def start(cls, client: Client, ref: str, *, mode: str = "live", system: str = "") -> Conversation:
        """A new chat. Raises ConfigError for a model that is not there or does not make text."""
        name = _resolved(client, ref, mode)
        return cls(client, client.ledger.chats.begin(name, mode, system), [])

    @classmethod
    async def resume(cls, client: Client, chat: str = "", ref: str = "") -> Conversation:
        """Go on with a chat by its id (or the beginning of it), or with the latest; `ref` is another model for it."""
        chats = client.ledger.chats
        found = await chats.find(chat)
        name = _resolved(client, ref or found.ref, found.mode)
        if name != found.ref:
            found = replace(found, ref=name)
            await chats.switch(found.id, name)
        return cls(client, found, await chats.exchanges(found.id))

    @property
    def pending(self) -> Exchange | None:
        """The last question, when it has no answer."""
        last = self.exchanges[-1] if self.exchanges else None
        return last if last is not None and last.answer is None else None

    async def ask(self, text: str, files: Iterable[FileRef] = ()) -> None:
        """Keep what the user says; nothing is sent before it is durable."""
        parts: list[Part] = [FilePart(file) for file in files]
        question = Message("user", (*parts, TextPart(text)))
        self.exchanges.append(await self._client.ledger.chats.ask(self.chat, question))

    def stream(
        self, on_unknown: OnUnknown = OnUnknown.FAIL, max_cost: Decimal | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        """The answer to the pending question. Asked for again it is the same call: what is paid for is replayed."""
        pending = self.pending
        if pending is None:
            raise ConfigError("every message has its answer")
        said = [m for e in self.exchanges if e.answer is not None for m in (e.question, e.answer)]
        return self._client.stream(
            self.chat.ref,
            operation=Operation.TEXT_GENERATE,
            mode=self.chat.mode,
            on_unknown=on_unknown,
            sample=pending.sample,
            max_cost=max_cost,
            messages=(*said, pending.question),
            system=self.chat.system or None,
        )

    async def answered(self, result: JobResult) -> Message:
        """Keep the answer to the pending question."""
        pending = self.pending
        assert pending is not None
        texts = [
            artifact.text if isinstance(artifact, TextArtifact) else artifact.data().decode()
            for artifact in result.artifacts
            if not isinstance(artifact, BlobArtifact)
        ]
        answer = Message("assistant", tuple(TextPart(text) for text in texts))
        await self._client.ledger.chats.answer(self.chat.id, pending.number, answer)
        self.exchanges[-1] = replace(pending, answer=answer)
        return answer


def _resolved(client: Client, ref: str, mode: str) -> str:
    """The model's whole name. Raises ConfigError before anything is asked when it is not there or makes no text."""
    target = client.catalog.find(ref)
    return str(client.runtime.registry.resolve(target, Operation.TEXT_GENERATE, Mode(mode)).ref)
