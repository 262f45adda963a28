"""Scripting the mock for tests: options that make a call slow, fail, get lost or hang."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import TypeVar

from callsheet.plugin import ErrorKind, InvalidRequestError, ProviderError, Sent, error_for

__all__ = ["Script"]

FOR_EVER = 1_000_000_000

_KNOWN = frozenset({"latency", "fail", "fail_after_acceptance", "hang"})
_FAIL = frozenset({"first", "kind", "sent", "retry_after", "message"})

Word = TypeVar("Word", bound=StrEnum)


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
        """Read the options. Raises InvalidRequestError, naming the option, for one that the mock does not know."""
        _only(options, _KNOWN, "options")
        fail = options.get("fail", {})
        if not isinstance(fail, Mapping):
            raise _wrong("fail", "a table", fail)
        _only(fail, _FAIL, "`fail`")
        lost, hang = options.get("fail_after_acceptance", False), options.get("hang", False)
        if not isinstance(hang, bool):
            raise _wrong("hang", "true or false", hang)
        return cls(
            latency=_seconds("latency", options.get("latency", 0.0)),
            fail_first=_number("fail.first", fail.get("first", 1 if fail else 0)),
            kind=_word(ErrorKind, "fail.kind", fail.get("kind", ErrorKind.OVERLOADED)),
            sent=_word(Sent, "fail.sent", fail["sent"]) if "sent" in fail else None,
            retry_after=_seconds("fail.retry_after", fail["retry_after"]) if "retry_after" in fail else None,
            message=str(fail.get("message", "scripted failure")),
            lost_first=(FOR_EVER if lost else 0) if isinstance(lost, bool) else _number("fail_after_acceptance", lost),
            hang=hang,
        )

    def refusal(self, attempts_before: int, ref: str, prompt: str = "") -> ProviderError | None:
        """The error of this attempt, if it is to fail before it is accepted."""
        if attempts_before >= self.fail_first:
            return None
        shown = prompt if self.kind is ErrorKind.CONTENT_REJECTED else ""
        return error_for(self.kind)(self.message, sent=self.sent, retry_after=self.retry_after, ref=ref, prompt=shown)


def _only(given: Mapping[str, object], known: frozenset[str], what: str) -> None:
    for name in given:
        if name not in known:
            text = f"the mock's {what} have no {name!r}: they are {', '.join(sorted(known))}"
            raise InvalidRequestError(text, sent=Sent.NOT_SENT)


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value) or value < 0:
        raise _wrong(name, "seconds from 0", value)
    return float(value)


def _number(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _wrong(name, "a whole number from 0", value)
    return value


def _word(words: type[Word], name: str, value: object) -> Word:
    try:
        return words(str(value))
    except ValueError:
        raise _wrong(name, f"one of {', '.join(words)}", value) from None


def _wrong(name: str, wanted: str, value: object) -> InvalidRequestError:
    text = f"the mock's option {name} wants {wanted}, not {str(value)[:60]!r}"
    return InvalidRequestError(text, sent=Sent.NOT_SENT)
