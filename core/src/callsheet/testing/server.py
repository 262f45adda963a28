"""A server on this machine that plays a vendor: routes as you write them, faults on request, a journal of all it saw.

```python
server = LoopbackServer()


@server.route("POST", "/v1/jobs")
def create(request: Exchange) -> Reply:
    return Reply(201, {"id": "j1", "prompt": request.json["prompt"]})


with server:
    server.fail(Fault(status=503), Fault(reset="after"))
    ...  # calls with the base URL server.origin
    assert [each.path for each in server.journal] == ["/v1/jobs"] * 3
```
"""

from __future__ import annotations

import asyncio
import re
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from email.utils import formatdate
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import unquote

from callsheet.testing.exchange import Exchange, Fault, Pieces, Reply
from callsheet.testing.wire import LARGEST_HEAD, read_request, reset, send_reply

__all__ = ["Judge", "LoopbackServer"]

Judge = Callable[[Exchange], Iterable[str]]
"""Says what is wrong with a request and its answer; the answer of a fault is not shown to it (`reply` is None)."""
_Answering = TypeVar("_Answering", bound=Callable[[Exchange], object])
_Route = tuple[str, "re.Pattern[str]", str]
_STARTING = 10.0
"""Seconds that a start, a stop and what a test waits for may take."""
_LOOKING = 0.002
_REFUSED = 400


class LoopbackServer:
    """Use it with `with`: it runs in a thread with a loop of its own, so that processes which a test starts reach it too.

    `journal` has every request with its answer, `problems` what `judge` objects to and what broke in the server itself;
    leaving the `with` raises AssertionError when there are any. `open_connections` and `holding` (requests that a `stall`
    keeps) are counted. For a vendor with state write a subclass: it adds its routes in `__init__`, and may override `answer`
    (to check a key first) and `usual_headers`. `prefix` is the path of the base URL.

    A plugin's counterpart, named by `loopback` in its plugin.toml, can be made with the `key` that it accepts; the conformance
    checks read `paid`, `running`, `wait_header` and `poll_after`, and set `endless` and `failing`.
    """

    prefix = ""
    endless = False
    """While it is True, remote jobs stay running until they are cancelled: for a server with jobs to honour."""
    failing = False
    """While it is True, remote jobs end as failed, and the last call of each batch is refused: for it to honour, too."""
    wait_header = "retry-after"
    """The header in which the vendor says how long to wait: any other than Retry-After has milliseconds, as `JsonApi` reads it."""

    poll_after = 0.0
    """How many seconds the vendor wants to pass between two questions about a job; 0 where it says nothing of it."""

    def __init__(self, *, judge: Judge | None = None) -> None:
        self.judge = judge
        self.journal: list[Exchange] = []
        self.problems: list[str] = []
        self.open_connections = 0
        self.holding = 0
        self.port = 0
        self._routes: list[_Route] = []
        self._handlers: dict[str, Callable[[Exchange], object]] = {}
        self._paid: set[str] = set()
        self._faults: list[tuple[str, Fault]] = []
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def origin(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    @property
    def paid(self) -> list[Exchange]:
        """Requests that started paid work: a route with `paid` acted on them, also when its answer was lost."""
        return [each for each in self.journal if each.paid]

    @property
    def running(self) -> list[str]:
        """The ids of remote jobs that have neither ended nor been cancelled; none in a server without jobs."""
        return []

    def route(
        self, method: str, path: str, name: str = "", *, paid: bool = False
    ) -> Callable[[_Answering], _Answering]:
        """Let a function answer a method and a path; `{word}` in it stands for one step, found in `request.params`.

        The function gives a Reply, or the body of one with the status 200. `name` is what `fail` and `asked` know it by
        (else `METHOD path`). With `paid` a request here starts work that costs money.
        """
        steps = re.split(r"\{(\w+)\}", path)
        pattern = "".join(f"(?P<{step}>[^/]+)" if at % 2 else re.escape(step) for at, step in enumerate(steps))
        label = name or f"{method} {path}"

        def registered(answering: _Answering) -> _Answering:
            self._routes.append((method, re.compile(pattern), label))
            self._handlers[label] = answering
            if paid:
                self._paid.add(label)
            return answering

        return registered

    def fail(self, *faults: Fault | str) -> None:
        """The next requests meet these faults, one each; after the name of a route, the next requests of that route.

        Raises ValueError for a route that there is not.
        """
        route = ""
        for each in faults:
            if isinstance(each, Fault):
                self._faults.append((route, each))
            elif each not in self._handlers:
                raise ValueError(f"there is no route {each!r}; there are {', '.join(self._handlers)}")
            else:
                route = each

    def asked(self, route: str) -> list[Exchange]:
        """What arrived on one route."""
        return [each for each in self.journal if each.route == route]

    def answer(self, request: Exchange) -> Reply:
        """The answer of the request's route; 404 where there is none."""
        handler = self._handlers.get(request.route)
        if handler is None:
            return Reply(404, {"detail": f"{request.method} {request.path} is not served here"})
        made = handler(request)
        return made if isinstance(made, Reply) else Reply(200, made)

    def usual_headers(self) -> Mapping[str, str]:
        """What every answer has, but where it says otherwise."""
        return {"date": formatdate(usegmt=True)}

    async def until(self, holds: Callable[[], bool], seconds: float = _STARTING) -> None:
        """Wait until something holds. Raises TimeoutError. Outside of a loop: `asyncio.run(server.until(…))`."""
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110 - the server lives in another thread's loop
                await asyncio.sleep(_LOOKING)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(_STARTING):
            raise RuntimeError(f"the server did not start within {_STARTING:g} seconds")
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(_STARTING)
        told = "\n".join(["problems of the loopback server:", *self.problems])
        if self.problems and error is not None:
            error.add_note(told)
        elif self.problems:
            raise AssertionError(told)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        tasks: set[asyncio.Task[Any]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            self.open_connections += 1
            try:
                while await self._exchange(reader, writer):
                    pass
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                """The other side is gone, or the test is over."""
            except Exception:  # noqa: BLE001 - a request that cannot even be read
                self.problems.append(f"the server itself is broken: {traceback.format_exc()}")
            finally:
                self.open_connections -= 1
                tasks.discard(task)
                writer.close()

        served = await asyncio.start_server(connected, "127.0.0.1", 0, limit=LARGEST_HEAD)
        self.port = served.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ended.wait()
        served.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; True when the connection can take another."""
        arrived = await read_request(reader, self.prefix)
        if arrived is None:
            return False
        request = self._routed(arrived)
        fault = self._fault(request.route)
        reply = None if fault.reset == "before" else self._answered(request, fault)
        acted = reply is not None and not fault.status and reply.status < _REFUSED
        request = replace(request, paid=acted and request.route in self._paid)
        lost = bool(fault.reset) or (fault.stall and not fault.cuts)
        self._record(request, None if lost else reply, fault)
        if fault.reset:
            reset(writer)
            return False
        assert reply is not None
        reply = replace(reply, headers={**self.usual_headers(), **reply.headers})
        if not fault.stall:
            return await send_reply(writer, reply, fault)
        if fault.cuts:
            await send_reply(writer, reply, fault)
        self.holding += 1  # who sees it may rely on what was sent before
        try:
            await reader.read()  # until the client hangs up
        finally:
            self.holding -= 1
        return False

    def _routed(self, request: Exchange) -> Exchange:
        for method, pattern, name in self._routes:
            found = pattern.fullmatch(request.path) if method == request.method else None
            if found is not None:
                params = {word: unquote(value) for word, value in found.groupdict().items()}
                return replace(request, route=name, params=params)
        return request

    def _fault(self, route: str) -> Fault:
        for place, (wanted, fault) in enumerate(self._faults):
            if wanted in ("", route):
                del self._faults[place]
                return fault
        return Fault()

    def _answered(self, request: Exchange, fault: Fault) -> Reply:
        if fault.status:
            return Reply(fault.status, fault.body, fault.headers)
        try:
            return self.answer(request)
        except Exception:  # noqa: BLE001 - whatever it is, the test shall see it
            self.problems.append(f"{request.method} {request.path} breaks the server: {traceback.format_exc()}")
            return Reply(500, {"detail": "the loopback server is broken: look at its problems"})

    def _record(self, request: Exchange, reply: Reply | None, fault: Fault) -> None:
        if reply is not None:
            # a copy: a server may answer with what it goes on changing
            told = None if isinstance(reply.body, bytes | Pieces) else deepcopy(reply.body)
            events = isinstance(reply.body, Pieces) and reply.body.media_type == "text/event-stream"
            request = replace(request, status=reply.status, reply=told, events=events)
        self.journal.append(request)
        if self.judge is not None:
            self.problems.extend(self.judge(replace(request, reply=None) if fault.status else request))
