"""A server on this machine that plays the vendor."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

from callsheet.plugin import ServerSentEvent
from callsheet.testing import Exchange, LoopbackServer, Reply, event_stream

__all__ = ["StudioServer"]


class StudioServer(LoopbackServer):
    """Its routes are `chat picture file upload embed batch batches poll answers abort`; every request needs the key."""

    def __init__(self, *, key: str = "studio-test-key-9b21") -> None:
        super().__init__()
        self.key = key
        self.batches: dict[str, dict[str, Any]] = {}
        self.route("POST", "/chat", "chat", paid=True)(self._chatted)
        self.route("POST", "/pictures", "picture", paid=True)(self._painted)
        self.route("GET", "/pictures/{shade}/{size}", "file")(self._picture)
        self.route("POST", "/vectors", "embed", paid=True)(self._embedded)
        self.route("POST", "/files", "upload")(self._uploaded)
        self.route("POST", "/batches", "batch", paid=True)(self._begun)
        self.route("GET", "/batches", "batches")(self._listed)
        self.route("GET", "/batches/{id}", "poll")(self._polled)
        self.route("GET", "/batches/{id}/answers", "answers")(self._answers)
        self.route("DELETE", "/batches/{id}", "abort")(self._stopped)

    @property
    def running(self) -> list[str]:
        """The batches that cost money now."""
        return [name for name, batch in self.batches.items() if batch["status"] == "running"]

    def answer(self, request: Exchange) -> Reply:
        """401 without the key, 404 for a batch that is not there."""
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return _refused(401, "This key is not known.")
        if request.params.get("id", "") not in (*self.batches, ""):
            return _refused(404, "There is no such batch.")
        return super().answer(request)

    def _chatted(self, request: Exchange) -> object:
        whole = _said(request.json)
        if not request.json.get("stream"):
            return whole
        pieces = [{"text": f"{word} "} for word in whole["text"].split(" ")]
        pieces[-1] = {"text": pieces[-1]["text"].removesuffix(" ")}
        last = {"done": True, "usage": whole["usage"]}
        return event_stream([ServerSentEvent(json.dumps(each)) for each in (*pieces, last)])

    def _painted(self, request: Exchange) -> object:
        size = request.json.get("size", "64x64")
        shades = range(1, request.json["number"] + 1)
        return {"pictures": [{"url": f"{self.origin}/pictures/{9 - shade}/{size}"} for shade in shades]}

    def _picture(self, request: Exchange) -> Reply:
        picture = _png(int(request.params["shade"]), request.params["size"])
        return Reply(200, picture, {"content-type": "image/png"})

    def _embedded(self, request: Exchange) -> object:
        made = [{"index": at, "vector": [len(text), text.count("a")]} for at, text in enumerate(request.json["texts"])]
        return {"vectors": made[::-1]}

    def _uploaded(self, request: Exchange) -> object:
        return {"id": f"file-{len(self.asked('upload')) + 1}"}

    def _begun(self, request: Exchange) -> Reply:
        name = f"batch-{len(self.batches) + 1:04}"
        self.batches[name] = {"id": name, "status": "running", "polls": 0, **request.json}
        return Reply(201, self._shown(name))

    def _listed(self, request: Exchange) -> object:
        return {"batches": [self._shown(name) for name in reversed(self.batches)]}

    def _polled(self, request: Exchange) -> object:
        batch = self.batches[request.params["id"]]
        batch["polls"] += 1
        if batch["status"] == "running" and batch["polls"] > 1 and not self.endless:
            batch["status"] = "ended"
        return self._shown(batch["id"])

    def _answers(self, request: Exchange) -> object:
        calls = self.batches[request.params["id"]]["calls"]
        told: list[dict[str, Any]] = [{"id": call["id"], "answer": _said(call["body"])} for call in calls]
        if self.failing:
            told[-1] = {"id": calls[-1]["id"], "error": {"message": "This prompt is not allowed."}}
        return {"answers": told[::-1]}

    def _stopped(self, request: Exchange) -> object:
        batch = self.batches[request.params["id"]]
        if batch["status"] == "running":
            batch["status"] = "cancelled"
        return self._shown(batch["id"])

    def _shown(self, name: str) -> dict[str, str]:
        batch = self.batches[name]
        return {"id": name, "status": batch["status"], "reference": batch["reference"]}


def _said(asked: dict[str, Any]) -> dict[str, Any]:
    """An answer, as JSON where a schema was given."""
    last = asked["turns"][-1]["text"]
    text = '{"title": "Lava"}' if asked.get("schema") else f"About {last} it is so."
    return {"text": text, "usage": {"input_tokens": len(last.split()), "output_tokens": len(text.split())}}


def _png(shade: int, size: str) -> bytes:
    """A picture of one grey (PNG specification, 11.2)."""
    width, height = (int(each) for each in size.split("x"))
    head, data = (
        struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0),
        zlib.compress(bytes([0] + [shade] * width) * height),
    )
    parts = ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    written = [
        struct.pack(">I", len(each)) + name + each + struct.pack(">I", zlib.crc32(name + each)) for name, each in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def _refused(status: int, message: str) -> Reply:
    return Reply(status, {"error": {"code": "refused", "message": message}})
