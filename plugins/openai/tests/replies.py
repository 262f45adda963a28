"""What OpenAI answers, operation by operation, with just enough memory: responses, files, batches and videos."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from openai_counterpart.answers import (
    CREATED,
    Answer,
    chat,
    chat_events,
    example,
    response,
    response_events,
)
from openai_counterpart.media import CLIP, picture, sound
from openai_counterpart.vendor import Vendor

from callsheet.plugin import ServerSentEvent
from callsheet.testing import Pieces, event_stream

MODERATED = ("hate", "hate/threatening", "harassment", "harassment/threatening", "illicit", "illicit/violent")
MODERATED += ("self-harm", "self-harm/intent", "self-harm/instructions", "sexual", "sexual/minors")
MODERATED += ("violence", "violence/graphic")
SEEN_IN_PICTURES = {"self-harm", "self-harm/intent", "self-harm/instructions", "sexual", "violence", "violence/graphic"}
HEARD = "The mountain breathes out."


class Refused(Exception):
    """The vendor refuses this request."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class Vendored:
    """The vendor's side. Put an `Answer` into `answers` for what the next text calls give.

    `polls` is how often a background response, a batch or a video is asked for before it is done; `failing` (code,
    message) lets the next video or background response fail; `fates` says by line number (from 0) what a batch does
    with an item: `failed`, `expired`, `cancelled` or `missing`; `ending` is the batch's last status; `done` is how many
    items are over when a batch is cancelled.
    """

    def __init__(self, judge: Vendor) -> None:
        self.judge = judge
        self.problems: list[str] = []
        self.answers: list[Answer] = []
        self.polls = 1
        self.failing: tuple[str, str] | None = None
        self.fates: dict[int, str] = {}
        self.ending = "completed"
        self.done = 0
        self.scripted: dict[str, object] = {}
        self.stored: dict[str, dict] = {}
        self.files: dict[str, tuple[dict, bytes]] = {}
        self._asked: dict[str, int] = {}
        self._pending: dict[str, Callable[[], dict]] = {}

    def judge_reply(self, method: str, path: str, status: int, body: object) -> None:
        """Our own replies are held to the document too."""
        self.problems.extend(self.judge.reply(method, path, status, body))

    def answer(self, request) -> object:
        """JSON, bytes or Pieces. Raises Refused."""
        if request.path in self.scripted:
            return self.scripted[request.path]
        for method, pattern, answered in self._routes():
            found = re.fullmatch(pattern, request.path)
            if method == request.method and found:
                return answered(request, *found.groups())
        raise Refused(404, f"Unknown request URL: {request.method} {request.path}", "unknown_url")

    def _routes(self) -> tuple[tuple[str, str, Callable], ...]:
        return (
            ("POST", "/responses", self._respond),
            ("GET", "/responses/([^/]+)", self._retrieve),
            ("POST", "/responses/([^/]+)/cancel", self._cancel_response),
            ("POST", "/chat/completions", self._chat),
            ("POST", "/images/(generations|edits)", self._images),
            ("POST", "/audio/speech", self._speech),
            ("POST", "/audio/transcriptions", self._transcription),
            ("POST", "/embeddings", self._embeddings),
            ("POST", "/moderations", self._moderations),
            ("POST", "/files", self._upload),
            ("GET", "/files/([^/]+)/content", self._file_content),
            ("GET", "/files/([^/]+)", lambda _request, file: self._file(file)[0]),
            ("DELETE", "/files/([^/]+)", self._forget_file),
            ("POST", "/batches", self._batch),
            ("GET", "/batches", self._batches),
            ("GET", "/batches/([^/]+)", self._retrieve),
            ("POST", "/batches/([^/]+)/cancel", self._cancel_batch),
            ("POST", "/videos", self._video),
            ("GET", "/videos/([^/]+)/content", self._video_content),
            ("GET", "/videos/([^/]+)", self._retrieve),
            ("DELETE", "/videos/([^/]+)", self._forget_video),
            ("GET", "/models", self._models),
        )

    def _new(self, kind: str) -> str:
        return f"{kind}_{len(self.stored) + len(self.files) + 1:04}"

    def _next_answer(self, asked: Mapping) -> Answer:
        if self.answers:
            return self.answers.pop(0)
        form = (asked.get("text") or {}).get("format") or asked.get("response_format") or {}
        if form.get("type") == "json_schema":
            return Answer(json.dumps(example(form.get("json_schema", form)["schema"])))
        return Answer('{"answer": "lava"}') if form.get("type") == "json_object" else Answer()

    def _events(self, request, events: Sequence[Mapping], *, named: bool = True, done: bool = False) -> Pieces:
        for event in events:
            self.problems.extend(self.judge.event(request.method, request.path, event))
        told = [ServerSentEvent(json.dumps(event), event["type"] if named else "") for event in events]
        return event_stream([*told, *([ServerSentEvent("[DONE]")] if done else [])])

    def _respond(self, request) -> object:
        asked = request.data
        answer = replace(self._next_answer(asked), id=self._new("resp"))
        if self.failing and asked.get("background"):
            answer, self.failing = replace(answer, failed=self.failing), None
        self.stored[answer.id] = response(answer, asked, "queued" if asked.get("background") else "completed")
        if asked.get("stream"):
            return self._events(request, response_events(answer, asked))
        if asked.get("background"):
            self._pending[answer.id] = lambda: response(answer, asked)
        return self.stored[answer.id]

    def _retrieve(self, _request, job: str) -> dict:
        """What is stored; after `polls` looks, what has become of it."""
        if job not in self.stored:
            raise Refused(404, f"No object with id '{job}' found.")
        if job in self._pending:
            self._asked[job] = self._asked.get(job, 0) + 1
            if self._asked[job] > self.polls:
                self.stored[job] = self._pending.pop(job)()
            else:
                self.stored[job] = {**self.stored[job], "status": "in_progress"}
        return self.stored[job]

    def _cancel_response(self, _request, job: str) -> dict:
        if job not in self.stored:
            raise Refused(404, f"Response with id '{job}' not found.")
        if not self.stored[job].get("background"):
            raise Refused(400, "Cannot cancel a synchronous response.")
        if self._pending.pop(job, None):
            self.stored[job] = {**self.stored[job], "status": "cancelled"}
        return self.stored[job]

    def _chat(self, request) -> object:
        answer = replace(self._next_answer(request.data), id=self._new("resp"))
        if request.data.get("stream"):
            return self._events(request, chat_events(answer, request.data), named=False, done=True)
        return chat(answer, request.data)

    def _images(self, request, what: str) -> object:
        asked = request.data
        size = str(asked.get("size") or "auto")
        known = size if size in ("1024x1024", "1024x1536", "1536x1024") else "1024x1024"
        width, height = map(int, (known if size == "auto" else size).split("x"))
        form = str(asked.get("output_format") or "png")
        made = [
            base64.b64encode(picture(width, height, form, shade)).decode() for shade in range(int(asked.get("n") or 1))
        ]
        details = {"text_tokens": 12, "image_tokens": 0}
        usage = {"input_tokens": 12, "output_tokens": 272, "total_tokens": 284, "input_tokens_details": details}
        if asked.get("stream") in (True, "true"):
            kind = "image_generation" if what == "generations" else "image_edit"
            head = {
                "created_at": CREATED,
                "size": known,
                "quality": "low",
                "background": "opaque",
                "output_format": form,
            }
            partial = [
                {"type": f"{kind}.partial_image", "b64_json": made[0], "partial_image_index": index, **head}
                for index in range(int(asked.get("partial_images") or 0))
            ]
            last = {"type": f"{kind}.completed", "b64_json": made[0], "usage": usage, **head}
            return self._events(request, [*partial, last])
        revised = {"revised_prompt": "A volcano."} if "dall-e-3" in str(asked.get("model")) else {}
        return {"created": CREATED, "data": [{"b64_json": each, **revised} for each in made], "usage": usage}

    def _speech(self, request) -> Pieces:
        data, media_type = sound(str(request.data.get("response_format") or "mp3"), len(request.data["input"]))
        size = max(1, len(data) // 8)
        return Pieces([data[at : at + size] for at in range(0, len(data), size)], media_type)

    def _transcription(self, request) -> object:
        form, asked = request.form.get("response_format", "json"), request.parts
        times = {part.data.decode() for part in asked if part.name.startswith("timestamp_granularities")}
        if request.form.get("stream") == "true":
            deltas = [{"type": "transcript.text.delta", "delta": word + " "} for word in HEARD.split()]
            return self._events(request, [*deltas, {"type": "transcript.text.done", "text": HEARD}])
        spans = [(number * 0.4, number * 0.4 + 0.4, word) for number, word in enumerate(HEARD.split())]
        seconds = {"usage": {"type": "duration", "seconds": 2}}
        head = {"text": HEARD, "duration": 1.6}
        if form == "diarized_json":
            person = {"type": "transcript.text.segment", "id": "seg_1", "start": 0.0, "end": 1.6, "speaker": "A"}
            return {"task": "transcribe", **head, "segments": [{**person, "text": HEARD}], **seconds}
        if form == "verbose_json":
            counted = {"temperature": 0.0, "avg_logprob": -0.2, "compression_ratio": 1.0, "no_speech_prob": 0.01}
            segment = {"id": 0, "seek": 0, "start": 0.0, "end": 1.6, "text": HEARD, "tokens": [1, 2], **counted}
            words = [{"word": word, "start": start, "end": end} for start, end, word in spans]
            more = {"words": words} if "word" in times else {"segments": [segment]}
            return {"language": "english", **head, **more, **seconds}
        if form in ("text", "srt", "vtt"):
            return Pieces([HEARD.encode()], "text/plain")
        tokens = {"type": "tokens", "input_tokens": 14, "output_tokens": 9, "total_tokens": 23}
        return {"text": HEARD, "usage": tokens}

    def _embeddings(self, request) -> dict:
        asked = request.data
        texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        size = asked.get("dimensions") or 1536
        data = []
        for index, text in enumerate(texts):
            floats = [((len(text) + at) % 7) / 8 for at in range(size)]
            packed = base64.b64encode(struct.pack(f"<{size}f", *floats)).decode()
            vector = packed if asked.get("encoding_format") == "base64" else floats
            data.append({"object": "embedding", "index": index, "embedding": vector})
        usage = {"prompt_tokens": 3 * len(texts), "total_tokens": 3 * len(texts)}
        return {"object": "list", "data": data, "model": asked["model"], "usage": usage}

    def _moderations(self, request) -> dict:
        asked = request.data["input"]
        parts = asked if isinstance(asked, list) and isinstance(asked[0], dict) else None
        results = []
        for text in [asked] if parts is not None or isinstance(asked, str) else asked:
            bad = "kill" in json.dumps(text)
            hit = {name: bad and name == "violence" for name in MODERATED}
            kinds = {part["type"].removesuffix("_url") for part in parts} if parts else {"text"}
            applied = {n: sorted(kinds if n in SEEN_IN_PICTURES else kinds & {"text"}) for n in MODERATED}
            scores = {name: 0.9 if hit[name] else 0.001 for name in MODERATED}
            judged = {"flagged": bad, "categories": hit, "category_scores": scores}
            results.append({**judged, "category_applied_input_types": applied})
        return {"id": "modr_1", "model": request.data.get("model", "omni-moderation-latest"), "results": results}

    def _keep_file(self, name: str, purpose: str, data: bytes) -> dict:
        head = {"id": self._new("file"), "object": "file", "bytes": len(data), "created_at": CREATED}
        self.files[head["id"]] = ({**head, "filename": name, "purpose": purpose, "status": "processed"}, data)
        return self.files[head["id"]][0]

    def _file(self, job: str) -> tuple[dict, bytes]:
        if job not in self.files:
            raise Refused(404, f"No such File object: {job}")
        return self.files[job]

    def _upload(self, request) -> dict:
        sent = next(part for part in request.parts if part.filename)
        return self._keep_file(sent.filename, request.form["purpose"], sent.data)

    def _file_content(self, _request, job: str) -> Pieces:
        data = self._file(job)[1]
        return Pieces([data[at : at + 700] for at in range(0, len(data), 700)], "application/octet-stream")

    def _forget_file(self, _request, job: str) -> dict:
        self._file(job)
        del self.files[job]
        return {"id": job, "object": "file", "deleted": True}

    def _batch(self, request) -> dict:
        asked = request.data
        lines = self._lines(asked)
        for line in lines:
            self._judge_line(line, asked["endpoint"])
        counts = {"total": len(lines), "completed": 0, "failed": 0}
        copied = {
            name: asked[name]
            for name in ("endpoint", "input_file_id", "completion_window", "metadata")
            if name in asked
        }
        batch = {"id": self._new("batch"), "object": "batch", "status": "validating", "created_at": CREATED}
        batch = {**batch, **copied, "request_counts": counts}
        self.stored[batch["id"]] = batch
        self._pending[batch["id"]] = lambda: self._done(self.stored[batch["id"]], lines, self.fates, self.ending)
        return batch

    def _lines(self, batch: Mapping) -> list[dict]:
        return [json.loads(line) for line in self._file(batch["input_file_id"])[1].splitlines() if line]

    def _judge_line(self, line: Mapping, endpoint: str) -> None:
        if line.keys() != {"custom_id", "method", "url", "body"} or (line["method"], line["url"]) != ("POST", endpoint):
            self.problems.append(f"a line of the batch is no request to {endpoint}: {sorted(line)} {line.get('url')}")
        self.problems.extend(self.judge.request("POST", endpoint.removeprefix("/v1"), line["body"]))

    def _done(self, batch: dict, lines: Sequence[Mapping], fates: Mapping[int, str], ending: str) -> dict:
        """The batch at its end, with its files: output for what went well, errors for the rest."""
        if ending == "failed":
            problem = {"code": "invalid_json_line", "message": "This line is not parseable.", "param": None, "line": 1}
            return {**batch, "status": "failed", "errors": {"object": "list", "data": [problem]}}
        good, bad = [], []
        for number, line in enumerate(lines):
            fate = fates.get(number, "")
            said = {"id": f"batch_req_{number}", "custom_id": line["custom_id"], "response": None, "error": None}
            if fate in ("expired", "cancelled"):
                error = {
                    "code": f"batch_{fate}",
                    "message": f"This request could not be executed before the batch was {fate}.",
                }
                bad.append({**said, "error": error})
            elif fate == "failed":
                error = {
                    "message": "Rejected.",
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "invalid_prompt",
                }
                bad.append({**said, "response": {"status_code": 400, "request_id": "req_x", "body": {"error": error}}})
            elif fate != "missing":
                body = self.answer(_Line("POST", line["url"].removeprefix("/v1"), line["body"]))
                good.append({**said, "response": {"status_code": 200, "request_id": f"req_{number}", "body": body}})
        counts = {"total": len(lines), "completed": len(good), "failed": len(lines) - len(good)}
        made = {**batch, "status": ending, "request_counts": counts}
        for name, kept in (("output_file_id", good), ("error_file_id", bad)):
            if kept:
                text = "".join(json.dumps(each) + "\n" for each in kept)
                made[name] = self._keep_file(f"{name}.jsonl", "batch_output", text.encode())["id"]
        return made

    def _batches(self, request) -> dict:
        known = [each for each in reversed(self.stored.values()) if each["object"] == "batch"]
        after = request.query.get("after")
        start = next((at + 1 for at, each in enumerate(known) if each["id"] == after), 0)
        page = known[start : start + int(request.query.get("limit", "20"))]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
        return {"object": "list", "data": page, "has_more": start + len(page) < len(known), **ends}

    def _cancel_batch(self, _request, job: str) -> dict:
        if job not in self.stored:
            raise Refused(404, f"No batch found with id '{job}'.")
        if self._pending.pop(job, None) is None:
            raise Refused(400, f"Cannot cancel a batch with status '{self.stored[job]['status']}'.")
        lines = self._lines(self.stored[job])
        undone = dict.fromkeys(range(self.done, len(lines)), "cancelled")
        counts = {**self.stored[job]["request_counts"], "completed": self.done}
        self._pending[job] = lambda: self._done(self.stored[job], lines, undone, "cancelled")
        self.stored[job] = {**self.stored[job], "status": "cancelling", "request_counts": counts}
        return self.stored[job]

    def _video(self, request) -> dict:
        asked, job = request.data, self._new("video")
        blank = {"completed_at": None, "expires_at": None, "remixed_from_video_id": None, "error": None}
        wishes = {"seconds": asked.get("seconds", "4"), "size": asked.get("size", "720x1280")}
        head = {"id": job, "object": "video", "model": asked.get("model", "sora-2"), "prompt": asked["prompt"]}
        self.stored[job] = {**head, **wishes, **blank, "status": "queued", "progress": 0, "created_at": CREATED}
        ended: dict[str, object] = {"status": "completed", "progress": 100, "completed_at": CREATED + 9}
        if self.failing:
            ended = {"status": "failed", "error": dict(zip(("code", "message"), self.failing, strict=True))}
            self.failing = None
        self._pending[job] = lambda: {**self.stored[job], **ended}
        return self.stored[job]

    def _video_content(self, _request, job: str) -> Pieces:
        if self.stored.get(job, {}).get("status") != "completed":
            raise Refused(404, f"Video {job} is not ready.")
        return Pieces([CLIP[:40], CLIP[40:]], "video/mp4")

    def _forget_video(self, _request, job: str) -> dict:
        if self.stored.pop(job, None) is None:
            raise Refused(404, f"Video {job} not found.")
        return {"id": job, "object": "video.deleted", "deleted": True}

    def _models(self, _request) -> dict:
        head = {"object": "model", "created": CREATED, "owned_by": "openai"}
        return {"object": "list", "data": [{"id": name, **head} for name in ("gpt-5", "gpt-5-mini")]}


@dataclass(frozen=True)
class _Line:
    """One line of a batch, as a request."""

    method: str
    path: str
    data: Mapping
