"""Scripting the mock for tests: options that make a call slow, fail, get lost or hang."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from callsheet.plugin import ErrorKind, InvalidRequestError, ProviderError, Sent, error_for

__all__ = ["Script"]

_KNOWN = frozenset({"latency", "fail", "fail_after_acceptance", "hang"})
_FAIL = frozenset({"first", "kind", "sent", "retry_after", "message"})


@dataclass(frozen=True, slots=True)
class Script:
    """What a call is to suffer.

    `latency`: seconds that it takes. `fail`: `{first = n, kind = "rate_limited", sent = "rejected", retry_after = 1}`
    fails the first n attempts. `fail_after_acceptance`: accepted (and paid), then an answer is lost, or a remote job
    ends as failed; `true` for ever, a number for so many attempts. `hang`: accepted, and never an answer.
    """

    latency: float = 0.0
    fail_first: int = 0
    kind: ErrorKind = ErrorKind.OVERLOADED
    sent: Sent | None = None
    retry_after: float | None = None
    message: str = "scripted failure"
    lost_first: int = 0
    hang: bool = False

    @classmethod
    def of(cls, options: Mapping[str, object]) -> Script:
        """Read the options. Raises InvalidRequestError for one that the mock does not know."""
        _only(options, _KNOWN, "options")
        fail = options.get("fail", {})
        if not isinstance(fail, Mapping):
            raise InvalidRequestError("the option `fail` of the mock wants a table", sent=Sent.NOT_SENT)
        _only(fail, _FAIL, "fail")
        lost = options.get("fail_after_acceptance", 0)
        try:
            return cls(
                latency=float(str(options.get("latency", 0.0))),
                fail_first=int(str(fail.get("first", 1 if fail else 0))),
                kind=ErrorKind(str(fail.get("kind", ErrorKind.OVERLOADED))),
                sent=Sent(str(fail["sent"])) if "sent" in fail else None,
                retry_after=float(str(fail["retry_after"])) if "retry_after" in fail else None,
                message=str(fail.get("message", "scripted failure")),
                lost_first=1_000_000 if lost is True else int(str(lost or 0)),
                hang=options.get("hang") is True,
            )
        except ValueError as error:
            raise InvalidRequestError(f"an option of the mock has a wrong value: {error}", sent=Sent.NOT_SENT) from None

    def refusal(self, attempts_before: int, ref: str) -> ProviderError | None:
        """The error of this attempt, if it is to fail before it is accepted."""
        if attempts_before >= self.fail_first:
            return None
        return error_for(self.kind)(self.message, sent=self.sent, retry_after=self.retry_after, ref=ref)


def _only(given: Mapping[str, object], known: frozenset[str], what: str) -> None:
    for name in given:
        if name not in known:
            text = f"the mock's {what} have no {name!r}: they are {', '.join(sorted(known))}"
            raise InvalidRequestError(text, sent=Sent.NOT_SENT)
