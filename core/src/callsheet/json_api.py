"""A vendor's JSON over HTTP, described once: where the key goes, where an error's text and code stand, what codes mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from callsheet.context import JobContext, ProviderContext
from callsheet.errors import ErrorKind, MalformedOutputError, ProviderError, Sent, error_for, excerpt
from callsheet.http import HttpLimits, HttpReply
from callsheet.jobs import AbortOutcome, RemoteState, RemoteStatus
from callsheet.reply_errors import reply_error

__all__ = ["JsonApi"]

_QUESTION = HttpLimits(read=30.0, total=60.0)
"""What is only asked can be asked again: nobody waits long for an answer that does not come."""
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class JsonApi:
    """One vendor's API, for its handlers to share.

    `key_header` gets `key_prefix` and the key. `message` and `code` are where the text and the code of an error stand in its
    JSON, with dots between the steps (`error.message`, `errors.0.text`). `kinds` says what the vendor's codes mean; the status decides for
    the rest. `wait_header` names a header in which the vendor says in milliseconds how long to wait, where it is not
    `Retry-After`.
    """

    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    message: str = "error.message"
    code: str = "error.code"
    kinds: Mapping[str, ErrorKind] = field(default_factory=dict)
    wait_header: str = ""

    async def headers(self, context: JobContext | ProviderContext) -> dict[str, str]:
        """The key, for the vendor's own origin; nothing where none is declared. Raises ConfigError for one that is not set."""
        key = await context.secrets.key()
        return {} if key is None else {self.key_header: self.key_prefix + key.reveal()}

    async def send(
        self,
        context: JobContext | ProviderContext,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Send a request, as `Http.send` takes it, and give the JSON object of its success. Raises ProviderError."""
        sent = {**await self.headers(context), **(headers or {})}
        return self._object(await context.http.send(method, path, headers=sent, **more), context)

    async def ask(self, context: JobContext, path: str, *, method: str = "GET", **more: Any) -> dict[str, Any]:
        """Send a request about a job that was accepted. Raises JobLostError where the vendor knows it no more (404, 410)."""
        headers = await self.headers(context)
        reply = await context.http.send(method, path, headers=headers, limits=_QUESTION, **more)
        if reply.status in (404, 410):
            raise self.error(reply, context, kind=ErrorKind.JOB_LOST, sent=Sent.UNKNOWN)
        return self._object(reply, context)

    def error(
        self,
        reply: HttpReply,
        context: JobContext | ProviderContext,
        *,
        kind: ErrorKind | None = None,
        sent: Sent | None = None,
    ) -> ProviderError:
        """The error of a reply that is no success: by the vendor's code, then by status."""
        try:
            told = reply.json()
        except MalformedOutputError:
            told = None
        code = _text_at(told, self.code)
        known = kind or self.kinds.get(code)
        words = excerpt(_text_at(told, self.message), _LONGEST) or f"status {reply.status} without an explanation"
        wait = {"retry-after-ms": reply.headers[self.wait_header]} if self.wait_header in reply.headers else {}
        return reply_error(
            replace(reply, headers={**reply.headers, **wait}),
            f"{_called(context)} answered: {words}{f' ({code})' if code else ''}",
            now=context.clock(),
            kind=known,
            sent=sent,
            ref=_called(context),
            prompt=_prompt(context) if known is ErrorKind.CONTENT_REJECTED else "",
            raw=told,
        )

    def status(
        self, answer: object, states: Mapping[str, RemoteState], context: JobContext, path: str = "status"
    ) -> RemoteStatus:
        """Where a job stands, by the word at this place, with the answer for the collect that follows.

        Raises JobFailedError, or what `kinds` says of the code, for a job that failed (its code and text stand as in an error,
        in the whole answer or beside the word); MalformedOutputError for a word that `states` does not have.
        """
        word = _text_at(answer, path)
        state = states.get(word)
        if state is None:
            raise self.malformed(f"gave the job the unknown status {word!r}", context, sent=Sent.UNKNOWN)
        if state is RemoteState.FAILED:
            raise self._failure(answer, context, path.rpartition(".")[0])
        return RemoteStatus(state, answer=answer)

    def outcome(self, answer: object, states: Mapping[str, RemoteState], path: str = "status") -> AbortOutcome:
        """What an abort reached, by the word at this place: a job that still runs may yet be stopped, or paid for."""
        state = states.get(_text_at(answer, path))
        if state is RemoteState.CANCELLED:
            return AbortOutcome.STOPPED
        ended = state in (RemoteState.SUCCEEDED, RemoteState.FAILED)
        return AbortOutcome.ALREADY_FINISHED if ended else AbortOutcome.UNKNOWN

    def text(self, answer: object, path: str, context: JobContext, *, sent: Sent = Sent.FINISHED) -> str:
        """A text that must be in an answer, by the dotted path to it. Raises MalformedOutputError where it is not.

        `sent` says whether the job was done: UNKNOWN where only its id is missing.
        """
        found = _text_at(answer, path)
        if not found:
            raise self.malformed(f"gave an answer without {path}", context, sent=sent)
        return found

    def number(self, answer: object, path: str) -> int | None:
        """A whole number that may be in an answer, by the dotted path to it."""
        found = _text_at(answer, path)
        return int(found) if found.isascii() and found.isdigit() else None

    def malformed(
        self, what: str, context: JobContext | ProviderContext, *, sent: Sent = Sent.FINISHED
    ) -> MalformedOutputError:
        """The error of an answer that is not as the vendor's document promises."""
        return MalformedOutputError(f"{_called(context)} {what}", sent=sent, ref=_called(context))

    def _failure(self, answer: object, context: JobContext, inside: str) -> ProviderError:
        beside = f"{inside}." if inside else ""
        code = _text_at(answer, beside + self.code) or _text_at(answer, self.code)
        told = _text_at(answer, beside + self.message) or _text_at(answer, self.message)
        kind = self.kinds.get(code, ErrorKind.JOB_FAILED)
        words = excerpt(told, _LONGEST) or "it failed without an explanation"
        return error_for(kind)(
            f"{_called(context)} reports: {words}{f' ({code})' if code else ''}",
            sent=Sent.FINISHED,
            ref=_called(context),
            prompt=_prompt(context) if kind is ErrorKind.CONTENT_REJECTED else "",
            raw=answer,
        )

    def _object(self, reply: HttpReply, context: JobContext | ProviderContext) -> dict[str, Any]:
        if not 200 <= reply.status < 300:
            raise self.error(reply, context)
        value = reply.json()
        if not isinstance(value, dict):
            raise self.malformed("gave an answer that is no JSON object", context, sent=Sent.UNKNOWN)
        return value


def _called(context: JobContext | ProviderContext) -> str:
    return str(context.job.ref) if isinstance(context, JobContext) else context.provider


def _prompt(context: JobContext | ProviderContext) -> str:
    inputs = context.job.inputs if isinstance(context, JobContext) else None
    return str(getattr(inputs, "prompt", None) or getattr(inputs, "text", None) or "")


def _text_at(value: object, path: str) -> str:
    """The text (or number) at a dotted path; a number in the path is a place in a list; empty where there is none."""
    for step in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return ""
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
