"""The plugin's counterpart of OpenAI, judged by the vendor's own document."""

from __future__ import annotations

import json
from collections.abc import Iterable

from openai_counterpart.vendor import vendor

from callsheet.testing import Exchange, Pieces, Reply
from callsheet_openai.testing import OpenAIServer

__all__ = ["Server"]


class Server(OpenAIServer):
    """`problems` has what the document objects to: in requests, replies, events, and the lines of batches.

    `judges_replies` is for tests that script an odd one.
    """

    def __init__(self, **more: str) -> None:
        super().__init__(judge=self._judged, **more)
        self.document = vendor()
        self.judges_replies = True

    def answer(self, request: Exchange) -> Reply:
        """The counterpart's answer; what is sent in pieces is judged here, because the journal does not have it."""
        reply = super().answer(request)
        if isinstance(reply.body, Pieces) and reply.body.media_type == "text/event-stream":
            events = [piece.split(b"data: ", 1)[1] for piece in reply.body.pieces]
            for event in events:
                if event.strip() != b"[DONE]":
                    self.problems += self.document.event(request.method, request.path, json.loads(event))
        if request.route == "batch" and request.json.get("input_file_id") in self.account.files:
            for line in self.account.file(request.json["input_file_id"])[1].splitlines():
                self.problems += self._line(json.loads(line), request.json["endpoint"])
        return reply

    def _line(self, line: dict, endpoint: str) -> Iterable[str]:
        if line.keys() != {"custom_id", "method", "url", "body"} or (line["method"], line["url"]) != ("POST", endpoint):
            return [f"a line of the batch is no request to {endpoint}: {sorted(line)} {line.get('url')}"]
        return self.document.request("POST", endpoint.removeprefix("/v1"), line["body"])

    def _judged(self, exchange: Exchange) -> Iterable[str]:
        method, path = exchange.method, exchange.path
        problems: list[str] = []
        if exchange.reply is not None and self.judges_replies:
            problems += self.document.reply(method, path, exchange.status, exchange.reply)
        if exchange.status == 401:
            return problems
        problems += self.document.query(method, path, exchange.query)
        if exchange.parts:
            fields = [(part.name, part.filename or part.data.decode()) for part in exchange.parts]
            return problems + self.document.form(method, path, fields)
        return problems + self.document.request(method, path, exchange.json if exchange.body else None)
