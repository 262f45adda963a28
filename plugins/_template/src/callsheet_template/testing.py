"""A server on this machine that plays the vendor, for tests: `with TemplateServer() as server: …`."""

from __future__ import annotations

# [job]
import io
import time
import wave
from typing import Any

# [/job]
from callsheet.testing import Exchange, Judge, LoopbackServer, Reply

__all__ = ["KEY", "TemplateServer"]

KEY = "template-test-key-5d1f"


class TemplateServer(LoopbackServer):
    """Its routes are `answer submit find poll abort file`; every request needs the key."""

    prefix = "/v1"
    # [job]
    poll_after = 1.0
    # [/job]

    def __init__(self, *, key: str = KEY, judge: Judge | None = None) -> None:
        super().__init__(judge=judge)
        self.key = key
        # [answer]
        self.route("POST", "/answers", "answer", paid=True)(self._prompted)
        # [/answer]
        # [job]
        self.jobs: dict[str, dict[str, Any]] = {}
        self.route("POST", "/jobs", "submit", paid=True)(self._submitted)
        self.route("GET", "/jobs", "find")(self._found)
        self.route("GET", "/jobs/{id}", "poll")(self._polled)
        self.route("DELETE", "/jobs/{id}", "abort")(self._aborted)
        self.route("GET", "/files/{id}", "file")(self._file)
        # [/job]

    def answer(self, request: Exchange) -> Reply:
        """401 without the key."""
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return _refused(401, "bad_key", "This key is not known.")
        return super().answer(request)

    # [answer]
    def _prompted(self, request: Exchange) -> object:
        text = f"About {request.json['prompt']}: it is so."
        usage = {"input_tokens": len(request.json["prompt"].split()), "output_tokens": len(text.split())}
        return {"id": f"answer-{len(self.journal)}", "text": text, "finish": "stop", "usage": usage}

    # [/answer]
    # [job]
    @property
    def running(self) -> list[str]:
        """The jobs that cost money now."""
        return [name for name, job in self.jobs.items() if job["status"] in ("queued", "running")]

    def _submitted(self, request: Exchange) -> Reply:
        name = f"job-{len(self.jobs) + 1}"
        self.jobs[name] = {"id": name, "status": "queued", "created": time.time(), "asked": request.json}
        return Reply(201, self.jobs[name])

    def _found(self, request: Exchange) -> object:
        wanted = request.query["reference"]
        return {"jobs": [job for job in self.jobs.values() if job["asked"].get("reference") == wanted]}

    def _polled(self, request: Exchange) -> object:
        job = self.jobs.get(request.params["id"])
        if job is None:
            return _refused(404, "no_such_job", "There is no such job.")
        if job["status"] == "queued":
            job["status"] = "running"
        elif job["status"] == "running" and self.failing:
            job |= {"status": "failed", "error": {"code": "broken", "message": "The machine broke down."}}
        elif job["status"] == "running" and not self.endless:
            job |= {"status": "succeeded", "result": {"url": f"{self.origin}/files/{job['id']}"}}
        return dict(job)

    def _aborted(self, request: Exchange) -> object:
        job = self.jobs.get(request.params["id"])
        if job is None:
            return _refused(404, "no_such_job", "There is no such job.")
        if job["id"] in self.running:
            job["status"] = "cancelled"
        return dict(job)

    def _file(self, request: Exchange) -> Reply:
        asked = self.jobs[request.params["id"]]["asked"]
        return Reply(200, silence(asked["seconds"]), {"content-type": "audio/wav"})

    # [/job]


# [job]
def silence(seconds: float) -> bytes:
    """A WAV file of this length."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(b"\0\0" * round(8000 * seconds))
    return file.getvalue()


# [/job]
def _refused(status: int, code: str, message: str) -> Reply:
    return Reply(status, {"error": {"code": code, "message": message}})
