"""Calls of the plugin's handlers against the vendor's counterpart, and how a question about one becomes a check."""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from callsheet.artifacts import BlobArtifact
from callsheet.client import Client
from callsheet.context import JobContext
from callsheet.digests import digest
from callsheet.errors import CallsheetError, ProviderError
from callsheet.handler import RemoteJobs
from callsheet.inputs import attribute_names
from callsheet.jobs import Job, JobResult, ProviderRequest, Receipt, RemoteState, RemoteStatus
from callsheet.models import Mode
from callsheet.project import Project
from callsheet.registry import BoundHandler
from callsheet.secrets import MappingSecrets, SecretResolver
from callsheet.settings import Settings
from callsheet.testing.doubles import FakeClock
from callsheet.testing.plugin_stage import call_context
from callsheet.testing.report import Finding, NotApplicableError
from callsheet.testing.samples import sample_files
from callsheet.testing.server import LoopbackServer
from callsheet.testing.stage import PLANTED, SECONDS
from callsheet.testing.subject import Look, Subject

__all__ = [
    "CLOSING",
    "MOST_POLLS",
    "SOME_ROWS",
    "LiveCall",
    "ProblemError",
    "caught",
    "collected",
    "ended",
    "fingerprint",
    "live",
    "open_call",
    "open_client",
    "said_by",
]

MOST_POLLS = 20
"""How many questions a job of the counterpart may take: it counts them, and never seconds."""
CLOSING = 5.0
"""Seconds in which a connection that nobody wants has to be closed."""
SOME_ROWS = 4
"""How many rows of a handler are tried for what not every model can do."""

Probe = Callable[["LiveCall"], AsyncIterator[str]]
"""Looks at one call, and gives what is wrong; ProblemError ends it, NotApplicableError says why it does not apply."""


class ProblemError(Exception):
    """What is wrong, found where a probe cannot go on."""


@dataclass(frozen=True)
class LiveCall:
    """One model of the plugin, bound to the running counterpart, and a sample job for it."""

    subject: Subject
    client: Client
    server: LoopbackServer
    bound: BoundHandler
    job: Job
    request: ProviderRequest

    @property
    def handler(self) -> Any:
        """The handler, whose methods the probes have looked for."""
        return self.bound.handler

    def varied(self, **attributes: object) -> LiveCall:
        """The same with other attributes. Raises NotApplicableError for what the model does not take as it is."""
        job = self.subject.job(self.bound, **attributes)
        try:
            request = self.bound.preparer.prepare(job)
        except CallsheetError as error:
            raise NotApplicableError(f"it takes no {', '.join(attributes)}: {error}") from error
        wished = {each.attribute for each in request.warnings}.intersection(attributes)
        if wished:
            raise NotApplicableError(f"it takes no {', '.join(sorted(wished))}, and warns of it")
        return replace(self, job=job, request=request)

    def context(self, name: str = "", **changes: Any) -> JobContext:
        """The services of a call; `name` tells calls apart, and `changes` are fields of the context."""
        key = digest({"conformance": f"{self.bound.ref} {name}"})
        context = call_context(self.client, self.bound, self.job, key=key, request_digest=digest(self.request.body))
        return replace(context, **changes)

    async def send(self, context: JobContext | None = None) -> JobResult | Receipt:
        """One `submit` or `invoke`."""
        given = context or self.context()
        if isinstance(self.handler, RemoteJobs):
            return await self.handler.submit(self.request, given)
        return await self.handler.invoke(self.request, given)  # type: ignore[no-any-return]

    async def receipt(self, context: JobContext | None = None) -> Receipt:
        """The receipt of a job that is sent now. Raises NotApplicableError where the vendor answers at once."""
        sent = await self.send(context)
        if not isinstance(sent, Receipt):
            raise NotApplicableError("its calls are answered at once")
        return sent

    async def ended(self, receipt: Receipt, context: JobContext | None = None) -> RemoteStatus:
        """What the last poll says; as the function does."""
        return await ended(self.handler, receipt, context or self.context())

    async def result(self, context: JobContext | None = None) -> JobResult:
        """The result of one whole call: sent, polled as long as it takes, and collected."""
        given = context or self.context()
        sent = await self.send(given)
        return await collected(self.handler, sent, given) if isinstance(sent, Receipt) else sent

    async def collected(self, receipt: Receipt, context: JobContext | None = None) -> JobResult:
        """The result of a job; as the function does."""
        return await collected(self.handler, receipt, context or self.context())

    async def paid_route(self) -> str:
        """The route on which this call is paid, found by one whole call; the journal is empty again afterwards."""
        await self.result()
        paid = self.server.paid
        if not paid:
            raise NotApplicableError("the counterpart counts no request of it as paid")
        self.server.journal.clear()
        return paid[-1].route


async def ended(handler: Any, receipt: Receipt, context: JobContext) -> RemoteStatus:
    """What the last poll says. Lets through what `poll` raises; ProblemError for a job that does not end."""
    for _ in range(MOST_POLLS):
        status: RemoteStatus = await handler.poll(receipt, context)
        if status.terminal:
            return status
    raise ProblemError(f"the job has not ended after {MOST_POLLS} polls")


async def collected(handler: Any, receipt: Receipt, context: JobContext) -> JobResult:
    """The result of a job that is polled until it has ended. ProblemError for one that does not succeed."""
    status = await ended(handler, receipt, context)
    if status.state is not RemoteState.SUCCEEDED:
        raise ProblemError(f"the job ends as {status.state}: {status.error or 'no reason given'}")
    return await handler.collect(receipt, replace(context, answer=status.answer))  # type: ignore[no-any-return]


def live(probe: Probe, *needs: type, why: str = "", rows: int = 1, takes: str = "", every: bool = False) -> Look:
    """A check that looks at each handler and operation by itself, at a counterpart of its own.

    `needs` are protocols that the handler has to have; `why` says what it means that none has them. `takes` is an
    attribute that the operation has to have. It looks at the first row to which the check applies, of so many `rows`; with
    `every` at each of so many.
    """

    def wanted(bound: BoundHandler) -> bool:
        can = all(isinstance(bound.handler, need) for need in needs)
        return can and (not takes or takes in attribute_names(bound.info.operation))

    def look(subject: Subject) -> Iterator[Finding]:
        reason = why or (f"no operation of it has the attribute {takes}" if takes else "it has no models to call")
        yield from asyncio.run(
            _look(subject, probe, filter(wanted, subject.bound), rows=rows, reason=reason, every=every)
        )

    return look


async def _look(
    subject: Subject, probe: Probe, models: Iterable[BoundHandler], *, rows: int, reason: str, every: bool
) -> list[Finding]:
    server = subject.counterpart
    findings: list[Finding] = []
    reasons: list[str] = []
    looked: set[tuple[int, str]] = set()
    tried: Counter[tuple[int, str]] = Counter()
    for bound in models:
        wire = (id(bound.handler), bound.info.operation)
        if (wire in looked and not every) or tried[wire] == rows:
            continue
        tried[wire] += 1
        try:
            findings += await _problems(subject, bound, server, probe)
            looked.add(wire)
        except NotApplicableError as missing:
            reasons.append(str(missing))
    if not looked:
        raise NotApplicableError("; ".join(dict.fromkeys(reasons)) or reason)
    return findings


async def _problems(
    subject: Subject, bound: BoundHandler, make: Callable[..., LoopbackServer], probe: Probe
) -> list[Finding]:
    findings: list[Finding] = []
    server = make(key=PLANTED)
    try:
        async with open_call(subject, bound, server) as call:
            await _probed(probe, call, findings)
    except AssertionError as broken:  # what the counterpart has to say for itself; the rest follows from it
        told = dict.fromkeys(map(_last_step, server.problems)) or [str(broken)]
        findings = [
            Finding(str(bound.ref), f"the counterpart: {each}", breaks=each.rpartition("\n")[2].strip())
            for each in told
        ]
    return findings


def _last_step(problem: str) -> str:
    """A problem of a server; of a traceback only what was asked, the last step and the exception."""
    asked, found, trace = problem.partition("Traceback (most recent call last):\n")
    lines = trace.rstrip().splitlines()
    steps = [number for number, line in enumerate(lines) if line.startswith("  File ")]
    return "\n    ".join([asked.strip(), *lines[steps[-1] : steps[-1] + 2], lines[-1]]) if found and steps else problem


async def _probed(probe: Probe, call: LiveCall, findings: list[Finding]) -> None:
    ref = str(call.bound.ref)
    timer = asyncio.timeout(SECONDS)
    try:
        async with timer:
            async for problem in probe(call):
                findings.append(Finding(ref, problem))  # noqa: PERF401 - what came before an error counts
    except ProblemError as problem:
        findings.append(Finding(ref, str(problem)))
    except NotApplicableError:
        if not findings:
            raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises
        late = f"does not end within {SECONDS:g} s: a handler neither waits nor retries"
        told = said_by(error)
        broken = f"the call to the counterpart breaks: {told}{_place(error, call.subject)}"
        findings.append(Finding(ref, late) if timer.expired() else Finding(ref, broken, breaks=told))


def _place(error: BaseException, subject: Subject) -> str:
    """The plugin's own line where something broke that is no error of callsheet."""
    frames = [] if isinstance(error, CallsheetError) else traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if subject.plugin.module in Path(each.filename).parts]
    return f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""


@asynccontextmanager
async def open_call(
    subject: Subject, bound: BoundHandler, server: LoopbackServer, secrets: SecretResolver | None = None
) -> AsyncIterator[LiveCall]:
    """A sample job of this model at the running counterpart. NotApplicableError without a sample."""
    try:
        job = subject.job(bound)
        request = bound.preparer.prepare(job)
    except Exception as error:
        raise NotApplicableError("no sample job can be prepared: see the check `bodies`") from error
    with server:
        async with open_client(subject, bound, server.origin, secrets) as (client, here):
            yield LiveCall(subject, client, server, here, job, request)


@asynccontextmanager
async def open_client(
    subject: Subject, bound: BoundHandler, origin: str, secrets: SecretResolver | None = None
) -> AsyncIterator[tuple[Client, BoundHandler]]:
    """A project of its own in a temporary folder, and the model bound to the counterpart's origin."""
    given = secrets or MappingSecrets(dict.fromkeys(bound.secrets, PLANTED))
    with TemporaryDirectory(prefix="callsheet-conformance-") as folder:
        project = Project.at(Path(folder))
        opening = Client.open(
            project, Settings(), secrets=given, host=subject.host, durable=False, sleep=FakeClock().sleep
        )
        async with await opening as client:
            for media_type, content in sample_files().items():
                await client.runtime.services.blobs.put(content, media_type)
            here = client.runtime.registry.resolve(bound.ref, bound.info.operation, Mode.LIVE)
            here = replace(here, origin=origin)
            await client.runtime.warm_start([here])
            yield client, here


def said_by(error: BaseException) -> str:
    """An error's class, its `sent`, and its first line."""
    sent = f" (sent: {error.sent})" if isinstance(error, ProviderError) else ""
    return f"{type(error).__name__}{sent}: {str(error).partition(chr(10))[0]}"


async def caught(work: Coroutine[Any, Any, Any]) -> tuple[Any, Exception | None]:
    """What it gives, and what it raises."""
    try:
        return await work, None
    except Exception as error:  # noqa: BLE001 - a probe looks at it
        return None, error


def fingerprint(result: JobResult) -> list[list[object]]:
    """The outputs as JSON, files by their digest: equal for equal content, in whatever process."""
    return [
        [each.kind, each.media_type, each.file.sha256 if isinstance(each, BlobArtifact) else each.data().decode()]
        for each in result.artifacts
    ]
