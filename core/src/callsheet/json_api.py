"""A vendor's JSON over HTTP, described once: where the key goes, where an error's text and code stand, what codes mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from callsheet.artifacts import BlobArtifact, FileRef, extension_for
from callsheet.context import JobContext, ProviderContext, Upload
from callsheet.errors import ErrorKind, MalformedOutputError, ProviderError, Sent, error_for, excerpt
from callsheet.http import FormFile, HttpLimits, HttpReply
from callsheet.jobs import AbortOutcome, ProviderRequest, Receipt, RemoteState, RemoteStatus
from callsheet.reply_errors import reply_error

__all__ = ["JsonApi"]

_QUESTION = HttpLimits(read=30.0, total=60.0)
"""What is only asked can be asked again: nobody waits long for an answer that does not come."""
_LONGEST = 2000
_SKEW = 300.0
"""Seconds by which a vendor's clock may be behind ours. Too many find a job of an earlier attempt; too few pay twice."""


@dataclass(frozen=True, slots=True)
class JsonApi:
    """One vendor's API, for its handlers to share.

    `key_header` gets `key_prefix` and the key. `message` and `code` are where the text and the code of an error stand in its
    JSON, with dots between the steps (`error.message`, `errors.0.text`). `kinds` says what the vendor's codes mean; the
    status decides for the rest. `wait_header` names a header in which the vendor says in milliseconds how long to wait, where
    it is not `Retry-After`. `poll_after` is how many seconds the vendor wants to pass between two questions about a job; the
    core polls no earlier.
    """

    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    message: str = "error.message"
    code: str = "error.code"
    kinds: Mapping[str, ErrorKind] = field(default_factory=dict)
    wait_header: str = ""
    poll_after: float | None = None

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
        """Send a request, as `Http.send` takes it, and give the JSON object of its success: {} for 204. Raises ProviderError.

        `more` are `json`, `form`, `files`, `query` and `limits`.
        """
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
        return reply_error(
            reply,
            f"{_called(context)} answered: {words}{f' ({code})' if code else ''}",
            now=context.clock(),
            kind=known,
            sent=sent,
            ref=_called(context),
            prompt=_prompt(context) if known is ErrorKind.CONTENT_REJECTED else "",
            raw=told,
            wait_header=self.wait_header,
        )

    async def upload(
        self,
        context: JobContext,
        file: FileRef,
        path: str,
        *,
        field: str = "file",
        address: str = "id",
        expires: str = "",
        form: Mapping[str, str] | None = None,
    ) -> str:
        """The file's address at the vendor. Where it has none, it is posted to `path` as `field` of a multipart form.

        `form` are plain fields beside it. The answer has the address, and when it expires (`moment`), at these dotted paths.
        Raises ProviderError, always with `sent` NOT_SENT.
        """

        async def send() -> Upload:
            name = file.name or f"{field}.{extension_for(file.media_type)}"
            part = FormFile(field, name, file.media_type, await context.files.read(file))
            answer = await self.send(context, "POST", path, form=form, files=[part])
            return Upload(
                self.text(answer, address, context), self.moment(answer, expires, context) if expires else None
            )

        return await context.files.upload(file, send)

    async def download(self, context: JobContext, url: str, media_type: str, **about: Any) -> BlobArtifact:
        """Fetch an output by the URL that the vendor gave, as `context.download` does, with the key and `wait_header`.

        `about` are `name`, `width`, `height` and `duration`.
        """
        key = await self.headers(context)
        return await context.download(url, media_type, headers=key, wait_header=self.wait_header, **about)

    def status(
        self,
        answer: object,
        states: Mapping[str, RemoteState],
        context: JobContext,
        path: str = "status",
        *,
        percent: str = "",
    ) -> RemoteStatus:
        """Where a job stands, by the word at this place, with the answer for the collect that follows.

        `percent` is where a number from 0 to 100 says how far it is. Raises JobFailedError, or what `kinds` says of the code,
        for a job that failed (its code and text stand as in an error, beside the word or in the whole answer);
        MalformedOutputError for a word that `states` does not have.
        """
        word = _text_at(answer, path)
        state = states.get(word)
        if state is None:
            raise self.malformed(f"gave the job the unknown status {word!r} (at {path})", context, sent=Sent.UNKNOWN)
        if state is RemoteState.FAILED:
            raise self._failure(answer, context, path.rpartition(".")[0])
        done = _value_at(answer, percent) if percent else None
        progress = min(max(done / 100, 0.0), 1.0) if isinstance(done, (int, float)) else None
        return RemoteStatus(state, progress, self.poll_after, answer=answer)

    def outcome(self, answer: object, states: Mapping[str, RemoteState], path: str = "status") -> AbortOutcome:
        """What an abort reached, by the word at this place: a job that still runs may yet be stopped, or paid for."""
        state = states.get(_text_at(answer, path))
        if state is RemoteState.CANCELLED:
            return AbortOutcome.STOPPED
        ended = state in (RemoteState.SUCCEEDED, RemoteState.FAILED)
        return AbortOutcome.ALREADY_FINISHED if ended else AbortOutcome.UNKNOWN

    async def abort(
        self,
        context: JobContext,
        path: str,
        states: Mapping[str, RemoteState],
        at: str = "status",
        *,
        method: str = "DELETE",
        again: str = "",
    ) -> AbortOutcome:
        """Tell the vendor to stop a job; `at` is where the answer has its word for where the job stands then.

        `again` is the path of the question where the job stands: it is asked once, when the job has not stopped yet, or the
        vendor says (409) that it cannot be stopped any more. Without it, 409 is ALREADY_FINISHED. Raises as `ask` does.
        """
        try:
            outcome = self.outcome(await self.ask(context, path, method=method), states, at)
        except ProviderError as error:
            if error.status_code != 409:
                raise
            outcome = AbortOutcome.UNKNOWN if again else AbortOutcome.ALREADY_FINISHED
        if outcome is AbortOutcome.UNKNOWN and again:
            outcome = self.outcome(await self.ask(context, again), states, at)
        return outcome

    async def found(
        self,
        answer: object,
        path: str,
        request: ProviderRequest,
        since: float,
        context: JobContext,
        *,
        id_at: str = "id",
        made_at: str = "",
    ) -> Receipt | None:
        """The receipt of a lost job, out of the list at a path, which has only jobs that carry this call's key; for `find`.

        It is the newest that no other call has. `made_at` is where each says when it was accepted (`moment`): what is older
        than `since`, with five minutes for clocks and rounding, belongs to an attempt before, or a clock is wrong. None where
        no job is left. Raises MalformedOutputError (sent: unknown) where only such older ones are, and for no such list.
        """
        listed = _value_at(answer, path)
        if not isinstance(listed, list):
            raise self.malformed(f"gave an answer without the list {path}", context, sent=Sent.UNKNOWN)
        ours: list[tuple[float, str]] = []
        older: list[tuple[float, str]] = []
        for each in listed:
            job_id = self.text(each, id_at, context, sent=Sent.UNKNOWN)
            made = self.moment(each, made_at, context, sent=Sent.UNKNOWN) if made_at else since
            if not await context.taken(job_id):
                (ours if made >= since - _SKEW else older).append((made, job_id))
        if older and not ours:
            raise self._too_old(*max(older), since, context)
        return context.receipt(request, max(ours, key=lambda one: one[0])[1]) if ours else None

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

    def moment(self, answer: object, path: str, context: JobContext, *, sent: Sent = Sent.FINISHED) -> float:
        """A moment that must be in an answer, in seconds since the epoch: told so, or by ISO 8601 (UTC when it does not say).

        Raises MalformedOutputError as `text` does.
        """
        value = _value_at(answer, path)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        text = self.text(answer, path, context, sent=sent)
        try:
            told = datetime.fromisoformat(text)
        except ValueError:
            raise self.malformed(f"gave no moment at {path}: {excerpt(text)!r}", context, sent=sent) from None
        return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()

    def malformed(
        self, what: str, context: JobContext | ProviderContext, *, sent: Sent = Sent.FINISHED
    ) -> MalformedOutputError:
        """The error of an answer that is not as the vendor's document promises."""
        return MalformedOutputError(f"{_called(context)} {what}", sent=sent, ref=_called(context))

    def _too_old(self, made: float, job_id: str, since: float, context: JobContext) -> MalformedOutputError:
        what = (
            f"has the job {job_id} of this call, accepted {since - made:,.0f} s before the call can have been: it is of an "
            "earlier attempt, or the clock of this machine (or the vendor's) is wrong. Look at that job in the vendor's own "
            "list, and at the clock"
        )
        return self.malformed(what, context, sent=Sent.UNKNOWN)

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
        value = {} if reply.status == 204 else reply.json()  # RFC 9110, section 15.3.5: it has no content
        if not isinstance(value, dict):
            raise self.malformed("gave an answer that is no JSON object", context, sent=Sent.UNKNOWN)
        return value


def _called(context: JobContext | ProviderContext) -> str:
    return str(context.job.ref) if isinstance(context, JobContext) else context.provider


def _prompt(context: JobContext | ProviderContext) -> str:
    inputs = context.job.inputs if isinstance(context, JobContext) else None
    return str(getattr(inputs, "prompt", None) or getattr(inputs, "text", None) or "")


def _value_at(value: object, path: str) -> object:
    """What stands at a dotted path; a number in the path is a place in a list; None where there is nothing."""
    for step in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _text_at(value: object, path: str) -> str:
    """The text (or whole number) at a dotted path; empty where there is none."""
    found = _value_at(value, path)
    return str(found) if isinstance(found, (str, int)) and not isinstance(found, bool) else ""
