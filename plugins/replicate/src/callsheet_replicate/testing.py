"""A loopback server that speaks Replicate's API, for tests: scripted predictions, faults on request, a journal of all it saw.

```python
with ReplicateServer() as server:
    server.script("google/imagen-4", Script(Delivery(png, "image/png")))
    # settings: base_url = server.origin, secret REPLICATE_API_TOKEN = server.key
```
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import formatdate
from functools import cache
from importlib.resources import files
from itertools import count
from typing import Any

from callsheet.plugin import ServerSentEvent
from callsheet.testing import Exchange, Fault, Judge, LoopbackServer, Reply, event_stream, file_reply

__all__ = ["Delivery", "Exchange", "Fault", "ReplicateServer", "Script"]

FILES_LIVE = 24 * 3600.0
"""Seconds for which an uploaded file is kept."""
_FINAL = ("succeeded", "failed", "canceled", "aborted")
_MADE: Mapping[str, bytes] = {
    "audio/mpeg": (b"\xff\xfb\x90\x64" + bytes(413)) * 4,
    "audio/wav": b"RIFF" + (636).to_bytes(4, "little") + b"WAVEfmt " + bytes(628),
    "image/jpeg": b"\xff\xd8\xff\xe0" + bytes(600),
    "image/png": b"\x89PNG\r\n\x1a\n" + bytes(600),
    "image/webp": b"RIFF" + (600).to_bytes(4, "little") + b"WEBPVP8L" + bytes(588),
    "video/mp4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(600),
}
"""Enough of a file for its type to be told."""
_FORMATS = {"wav": "audio/wav", "jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}


@dataclass(frozen=True)
class Delivery:
    """A file in an output: its place is taken by a link to it."""

    data: bytes = field(repr=False)
    media_type: str


@dataclass(frozen=True)
class Script:
    """How a prediction goes: it is unfinished for the first `polls` questions, and then ends so.

    With `streams` it offers a stream of server-sent events: each text of `output`, what went wrong, and `done`; a stream that
    is read to its end ends the prediction too.
    """

    output: object = "ok"
    status: str = "succeeded"
    error: str | None = None
    polls: int = 1
    metrics: Mapping[str, object] = field(default_factory=lambda: {"predict_time": 0.5})
    data_removed: bool = False
    streams: bool = False


class ReplicateServer(LoopbackServer):
    """Its routes are `create get list cancel stream file upload model version secret`; `file` is the fetching of an output.

    A model without a script makes what its row in the plugin says; `ok`, if it has none. It accepts `key` as the token.

    `models` holds what is told of a model (`owner/name`) or a version of one (`owner/name:id`); `ahead` is by how many seconds
    its clock is ahead of ours: a prediction whose Cancel-After has passed is cancelled.
    """

    prefix = "/v1"

    def __init__(
        self,
        *,
        key: str = "r8_test4fZq9XbN7wLr2KdV8mTc",
        page: int = 100,
        judge: Judge | None = None,
    ) -> None:
        super().__init__(judge=judge)
        self.key = key
        self.page = page
        self.predictions: dict[str, dict[str, Any]] = {}
        self.models: dict[str, object] = {}
        self.webhook_secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"  # noqa: S105 - signs nothing of anybody's
        self.ahead = 0.0
        self._scripts: dict[str, list[Script]] = {}
        self._courses: dict[str, tuple[Script, int]] = {}
        self._deadlines: dict[str, float] = {}
        self._numbers = count()
        self._files: dict[str, Delivery] = {}
        self._uploads: dict[str, dict[str, Any]] = {}
        self.route("POST", "/predictions", "create", paid=True)(self._create)
        self.route("POST", "/models/{owner}/{name}/predictions", "create", paid=True)(self._create)
        self.route("GET", "/predictions", "list")(self._list)
        self.route("GET", "/predictions/{key}", "get")(lambda request: self._polled(request.params["key"]))
        self.route("POST", "/predictions/{key}/cancel", "cancel")(
            lambda request: self._cancelled(request.params["key"])
        )
        self.route("GET", "/predictions/{key}/stream", "stream")(self._stream)
        self.route("GET", "/deliveries/{key}/{number}", "file")(self._file)
        self.route("POST", "/files", "upload")(self._upload)
        self.route("GET", "/models/{owner}/{name}", "model")(self._described)
        self.route("GET", "/models/{owner}/{name}/versions/{version}", "version")(self._described)
        self.route("GET", "/account", "account")(lambda _: {"type": "user", "username": "acme", "name": "Acme"})
        self.route("GET", "/webhooks/default/secret", "secret")(lambda _: {"key": self.webhook_secret})

    @property
    def running(self) -> list[str]:
        """The ids of predictions that nobody stopped and that have not ended."""
        return [key for key, each in self.predictions.items() if each["status"] not in _FINAL]

    def script(self, model: str, *scripts: Script) -> None:
        """How the next predictions of a model (`owner/name`, or a version) go, one each; the last one goes for all others."""
        self._scripts[model] = list(scripts)

    def expire_outputs(self) -> None:
        """Every link to an output is dead from now on; the prediction, asked again, gives a fresh one."""
        self._files.clear()

    def expire_files(self) -> None:
        """Every uploaded file is gone: a prediction that names one fails."""
        self._uploads.clear()

    def webhook(self, key: str, *, delivery: str = "msg_1", age: float = 0.0) -> tuple[dict[str, str], bytes]:
        """Headers and body of the webhook that tells of a prediction; `age` is how many seconds ago it was signed."""
        body = json.dumps(self.predictions[key]).encode()
        moment = str(int(self._now() - age))
        secret = base64.b64decode(self.webhook_secret.removeprefix("whsec_"))
        signed = hmac.new(secret, f"{delivery}.{moment}.".encode() + body, hashlib.sha256).digest()
        signature = f"v1,{base64.b64encode(signed).decode()}"
        sent = {"webhook-id": delivery, "webhook-timestamp": moment, "webhook-signature": signature}
        return {"content-type": "application/json", **sent}, body

    def usual_headers(self) -> Mapping[str, str]:
        """The time by the server's own clock."""
        return {"date": formatdate(self._now(), usegmt=True)}

    def answer(self, request: Exchange) -> Reply:
        """What the vendor would say; 401 without the token, 404 for what is not there."""
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return _problem(401, "Unauthenticated", "You did not pass a valid authentication token")
        if not request.route:
            return _problem(404, "Not found", f"{request.method} {request.path} is not served here")
        if request.route in ("get", "cancel", "stream") and request.params["key"] not in self.predictions:
            return _problem(404, "Not found", "The requested resource could not be found.")
        return super().answer(request)

    def _now(self) -> float:
        return time.time() + self.ahead

    def _create(self, request: Exchange) -> Reply:
        asked = request.json
        version = str(asked.get("version", "")).rpartition(":")[2]
        model = "owner/pinned" if version else "{owner}/{name}".format_map(request.params)
        life = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", request.headers.get("cancel-after", ""))
        if life is None:
            return _problem(422, "Invalid header", "Cancel-After is no duration")
        scripts = self._scripts.get(version or model) or [_usual(model, asked["input"])]
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        if self.failing:
            script = replace(script, status="failed", error="scripted: it failed", streams=False)
        key = hashlib.sha256(f"{self.port} {len(self.predictions)}".encode()).hexdigest()[:26]
        here = f"{self.origin}/predictions/{key}"
        urls = {"web": f"https://replicate.com/p/{key}", "get": here, "cancel": f"{here}/cancel"}
        prediction: dict[str, Any] = {
            "id": key,
            "model": model,
            "version": version or "hidden",
            "input": asked["input"],
            "output": None,
            "logs": "",
            "data_removed": False,
            "error": None,
            "source": "api",
            "status": "starting",
            "created_at": _moment(self._now()),
            "urls": {**urls, "stream": f"{here}/stream"} if script.streams else urls,
        }
        if seconds := sum(int(each or 0) * unit for each, unit in zip(life.groups(), (3600, 60, 1), strict=True)):
            self._deadlines[key] = self._now() + seconds
            prediction["deadline"] = _moment(self._deadlines[key])
        self._courses[key] = (script, script.polls)
        self.predictions[key] = prediction
        return Reply(201, dict(prediction))

    def _polled(self, key: str) -> dict[str, Any]:
        prediction, (script, left) = self.predictions[key], self._courses[key]
        if prediction["status"] in _FINAL:
            if prediction["output"] is not None and not any(f"/{key}/" in path for path in self._files):
                prediction["output"] = self._linked(script.output, key)
            return dict(prediction)
        if self._now() > self._deadlines.get(key, float("inf")):
            return self._cancelled(key)
        self._courses[key] = (script, left - 1)
        if left > 0 or self.endless:
            if left <= 1:
                prediction["status"] = "processing"
            return dict(prediction)
        gone = self._gone(prediction["input"])
        if gone and script.status == "succeeded":
            script = replace(script, status="failed", error=f"404 Client Error: Not Found for url: {gone}")
        made = None if script.data_removed else self._linked(script.output, key)
        prediction |= {
            "status": script.status,
            "error": script.error,
            "output": made if script.status == "succeeded" else None,
            "metrics": dict(script.metrics),
            "data_removed": script.data_removed,
        }
        return dict(prediction)

    def _gone(self, value: object) -> str:
        """The first link in an input to an upload that is not there any more."""
        known = {each["urls"]["get"] for each in self._uploads.values()}
        found = re.findall(rf"{re.escape(self.origin)}/files/\w+", json.dumps(value))
        return next((link for link in found if link not in known), "")

    def _cancelled(self, key: str) -> dict[str, Any]:
        prediction = self.predictions[key]
        if prediction["status"] not in _FINAL:
            prediction["status"] = "aborted" if prediction["status"] == "starting" else "canceled"
        return dict(prediction)

    def _linked(self, output: object, key: str) -> object:
        if isinstance(output, Delivery):
            path = f"/deliveries/{key}/{next(self._numbers)}"
            self._files[path] = output
            return self.origin + path
        if isinstance(output, Mapping):
            return {name: self._linked(each, key) for name, each in output.items()}
        return [self._linked(each, key) for each in output] if isinstance(output, list) else output

    def _stream(self, request: Exchange) -> Reply:
        return Reply(200, event_stream(self._events(request.params["key"])))

    def _events(self, key: str) -> Iterator[ServerSentEvent]:
        """All events of the prediction as it will end; before the last one it has ended."""
        prediction, (script, _) = self.predictions[key], self._courses[key]
        ending = prediction["status"] if prediction["status"] in _FINAL else script.status
        if prediction["status"] == "starting":
            prediction["status"] = "processing"
        pieces = script.output if isinstance(script.output, list) else [script.output]
        told = [("output", str(each)) for each in pieces]
        if ending == "failed":
            told.append(("error", json.dumps({"detail": script.error or ""})))
        for number, (name, data) in enumerate(told):
            yield ServerSentEvent(data, name, f"{number}:0")
        self._courses[key] = (script, 0)
        reason = {"succeeded": {}, "failed": {"reason": "error"}}.get(ending, {"reason": "canceled"})
        yield ServerSentEvent(json.dumps(reason), "done", f"{len(told)}:0")

    def _list(self, request: Exchange) -> dict[str, object]:
        newest = list(self.predictions.values())[::-1]
        first = int(request.query.get("cursor", "0"))
        last = first + self.page
        following = f"{self.origin}/predictions?cursor={last}" if last < len(newest) else None
        return {"next": following, "previous": None, "results": [dict(each) for each in newest[first:last]]}

    def _upload(self, request: Exchange) -> Reply:
        (sent,) = (part for part in request.parts if part.name == "content")
        key = hashlib.sha256(f"{self.port} file {len(self.journal)}".encode()).hexdigest()[:26]
        now = self._now()
        self._uploads[key] = {
            "id": key,
            "content_type": sent.media_type or "application/octet-stream",
            "size": len(sent.data),
            "checksums": {"sha256": hashlib.sha256(sent.data).hexdigest()},
            "metadata": {},
            "created_at": _moment(now),
            "expires_at": _moment(now + FILES_LIVE),
            "urls": {"get": f"{self.origin}/files/{key}"},
        }
        return Reply(201, self._uploads[key])

    def _described(self, request: Exchange) -> Reply:
        name, version = "{owner}/{name}".format_map(request.params), request.params.get("version", "")
        model = self.models.get(name)
        found: object = model
        if version:
            latest = model.get("latest_version") if isinstance(model, Mapping) else None
            kept = latest if isinstance(latest, Mapping) and latest.get("id") == version else None
            found = self.models.get(f"{name}:{version}", kept)
        return _problem(404, "Not found", "There is no such model.") if found is None else Reply(200, found)

    def _file(self, request: Exchange) -> Reply:
        file = self._files.get(request.path)
        if file is None:
            return _problem(404, "Not found", "The file has expired.")
        return file_reply(request, file.data, file.media_type)


@cache
def _rows() -> Mapping[str, Mapping[str, Any]]:
    """The plugin's rows by model."""
    tables = (tomllib.loads(file.read_text("utf-8")) for file in (files("callsheet_replicate") / "models").iterdir())
    return {row["model"]: row for table in tables for row in table["models"]}


def _usual(model: str, asked: Mapping[str, object]) -> Script:
    """What a model makes by its row: a text in pieces, a file, or as many as were asked for."""
    row = _rows().get(model)
    if row is None:
        return Script()
    media_type, several, _ = row["output"].partition("[]")
    if media_type == "text/plain":
        return Script(["The mountain ", "breathes out. ", "Ash falls."], streams=True)
    media_type = _FORMATS.get(str(asked.get(row["inputs"].get("format", ""))), media_type)
    number = asked.get(row["inputs"].get("count", ""), 1)
    made = [Delivery(_MADE[media_type] + bytes([each]), media_type) for each in range(int(str(number)))]
    return Script(made if several else made[0])


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _problem(status: int, title: str, detail: str) -> Reply:
    body = {"title": title, "detail": detail, "status": status}
    return Reply(status, body, {"content-type": "application/problem+json"})
