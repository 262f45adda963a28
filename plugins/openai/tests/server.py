"""A loopback server that speaks OpenAI's API, judged by the vendor's own document, with faults on request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from openai_counterpart.replies import Refused, Vendored
from openai_counterpart.vendor import vendor

from callsheet.testing import Exchange, Fault, LoopbackServer, Reply

__all__ = ["KEY", "Fault", "Server", "refusal"]

KEY = "sk-test-4fZq9XbN7wLr2KdV8mTc"


def refusal(
    status: int,
    message: str = "It went wrong.",
    *,
    kind: str = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
    **headers: str,
) -> Fault:
    """An answer with the vendor's error envelope; `retry_after="3"` becomes the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(status=status, body=_envelope(message, kind, code, param), headers=named)


class Server(LoopbackServer):
    """Start it with `with`; `origin` is its base URL, `problems` what the document objects to."""

    prefix = "/v1"

    def __init__(self, *, key: str = KEY) -> None:
        super().__init__(judge=self._judged)
        self.key = key
        self.document = vendor()
        self.api = Vendored(self.document)
        self.api.problems = self.problems

    @property
    def paid(self) -> list[Exchange]:
        """The requests that would cost money."""
        return [each for each in self.journal if each.method == "POST" and not each.path.endswith("/cancel")]

    def usual_headers(self) -> Mapping[str, str]:
        """The id of the request."""
        return {"x-request-id": f"req_{len(self.journal)}"}

    def answer(self, request: Exchange) -> Reply:
        """What the vendor would say; 401 without the key."""
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return Reply(401, _envelope("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"))
        try:
            body = self.api.answer(request)
        except Refused as refused:
            return Reply(refused.status, _envelope(refused.message, "invalid_request_error", refused.code))
        return Reply(200, body)

    def _judged(self, exchange: Exchange) -> Iterable[str]:
        method, path = exchange.method, exchange.path
        if exchange.reply is not None:
            self.api.judge_reply(method, path, exchange.status, exchange.reply)
        if exchange.status == 401:
            return []
        problems = self.document.query(method, path, exchange.query)
        if exchange.parts:
            fields = [(part.name, part.filename or part.data.decode()) for part in exchange.parts]
            return problems + self.document.form(method, path, fields)
        return problems + self.document.request(method, path, exchange.json if exchange.body else None)


def _envelope(message: str, kind: str, code: str | None, param: str | None = None) -> dict[str, object]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
