"""Tickets: who asks for a call, and what to do when nobody knows whether it was paid for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from callsheet.batch_round import Seat
from callsheet.budget import Budget
from callsheet.errors import ErrorKind, ProviderError, Sent
from callsheet.jobs import AbortOutcome
from callsheet.models import Operation
from callsheet.retrying import Retrying

__all__ = ["OnUnknown", "StillRunningError", "Ticket", "UnknownOutcomeError"]


class OnUnknown(StrEnum):
    """What to do with a call of which nobody knows whether it was paid for."""

    DEFAULT = "default"
    """Text and embeddings are tried once more, all else is put to the user."""
    FAIL = "fail"
    RETRY = "retry"


class UnknownOutcomeError(ProviderError):
    """It is not known whether the provider accepted the request; the user decides."""

    kind = ErrorKind.JOB_LOST
    default_sent = Sent.UNKNOWN


class StillRunningError(ProviderError):
    """The wait was given up, the job was not: it is still with the provider, and its receipt is good."""

    kind = ErrorKind.TIMEOUT
    default_sent = Sent.UNKNOWN


@dataclass(slots=True)
class Ticket:
    """Who asks for a call: the run, what to do when in doubt, and how to give the slot back while waiting.

    `sent`, `job_id` and `aborted` say how far the call got, for who has to tell of one that was cancelled.
    """

    run: str
    on_unknown: OnUnknown = OnUnknown.DEFAULT
    park: Callable[[], None] = lambda: None
    sheet: str = ""
    note: Mapping[str, object] = field(default_factory=dict)
    seat: Seat | None = None
    """Its place in a batch; None for a call that is sent by itself."""
    reuse: bool = False
    """An equal call that was made before is as good."""
    budget: Budget | None = None
    """What may be spent; None: nobody has said."""
    retrying: Retrying | None = None
    """When what surely failed is sent again; None: never."""
    attempt: float | None = None
    """Seconds that one request may take."""
    sample: int | None = None
    """Which of equal calls it is; None until one was found that nobody has paid for."""
    guessed: bool = False
    """Whether the sample is paid for already, is still to be seen; then it is not what is asked for."""
    sent: Sent = Sent.NOT_SENT
    job_id: str = ""
    aborted: AbortOutcome | None = None
    elsewhere: bool = False
    """Another task or process has sent the very same request, or is about to."""

    def wait_for_another(self) -> None:
        """Until it is known how an equal call ended."""
        self.elsewhere = True
        self.wait()

    def wait(self) -> None:
        """Somebody else works on the call: give back the slot and the place."""
        self.park()
        if self.seat is not None:
            self.seat.leave()

    def insists(self, operation: Operation, unknown: int = 1) -> bool:
        """Whether to send a call again although it may be paid for; `unknown` is how many of its attempts ended so."""
        if self.on_unknown is OnUnknown.DEFAULT:
            return operation.cheap and unknown < 2
        return self.on_unknown is OnUnknown.RETRY
