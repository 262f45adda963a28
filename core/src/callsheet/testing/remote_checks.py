"""Checks of remote jobs at the vendor's counterpart: submitted, polled, collected, aborted, and found again."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from dataclasses import replace

from callsheet.errors import ErrorKind, ProviderError, Sent
from callsheet.handler import AbortsRemoteJobs, FindsJobs, RemoteJobs
from callsheet.jobs import AbortOutcome, Receipt, RemoteState, RemoteStatus
from callsheet.testing.answer_checks import broken_promise
from callsheet.testing.exchange import Fault
from callsheet.testing.live_stage import LiveCall, ProblemError, caught, fingerprint, live, said_by
from callsheet.testing.refusal_checks import unread
from callsheet.testing.report import Check, NotApplicableError
from callsheet.testing.subject import CheckRow

__all__ = ["TABLE"]

_NO_JOBS = "no handler has remote jobs"
_NO_ABORT = "no handler has `abort`: Ctrl-C stops nothing at the vendor, and a job that nobody waits for is paid"
_NO_FIND = "no handler has `find`: whether a call was paid whose answer was lost is put to the user"
_AGES = (0, 1, 2)
"""After how many polls jobs are aborted: queued, just begun, under way."""
_BEFORE = (
    ErrorKind.AUTHENTICATION, ErrorKind.ACCESS_DENIED, ErrorKind.RATE_LIMITED, ErrorKind.MODEL_NOT_FOUND,
    ErrorKind.CONNECTION_FAILED, ErrorKind.JOB_LOST, ErrorKind.CANCELLED,
)  # fmt: skip
"""What happens to requests; the error of a job that has failed is about the job."""
_OFF = 1800.0  # seconds by which a clock may be wrong
_LABEL = 16
"""Digits of a call's key by which a label is one."""
_LATER = 7200.0
"""Seconds after which whoever lists jobs cannot say that one may still be on its way."""


async def _returns(call: LiveCall) -> AsyncIterator[str]:
    """The receipt comes although the job never ends, and nothing is asked after the job was accepted."""
    call.server.endless = True
    await call.receipt()
    journal, paid = call.server.journal, call.server.paid
    if not paid:
        raise ProblemError("the counterpart counts no request as paid: route(…, paid=True)")
    after = len(journal) - 1 - max(number for number, each in enumerate(journal) if each is paid[-1])
    if after:
        yield f"submit asks {after} more times after the job was accepted: polling is for the core"


async def _ends(call: LiveCall) -> AsyncIterator[str]:
    """A job that runs is not over; one that may end does, and what is collected was promised."""
    call.server.endless = True
    receipt = await call.receipt()
    status = await call.handler.poll(receipt, call.context())
    for problem in _wrong_status(status):
        yield problem
    wanted = call.server.poll_after
    if isinstance(status, RemoteStatus) and (status.poll_after or 0) < wanted:
        yield f"poll_after is {status.poll_after}, and the vendor wants {wanted:g} s to pass between two questions about a job"
    if isinstance(status, RemoteStatus) and status.terminal:
        yield f"a job that still runs is {status.state}"
    call.server.endless = False
    problem = broken_promise(call, await call.collected(receipt))
    if problem:
        yield problem


def _wrong_status(status: object) -> list[str]:
    if not isinstance(status, RemoteStatus):
        return [f"poll gives a {type(status).__name__}, and not a RemoteStatus"]
    problems = []
    if status.progress is not None and not 0 <= status.progress <= 1:
        problems.append(f"the progress is {status.progress}, and not 0 to 1")
    if status.poll_after is not None and not (math.isfinite(status.poll_after) and status.poll_after >= 0):
        problems.append(f"poll_after is {status.poll_after}: it is a number of seconds")
    return problems


async def _once(call: LiveCall) -> AsyncIterator[str]:
    """Each poll is one request that costs nothing, while the job runs and when it is over."""
    call.server.endless = True
    receipt = await call.receipt()
    for state in ("a job that runs", "a job that is over"):
        call.server.journal.clear()
        await call.handler.poll(receipt, call.context())
        if len(call.server.journal) != 1 or call.server.paid:
            yield f"a poll of {state} is {len(call.server.journal)} requests, {len(call.server.paid)} of them paid"
        call.server.endless = False
        await call.ended(receipt)


async def _recovers(call: LiveCall) -> AsyncIterator[str]:
    """A question that meets 503 is an error, asked once; the receipt is as good as before."""
    receipt = await call.receipt()
    call.server.journal.clear()
    call.server.fail(Fault(status=503, body={"error": "scripted"}))
    status, error = await caught(call.handler.poll(receipt, call.context()))
    if error is None:
        yield f"a poll that was answered with 503 gives {getattr(status, 'state', status)}"
    elif not isinstance(error, ProviderError):
        yield f"a poll that was answered with 503 lets through {said_by(error)}"
    elif not error.retryable or error.sent is Sent.FINISHED:
        yield f"a poll that was answered with 503 raises {said_by(error)}: nobody would ask again"
    if len(call.server.journal) != 1:
        yield f"a poll that was answered with 503 is {len(call.server.journal)} requests: the core asks again"
    problem = broken_promise(call, await call.collected(receipt))
    if problem:
        yield f"after a poll that failed: {problem}"


async def _lost(call: LiveCall) -> AsyncIterator[str]:
    """A job that the vendor does not know (any more) is lost, and not a passing failure or a wrong model."""
    receipt = _unknown(await call.receipt())
    status, error = await caught(call.handler.poll(receipt, call.context()))
    if error is None:
        yield f"a poll of an unknown job says {getattr(status, 'state', status)}"
    elif not isinstance(error, ProviderError) or error.kind is not ErrorKind.JOB_LOST:
        yield f"a poll of an unknown job raises {said_by(error)}, and not JobLostError"
    elif error.sent in (Sent.NOT_SENT, Sent.FINISHED):
        yield f"a poll of an unknown job raises {said_by(error)}: the job was accepted once, and may have been paid for"


def _unknown(receipt: Receipt) -> Receipt:
    """The receipt of a job that nobody made, with an id of the same form."""
    kept = receipt.job_id[:-4]
    return replace(receipt, job_id=kept + ("0a0a" if not receipt.job_id.endswith("0a0a") else "0b0b"))


async def _failed(call: LiveCall) -> AsyncIterator[str]:
    """A job that fails is over: an error that says so, or the state with a reason."""
    call.server.failing = True
    receipt = await call.receipt()
    status, error = await caught(call.ended(receipt))
    if isinstance(error, ProviderError):
        if error.sent is not Sent.FINISHED:
            yield f"the poll of a job that failed raises {said_by(error)}: the vendor was done with it (sent: finished)"
        elif error.kind in _BEFORE:
            yield f"the poll of a job that failed raises {said_by(error)}: a job that was accepted does not end by that"
    elif error is not None:
        yield f"the poll of a job that failed lets through {said_by(error)}"
    elif status.state is RemoteState.SUCCEEDED:
        yield "a job that failed is told as succeeded (the counterpart lets jobs fail while `failing` is True)"
    elif status.state is RemoteState.FAILED and not status.error:
        yield "a job that failed has no reason: put the vendor's words into RemoteStatus.error"
    told = error or (status.error if status.state is RemoteState.FAILED else None)
    if told and unread(call.server.journal, str(told)):
        yield f"a job that failed is told as {str(told)!r}, without the vendor's {unread(call.server.journal, '')!r}"


async def _again(call: LiveCall) -> AsyncIterator[str]:
    """Collecting is a question: it can be asked twice, with what the last poll said and without it."""
    receipt = await call.receipt()
    context = call.context()
    status = await call.ended(receipt, context)
    told = replace(context, answer=status.answer)
    results = [await call.handler.collect(receipt, each) for each in (told, told, call.context())]
    if any(fingerprint(each) != fingerprint(results[0]) for each in results):
        yield "collect gives another result the second time, or without the answer of the last poll"
    if len(call.server.paid) != 1:
        yield f"after collecting again there are {len(call.server.paid)} paid requests"


def _need(call: LiveCall, port: type, why: str) -> None:
    if not isinstance(call.handler, port):
        raise NotApplicableError(why)


async def _stops(call: LiveCall) -> AsyncIterator[str]:
    """An abort reaches the vendor, says so, and the next poll knows: in each state that a running job goes through."""
    _need(call, AbortsRemoteJobs, _NO_ABORT)
    call.server.endless = True
    for polls in _AGES:
        receipt = await call.receipt(call.context(f"aborted after {polls}"))
        states = [(await call.handler.poll(receipt, call.context())).state for _ in range(polls)]
        if not call.server.running:
            raise ProblemError("the counterpart has nothing in `running` while a job runs")
        outcome = await call.handler.abort(receipt, call.context())
        if outcome is AbortOutcome.CLIENT_SIDE_ONLY:
            raise NotApplicableError("the vendor cannot stop a job: abort says client_side_only")
        asked = f"{polls} polls (the last says {states[-1]})" if states else "no poll"
        problem = await _unlike(call, receipt, outcome)
        if problem:
            yield f"after {asked}: {problem}"
            return


async def _unlike(call: LiveCall, receipt: Receipt, outcome: AbortOutcome) -> str:
    """Where what an abort says is not what became of the job."""
    if call.server.running:
        return f"after abort (which says {outcome}) the job still runs at the vendor"
    if outcome is not AbortOutcome.STOPPED:
        return f"abort stopped the job, and says {outcome}"
    status, error = await caught(call.ended(receipt))
    cancelled = isinstance(error, ProviderError) and error.kind is ErrorKind.CANCELLED
    if not cancelled and (status is None or status.state is not RemoteState.CANCELLED):
        return f"a poll after abort says {said_by(error) if error else status.state}, and not cancelled"
    return ""


async def _finished(call: LiveCall) -> AsyncIterator[str]:
    """What is over cannot be stopped: it was paid for, and can be collected."""
    _need(call, AbortsRemoteJobs, _NO_ABORT)
    receipt = await call.receipt()
    await call.ended(receipt)
    outcome = await call.handler.abort(receipt, call.context())
    if outcome is not AbortOutcome.ALREADY_FINISHED:
        yield f"abort of a job that is over says {outcome}, and not {AbortOutcome.ALREADY_FINISHED}"
    problem = broken_promise(call, await call.collected(receipt))
    if problem:
        yield f"after the abort of a job that is over: {problem}"


async def _nobody(call: LiveCall) -> AsyncIterator[str]:
    """The abort of an unknown job stops nothing, and says nothing else than that."""
    _need(call, AbortsRemoteJobs, _NO_ABORT)
    receipt = _unknown(await call.receipt())
    outcome, error = await caught(call.handler.abort(receipt, call.context()))
    if error is not None and not isinstance(error, ProviderError):
        yield f"the abort of an unknown job lets through {said_by(error)}"
    elif error is None and outcome not in (AbortOutcome.UNKNOWN, AbortOutcome.ALREADY_FINISHED):
        yield f"the abort of an unknown job says {outcome}"


async def _reply_lost(call: LiveCall) -> AsyncIterator[str]:
    """The vendor acted, and its answer was lost: nobody may believe that nothing was sent."""
    route = await call.paid_route()
    call.server.fail(route, Fault(reset="after"))
    given, error = await caught(call.send(call.context("lost")))
    if error is None:
        yield f"a call whose answer was lost gives a {type(given).__name__}"
    elif not isinstance(error, ProviderError):
        yield f"a call whose answer was lost lets through {said_by(error)}"
    elif error.sent is not Sent.UNKNOWN:
        yield f"a call whose answer was lost raises {said_by(error)}: it may have been paid for (sent: unknown)"
    if len(call.server.asked(route)) != 1:
        yield f"a call whose answer was lost is {len(call.server.asked(route))} requests: the core decides what is sent again"


async def _found(call: LiveCall) -> AsyncIterator[str]:
    """The job whose receipt was lost is found by its call, beside another one that is alike."""
    _need(call, FindsJobs, _NO_FIND)
    earlier = await call.receipt(call.context("earlier"))
    context = call.context("lost", taken=_Taken(earlier.job_id))
    since = context.clock()
    call.server.fail(call.server.paid[-1].route, Fault(reset="after"))
    _, error = await caught(call.send(context))
    if error is None:
        raise ProblemError("the answer of the second call was lost, and it gives a receipt: see the check `reply-lost`")
    found, error = await caught(call.handler.find(call.request, since, context))
    if error is not None and not isinstance(error, ProviderError):
        yield f"find lets through {said_by(error)}"
    elif error is not None or found is None:
        labelled = context.key[:_LABEL] in repr(vars(call.server.paid[-1]))
        sent = "" if labelled else ", and context.key was not sent with the job"
        yield f"find does not find the job whose answer was lost: {said_by(error) if error else 'it gives None'}{sent}"
    elif isinstance(found, Receipt):
        if found.job_id == earlier.job_id:
            yield "find gives the job of another call (context.taken tells)"
        problem = broken_promise(call, await call.collected(found))
        if problem:
            yield f"what find gives: {problem}"
        if await caught(call.handler.find(call.request, since + _OFF, context)) == (None, None):
            yield "find gives None for a job that is only older than `since`: where a clock is wrong, it is paid twice"
    if len(call.server.paid) != 2:
        yield "find sends a paid request"


async def _absent(call: LiveCall) -> AsyncIterator[str]:
    """Nothing was sent for this call: None, or an error that leaves it open; never a job of somebody else."""
    _need(call, FindsJobs, _NO_FIND)
    earlier = await call.receipt(call.context("earlier"))
    context = call.context("absent", taken=_Taken(earlier.job_id))
    now = context.clock()
    found, error = await caught(call.handler.find(call.request, now, replace(context, clock=lambda: now + _LATER)))
    if error is not None and not isinstance(error, ProviderError):
        yield f"find lets through {said_by(error)}"
    elif isinstance(error, ProviderError) and error.sent is not Sent.UNKNOWN:
        yield f"find cannot say whether there is a job, and raises {said_by(error)}: that leaves sent = unknown"
    elif found is not None:
        yield "find gives a job although none was made for this call"


class _Taken:
    """`context.taken` of a project in which another call has this job."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id

    async def __call__(self, job_id: str) -> bool:
        return job_id == self._job_id


TABLE: tuple[CheckRow, ...] = (
    (
        live(_returns, RemoteJobs, why=_NO_JOBS),
        Check(
            "submit-returns",
            "submit gives the receipt at once, and waits for nothing",
            "give the Receipt as soon as the vendor has told the job's id; the core polls",
        ),
    ),
    (
        live(_ends, RemoteJobs, why=_NO_JOBS),
        Check(
            "job-ends",
            "polls say where a job stands, it ends, and collect gives what was promised",
            "map each of the vendor's states to a RemoteState; fetch the outputs in collect; give RemoteStatus the poll_after"
            " that the vendor wants (JsonApi(poll_after=…) does)",
        ),
    ),
    (
        live(_once, RemoteJobs, why=_NO_JOBS),
        Check(
            "poll-once", "one poll is one request that costs nothing", "ask once and return: the core owns the waiting"
        ),
    ),
    (
        live(_recovers, RemoteJobs, why=_NO_JOBS),
        Check(
            "poll-recovers",
            "a poll that fails for now raises a retryable ProviderError, and the receipt stays good",
            "raise reply_error(reply, …) for a status of 400 and above, and keep no state of a job in the handler",
        ),
    ),
    (
        live(_lost, RemoteJobs, why=_NO_JOBS),
        Check(
            "job-lost",
            "an unknown job is a JobLostError",
            "raise reply_error(reply, …, kind=ErrorKind.JOB_LOST, sent=Sent.UNKNOWN) for 404 in poll and collect",
        ),
    ),
    (
        live(_failed, RemoteJobs, why=_NO_JOBS),
        Check(
            "job-failed",
            "a job that failed is told with its reason, as finished",
            "give RemoteStatus(RemoteState.FAILED, error=…), or raise the error with sent=Sent.FINISHED",
        ),
    ),
    (
        live(_again, RemoteJobs, why=_NO_JOBS),
        Check(
            "collect-again",
            "collect can be asked twice, and without what the last poll said",
            "make collect a question: ask for the job again when context.answer is None",
        ),
    ),
    (
        live(_stops, RemoteJobs, why=_NO_JOBS),
        Check(
            "abort-stops",
            "abort stops the job at the vendor, and says `stopped`",
            "send the vendor's cancel request, and read from its answer what the job now is; ask once more if it stops later",
        ),
    ),
    (
        live(_finished, RemoteJobs, why=_NO_JOBS),
        Check(
            "abort-finished",
            "abort of a job that is over says `already_finished`",
            "read the job's state from the vendor's answer, also when it refuses to cancel",
        ),
    ),
    (
        live(_nobody, RemoteJobs, why=_NO_JOBS),
        Check(
            "abort-unknown",
            "abort of an unknown job stops nothing and says no more than that",
            "let the vendor's refusal through as a ProviderError, or give AbortOutcome.UNKNOWN",
        ),
    ),
    (
        live(_reply_lost),
        Check(
            "reply-lost",
            "a call whose answer was lost leaves open whether it was paid for",
            "let ConnectionFailedError of context.http through as it is, and send nothing again",
        ),
    ),
    (
        live(_found, RemoteJobs, why=_NO_JOBS),
        Check(
            "find-lost",
            "find gives the job of a call whose answer was lost, and of no other call",
            "send context.key along with the job (a label, a reference, metadata), and look it up by that: the newest that"
            " context.taken has not, and minutes older than `since` at most; where all are older, raise an error with sent=Sent.UNKNOWN"
            " (JsonApi.found does). A vendor that takes no label: compare what was sent, or leave `find` out",
        ),
    ),
    (
        live(_absent, RemoteJobs, why=_NO_JOBS),
        Check(
            "find-absent",
            "find gives None for a call of which nothing was sent",
            "give only what is surely of this call; raise an error with sent=Sent.UNKNOWN when that cannot be known",
        ),
    ),
)
