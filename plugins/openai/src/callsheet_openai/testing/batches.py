"""Files, and batches of them: the lines of a file are carried out by what answers the endpoint itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from callsheet.testing import Exchange, Pieces
from callsheet_openai.testing.account import Account, Refused, envelope
from callsheet_openai.testing.answers import CREATED, Json

__all__ = ["Batches"]

_PIECE = 700
_COPIED = ("endpoint", "input_file_id", "completion_window", "metadata")


class Batches:
    """The files and batches of an account; `endpoints` by path (`/v1/…`) are what a batch may ask."""

    def __init__(self, account: Account, endpoints: Mapping[str, Callable[[Exchange], object]]) -> None:
        self._account = account
        self._endpoints = endpoints

    def uploaded(self, request: Exchange) -> Json:
        """A new file."""
        sent = next(part for part in request.parts if part.filename)
        return self._account.keep(sent.filename, request.form["purpose"], sent.data)

    def file(self, request: Exchange) -> Json:
        """What is known of a file. Raises Refused."""
        return self._account.file(request.params["id"])[0]

    def content(self, request: Exchange) -> Pieces:
        """The bytes of a file. Raises Refused."""
        data = self._account.file(request.params["id"])[1]
        return Pieces([data[at : at + _PIECE] for at in range(0, len(data), _PIECE)])

    def forgotten(self, request: Exchange) -> Json:
        """A file is deleted. Raises Refused."""
        key = request.params["id"]
        self._account.file(key)
        del self._account.files[key]
        return {"id": key, "object": "file", "deleted": True}

    def created(self, request: Exchange) -> Json:
        """A new batch. Raises Refused for an endpoint that takes none, and for a file that is not there."""
        asked = request.data
        if asked["endpoint"] not in self._endpoints:
            raise Refused(400, f"Invalid value: '{asked['endpoint']}'.", "invalid_value", "endpoint")
        counts = {"total": len(self._lines(asked)), "completed": 0, "failed": 0}
        job = self._account.new("batch")
        head = {"id": job, "object": "batch", "status": "validating", "created_at": CREATED}
        copied = {name: asked[name] for name in _COPIED if name in asked}
        last = {counts["total"] - 1: "failed"} if self._account.failing else None
        begun = {**head, **copied, "request_counts": counts}
        return self._account.start(begun, lambda: self._ended(job, last or self._account.fates, self._account.ending))

    def listed(self, request: Exchange) -> Json:
        """A page of the batches, newest first."""
        known = [each for each in reversed(self._account.stored.values()) if each["object"] == "batch"]
        after = request.query.get("after")
        start = next((at + 1 for at, each in enumerate(known) if each["id"] == after), 0)
        page = known[start : start + int(request.query.get("limit", "20"))]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
        return {"object": "list", "data": page, "has_more": start + len(page) < len(known), **ends}

    def cancelled(self, request: Exchange) -> Json:
        """A batch is told to stop. Raises Refused for one that is over."""
        job = request.params["id"]
        batch = self._account.find(job)
        done = self._account.done
        undone = dict.fromkeys(range(done, batch["request_counts"]["total"]), "cancelled")
        if not self._account.stop(job, lambda: self._ended(job, undone, "cancelled")):
            raise Refused(400, f"Cannot cancel a batch with status '{batch['status']}'.")
        counts = {**batch["request_counts"], "completed": done}
        self._account.stored[job] = {**batch, "status": "cancelling", "request_counts": counts}
        return self._account.stored[job]

    def _lines(self, batch: Mapping[str, Any]) -> list[Json]:
        return [json.loads(line) for line in self._account.file(batch["input_file_id"])[1].splitlines() if line]

    def _ended(self, job: str, fates: Mapping[int, str], ending: str) -> Json:
        """The batch at its end, with its files: output for what went well, errors for the rest."""
        batch = self._account.find(job)
        if ending == "failed":
            problem = {"code": "invalid_json_line", "message": "This line is not parseable.", "param": None, "line": 1}
            return {**batch, "status": "failed", "errors": {"object": "list", "data": [problem]}}
        good: list[Json] = []
        bad: list[Json] = []
        for number, line in enumerate(self._lines(batch)):
            fate = fates.get(number, "")
            if fate == "missing":
                continue
            said = {"id": f"batch_req_{number}", "custom_id": line["custom_id"], "response": None, "error": None}
            if fate in ("expired", "cancelled"):
                text = f"This request could not be executed before the batch was {fate}."
                bad.append({**said, "error": {"code": f"batch_{fate}", "message": text}})
                continue
            status, body = self._carried_out(line, fate)
            answer = {"status_code": status, "request_id": f"req_{number}", "body": body}
            (good if status == 200 else bad).append({**said, "response": answer})
        counts = {"total": batch["request_counts"]["total"], "completed": len(good)}
        counts["failed"] = counts["total"] - len(good)
        made = {**batch, "status": ending, "request_counts": counts}
        for name, kept in (("output_file_id", good), ("error_file_id", bad)):
            if kept:
                text = "".join(json.dumps(each) + "\n" for each in kept)
                made[name] = self._account.keep(f"{name}.jsonl", "batch_output", text.encode())["id"]
        return made

    def _carried_out(self, line: Json, fate: str) -> tuple[int, object]:
        if fate == "failed":
            return 400, envelope("Rejected.", "invalid_request_error", "invalid_prompt")
        path = str(line["url"]).removeprefix("/v1")
        try:
            body = json.dumps(line["body"]).encode()
            return 200, self._endpoints[line["url"]](Exchange(line["method"], path, {}, {}, body))
        except Refused as refused:
            return refused.status, refused.body
