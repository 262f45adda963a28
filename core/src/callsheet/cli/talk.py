"""The loop of a chat: lines in, answers out. Between two answers no event loop runs, so that Ctrl-C is just Ctrl-C."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from callsheet.artifacts import FileRef
from callsheet.cli.call import text_or_file
from callsheet.cli.complaints import complain
from callsheet.cli.live_text import LiveText
from callsheet.cli.terminal import Session, put_data, say
from callsheet.cli.work import open_project, performing, project_command
from callsheet.client import Client
from callsheet.conversation import Conversation
from callsheet.errors import BudgetExceededError, CallsheetError, ConfigError
from callsheet.intake import take_in
from callsheet.manifest import cost_from_json
from callsheet.money import Cost
from callsheet.pay_once import OnUnknown, UnknownOutcomeError
from callsheet.storage import Event

__all__ = ["Wish", "talk"]

Perform = Callable[[Coroutine[Any, Any, Any]], Any]

_HELP = """\
/attach FILE   send a file with the next message
/retry         ask again for the answer that did not come; what is paid for is not paid again
/retry anyway  send it again although it may have been paid for
/exit          end the chat (so does the end of the input)
//…            a message that begins with a slash"""


@dataclass(frozen=True, slots=True)
class Wish:
    """How a chat is to begin; `chat` is None for a new one, "" for the latest, else an id."""

    ref: str
    chat: str | None
    system: str
    mode: str
    attach: tuple[Path, ...]
    max_cost: Decimal | None = None


def talk(session: Session, project: Path | None, wish: Wish) -> int:
    """Open a chat and talk until the input ends. Gives the exit code: that of the first failure, when nobody types."""
    with performing() as perform:
        stack = AsyncExitStack()
        try:
            client: Client = perform(stack.enter_async_context(open_project(session, project, user=True)))
            conversation: Conversation = perform(_opened(client, wish))
            talking = _Talk(session, client, conversation, perform, sys.stdin.isatty(), wish.max_cost)
            stack.callback(client.ledger.subscribe(talking.hear))
            for path in wish.attach:
                talking.attach(str(path))
            try:
                return talking.loop()
            finally:
                if conversation.exchanges:
                    say(f"to go on: {project_command(client, 'chat', '--continue', conversation.chat.id)}")
        finally:
            perform(stack.aclose())


async def _opened(client: Client, wish: Wish) -> Conversation:
    if wish.chat is None:
        return Conversation.start(client, wish.ref, mode=wish.mode, system=text_or_file(wish.system, "--system"))
    return await Conversation.resume(client, wish.chat, wish.ref)


@dataclass(slots=True)
class _Talk:
    """A chat under way. `typed`: a person sits at the keyboard; `left` is what may still be spent, None without a bound.

    `told` are the warnings that need not be read again.
    """

    session: Session
    client: Client
    conversation: Conversation
    perform: Perform
    typed: bool
    left: Decimal | None
    files: list[FileRef] = field(default_factory=list)
    told: set[str] = field(default_factory=set)

    def loop(self) -> int:
        """Line by line to the end."""
        if self.typed:
            with suppress(ImportError):
                import readline  # noqa: F401 - gives `input` its history and editing
            say(f"{self.conversation.chat.ref}, chat {self.conversation.chat.id}; /help shows the commands")
        if self.conversation.pending is not None:
            say("your last message has no answer: /retry asks for it again, another message takes its place")
        while (line := self._line()) is not None:
            if line.strip() == "/exit":
                break
            try:
                self._hear(line)
            except CallsheetError as error:
                code = self._failed(error)
                if not self.typed:
                    return code
        return 0

    def _line(self) -> str | None:
        prompt = "> " if self.typed and sys.stdout.isatty() else ""
        try:
            return input(prompt)
        except EOFError:
            if prompt:
                say("")
            return None
        except UnicodeDecodeError as error:
            raise ConfigError(f"the input is not UTF-8 text: {error}", where="stdin") from None

    def _hear(self, line: str) -> None:
        word, _, rest = line.strip().partition(" ")
        if not word:
            return
        if not word.startswith("/") or word.startswith("//"):
            text = line.strip()
            self.perform(self.conversation.ask(text[1:] if word.startswith("//") else text, self.files))
            self.files.clear()
            self._answer(OnUnknown.FAIL)
        elif word == "/help":
            say(_HELP)
        elif word == "/attach":
            self.attach(rest.strip())
        elif word == "/retry":
            self._answer(OnUnknown.RETRY if rest.strip() == "anyway" else OnUnknown.FAIL)
        else:
            raise ConfigError(f"there is no command {word}: /help shows them; a message may begin with //")

    def attach(self, name: str) -> None:
        """Take in a file for the next message. Raises ConfigError."""
        if not name:
            raise ConfigError("/attach wants a file: /attach picture.png")
        path = Path(name).expanduser()
        self.files.append(self.perform(take_in(path, self.client.runtime.services.blobs, "/attach")))
        say(f"with the next message: {path.name} ({self.files[-1].media_type})")

    def hear(self, event: Event) -> None:
        """Take what an attempt cost from what is left; where nobody knows how much a lost one was, nothing is."""
        cost = event.body.get("cost")
        if self.left is None or not isinstance(cost, dict):
            return
        spent = cost_from_json(cost).high
        if spent is not None:
            self.left = max(self.left - spent, Decimal(0))
        elif event.type != "job.succeeded":
            self.left = Decimal(0)
            say("note: nobody knows what that attempt cost, so nothing is left of --max-cost")

    def _answer(self, on_unknown: OnUnknown) -> None:
        self.perform(self._answered(on_unknown))

    async def _answered(self, on_unknown: OnUnknown) -> None:
        self.session.partial_shown = False
        events = self.conversation.stream(on_unknown, self.left)
        live = LiveText(self.session, quiet=not sys.stdout.isatty())
        result = await live.follow(events)
        answer = await self.conversation.answered(result)
        if not live.shown:
            put_data("".join(part.text for part in answer.parts if part.kind == "text"))
        for warning in dict.fromkeys(w.message for w in result.warnings if w.message not in self.told):
            say(f"warning: {self.session.redact(warning)}")
            self.told.add(warning)
        if result.finish != "stop":
            say(f"warning: the answer is not complete: {result.finish}")

    def _failed(self, error: CallsheetError) -> int:
        code = complain(self.session, error)
        if isinstance(error, BudgetExceededError) and self.left is not None:
            say(f"of --max-cost {Cost.exactly(self.left)} is left")
        if self.conversation.pending is not None:
            unknown = isinstance(error, UnknownOutcomeError)
            say(f"your message is kept: {'/retry anyway' if unknown else '/retry'} sends it again")
        return code
