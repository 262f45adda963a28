"""The made-up vendor itself."""

import json
import struct

from callsheet.plugin import ServerSentEvent
from callsheet.testing import LoopbackServer, Reply, event_stream, file_reply


class BrookServer(LoopbackServer):
    """Jobs end with their second poll."""

    prefix = "/v1"

    def __init__(self, *, key="brook-key"):
        super().__init__()
        self.key = key
        self.jobs = {}
        self.names = {}
        self.route("POST", "/answers", paid=True)(lambda request: self.answered(request.json))
        self.route("POST", "/vectors", paid=True)(
            lambda request: {"vectors": [[float(len(text))] for text in request.json["texts"]]}
        )
        self.route("POST", "/stream", paid=True)(self.streamed)
        self.route("POST", "/batches", paid=True)(lambda request: self.started("batch", request.json))
        self.route("POST", "/pictures", paid=True)(lambda request: self.started("picture", request.json))
        for kind in ("batches", "pictures"):
            self.route("GET", f"/{kind}/{{id}}")(self.polled)
            self.route("POST", f"/{kind}/{{id}}/cancel")(self.cancelled)
            self.route("GET", f"/{kind}")(lambda request: {"ids": self.names.get(request.query["name"], [])})
        self.route("POST", "/files")(lambda _: {"id": f"file-{len(self.journal)}"})
        self.route("GET", "/made/{number}")(self.fetched)

    @property
    def running(self):
        """The jobs and batches that have not ended."""
        return [name for name, job in self.jobs.items() if job["state"] == "running"]

    def answer(self, request):
        """401 without the key, 404 for a job that there is not."""
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return Reply(401, {"error": "wrong key"})
        if "id" in request.params and request.params["id"] not in self.jobs:
            return Reply(404, {"error": "no such job"})
        return super().answer(request)

    def answered(self, asked):
        """The last turn again, or JSON."""
        text = f"You said: {asked['turns'][-1]['text']}"
        made = json.dumps({"title": text}) if "schema" in asked else text
        return {"id": f"answer-{len(self.journal)}", "text": made, "tokens": len(text.split())}

    def streamed(self, request):
        """The same in three pieces, and the count."""
        told = self.answered(request.json)
        third = len(told["text"]) // 3
        texts = (told["text"][:third], told["text"][third : 2 * third], told["text"][2 * third :])
        events = [*({"text": text} for text in texts), {"tokens": told["tokens"]}]
        return Reply(200, event_stream([ServerSentEvent(json.dumps(each)) for each in events]))

    def started(self, kind, asked):
        """A job with a name."""
        name = f"{kind}-{len(self.jobs):04}"
        self.jobs[name] = {"state": "running", "asked": asked, "polls": 0}
        self.names.setdefault(asked["name"], []).append(name)
        return {"id": name}

    def polled(self, request):
        """Where it stands."""
        name = request.params["id"]
        job = self.jobs[name]
        job["polls"] += 1
        if job["state"] == "running" and job["polls"] > 1 and not self.endless:
            job["state"] = "failed" if self.failing and name.startswith("picture") else "done"
        told = {"state": job["state"]}
        if job["state"] == "failed":
            told["error"] = "the brook is dry"
        elif job["state"] == "done" and name.startswith("picture"):
            told["files"] = [f"/made/{job['asked']['size']}-{number}" for number in range(job["asked"]["n"])]
        elif job["state"] == "done":
            lines = [{**self.answered(line["body"]), "id": line["id"]} for line in job["asked"]["lines"]]
            if self.failing:
                lines[-1] = {"id": lines[-1]["id"], "error": "refused"}
            told["lines"] = lines[::-1]
        return told

    def cancelled(self, request):
        """What runs is stopped."""
        job = self.jobs[request.params["id"]]
        if job["state"] == "running":
            job["state"] = "stopped"
        return {"state": job["state"]}

    def fetched(self, request):
        """A picture of the asked size that is different for each number."""
        size, _, number = request.params["number"].partition("-")
        head = struct.pack(">8sI4s2I", b"\x89PNG\r\n\x1a\n", 13, b"IHDR", *map(int, size.split("x")))
        return file_reply(request, head + bytes(30) + number.encode(), "image/png")
