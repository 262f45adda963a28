"""A server on this machine that plays ElevenLabs, for tests: point `ELEVENLABS_BASE_URL` (or the base URL setting) at it.

    with Server() as server:
        server.fail(refusal(429, "system_busy"))
        ...  # calls of the plugin, with the key `server.key` and the base URL `server.origin`
        assert server.paid[0].json["text"] == "Hello."

It runs in a thread with a loop of its own, so that processes that a test starts can reach it too. Nothing but the standard
library is needed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

from callsheet_elevenlabs.testing.answers import VOICES, Account, Voice, refused
from callsheet_elevenlabs.testing.exchange import (
    Fault,
    Part,
    Reply,
    Seen,
    read_request,
    refusal,
    reset,
    send_reply,
)

__all__ = ["KEY", "Fault", "Part", "Seen", "Server", "Voice", "refusal"]

KEY = "el-test-7hQd2mVx9LkR4sWb"


class Server:
    """Start it with `with`. `seen` is the journal of what arrived; `scripted` holds JSON answers by path.

    `judge` is called with each request that has the right key and the JSON that answers it (None for a sound).
    """

    def __init__(
        self,
        *,
        key: str = KEY,
        voices: Sequence[Voice] = VOICES,
        judge: Callable[[Seen, int, object], None] | None = None,
    ) -> None:
        self.key = key
        self._account = Account(voices)
        self.judge = judge
        self.seen: list[Seen] = []
        self.scripted: dict[str, object] = {}
        self.port = 0
        self._faults: list[Fault] = []
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def origin(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def paid(self) -> list[Seen]:
        """The requests that would cost money."""
        return [each for each in self.seen if each.method == "POST"]

    def fail(self, *faults: Fault) -> None:
        """The next requests meet these faults, one each."""
        self._faults.extend(faults)

    def __enter__(self) -> Server:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the server did not start within 10 seconds")
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await self._talk(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                """The other side is gone, or the test is over."""
            finally:
                tasks.discard(task)
                writer.close()

        served = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 20)
        self.port = served.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ended.wait()
        served.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        while not reader.at_eof():
            request = await read_request(reader)
            if request is None:
                return
            fault = self._faults.pop(0) if self._faults else Fault()
            if fault.reset != "before":
                self.seen.append(request)
            if fault.reset:
                reset(writer)
                return
            if fault.stall:
                await reader.read()  # until the client hangs up
                return
            reply = Reply(fault.status, fault.body, fault.headers) if fault.status else self._answer(request)
            if not await send_reply(writer, reply, fault, f"request-{len(self.seen)}"):
                return

    def _answer(self, request: Seen) -> Reply:
        if request.headers.get("xi-api-key") != self.key:
            return refused(401, "invalid_api_key", "Invalid API key")
        scripted = self.scripted.get(request.path)
        reply = self._account.answer(request) if scripted is None else Reply(200, scripted)
        if self.judge is not None:
            self.judge(request, reply.status, None if isinstance(reply.body, bytes) else reply.body)
        return reply
