"""What the vendor remembers of an account, and how its next jobs go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from callsheet.testing import Exchange
from callsheet_openai.testing.answers import CREATED, Answer, Json

__all__ = ["Account", "Refused", "envelope"]

_ENDING = "cancelling"
"""The status of a batch that was told to stop, and will."""


class Refused(Exception):
    """The vendor refuses a request."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = envelope(message, "invalid_request_error", code, param)


def envelope(message: str, kind: str, code: str | None, param: str | None = None) -> Json:
    """An error as the vendor writes it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


class Account:
    """`answers` are what the next text calls give, one each; when they are used up, the usual one.

    `polls` is how often a background response, a batch or a video is asked for before it is done; `failure` (code,
    message) lets the next video or background response fail; `fates` says by line number (from 0) what a batch does
    with an item: `failed`, `expired`, `cancelled` or `missing`; `ending` is the batch's last status; `done` is how many
    items are over when a batch is cancelled. `stored` holds responses, batches and videos by id, `files` the files.
    `endless` and `failing` are the server's own.
    """

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.polls = 1
        self.endless = False
        self.failing = False
        self.failure: tuple[str, str] | None = None
        self.fates: Mapping[int, str] = {}
        self.ending = "completed"
        self.done = 0
        self.stored: dict[str, Json] = {}
        self.files: dict[str, tuple[Json, bytes]] = {}
        self._made = 0
        self._asked: dict[str, int] = {}
        self._pending: dict[str, Callable[[], Json]] = {}

    @property
    def running(self) -> list[str]:
        """The ids of what has neither ended nor been told to stop."""
        return [job for job in self._pending if job in self.stored and self.stored[job]["status"] != _ENDING]

    def new(self, kind: str) -> str:
        """An id that was not there before."""
        self._made += 1
        return f"{kind}_{self._made:04}"

    def start(self, job: Json, ended: Callable[[], Json]) -> Json:
        """Keep a job that will be what `ended` gives."""
        self.stored[job["id"]] = job
        self._pending[job["id"]] = ended
        return job

    def stop(self, job: str, ended: Callable[[], Json] | None = None) -> bool:
        """Let a job be over, or become what `ended` gives; False when it was over."""
        running = self._pending.pop(job, None) is not None
        if running and ended is not None:
            self._pending[job] = ended
        return running

    def next_failure(self) -> tuple[str, str] | None:
        """What goes wrong with a job that is begun now."""
        told, self.failure = self.failure, None
        return told or (("server_error", "The model failed to make it.") if self.failing else None)

    def find(self, job: str) -> Json:
        """What is stored. Raises Refused."""
        if job not in self.stored:
            raise Refused(404, f"No object with id '{job}' found.")
        return self.stored[job]

    def retrieved(self, request: Exchange) -> Json:
        """What is stored; after `polls` looks, what has become of it."""
        job = request.params["id"]
        found = self.find(job)
        if job in self._pending:
            self._asked[job] = self._asked.get(job, 0) + 1
            stopping = found["status"] == _ENDING
            if self._asked[job] > self.polls and (stopping or not self.endless):
                self.stored[job] = self._pending.pop(job)()
            elif not stopping:
                self.stored[job] = {**found, "status": "in_progress"}
        return self.stored[job]

    def keep(self, name: str, purpose: str, data: bytes) -> Json:
        """A new file."""
        head: dict[str, Any] = {"id": self.new("file"), "object": "file", "bytes": len(data)}
        head |= {"created_at": CREATED, "filename": name, "purpose": purpose, "status": "processed"}
        self.files[head["id"]] = (head, data)
        return head

    def file(self, key: str) -> tuple[Json, bytes]:
        """A file and its bytes. Raises Refused."""
        if key not in self.files:
            raise Refused(404, f"No such File object: {key}")
        return self.files[key]
