"""The server: OpenAI's routes over one account, with the key that opens it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from callsheet.testing import Exchange, Fault, Judge, LoopbackServer, Reply
from callsheet_openai.testing.account import Account, Refused, envelope
from callsheet_openai.testing.answers import CREATED, Json
from callsheet_openai.testing.batches import Batches
from callsheet_openai.testing.media_answers import images, speech, transcription
from callsheet_openai.testing.texts import Texts
from callsheet_openai.testing.verdicts import embeddings, moderations
from callsheet_openai.testing.videos import Videos

__all__ = ["KEY", "OpenAIServer", "endpoints", "refusal"]

KEY = "sk-test-4fZq9XbN7wLr2KdV8mTc"
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "respond": ("model",),
    "chat": ("model", "messages"),
    "image": ("prompt",),
    "edit": ("prompt",),
    "speech": ("model", "input", "voice"),
    "transcribe": ("model",),
    "embed": ("model", "input"),
    "moderate": ("input",),
    "upload": ("purpose",),
    "batch": ("input_file_id", "endpoint", "completion_window"),
    "video": ("prompt",),
}


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
    return Fault(status=status, body=envelope(message, kind, code, param), headers=named)


def endpoints(account: Account) -> dict[str, Callable[[Exchange], object]]:
    """What answers the paths that a batch may ask. The answers raise Refused."""
    texts = Texts(account)
    return {
        "/v1/responses": texts.respond,
        "/v1/chat/completions": texts.chat,
        "/v1/embeddings": embeddings,
        "/v1/moderations": moderations,
        "/v1/images/generations": images,
        "/v1/images/edits": images,
        "/v1/videos": Videos(account).created,
    }


class OpenAIServer(LoopbackServer):
    """Start it with `with`; `origin` is its base URL, `key` the key that it takes.

    `account` says how the next jobs go, and has what was stored; `scripted` holds JSON answers by path. Moderation costs
    nothing, and counts as `paid` all the same: it is work that is asked for once. Its routes are `respond response cancel
    chat image edit speech transcribe embed moderate upload file content forget batch batches batch_status cancel_batch video
    video_status clip forget_video models`.
    """

    prefix = "/v1"

    def __init__(self, *, key: str = KEY, judge: Judge | None = None) -> None:
        super().__init__(judge=judge)
        self.key = key
        self.account = Account()
        self.scripted: dict[str, object] = {}
        self._add_answers()
        self._add_jobs()

    @property
    def running(self) -> list[str]:
        """The ids of background responses, batches and videos that have neither ended nor been told to stop."""
        return self.account.running

    def usual_headers(self) -> Mapping[str, str]:
        """The id of the request."""
        return {"x-request-id": f"req_{len(self.journal)}"}

    def answer(self, request: Exchange) -> Reply:
        """What the vendor would say: 401 for another key, 404 for what is not there, 400 for a field that is missing."""
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return Reply(401, envelope("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"))
        self.account.endless, self.account.failing = self.endless, self.failing
        if request.path in self.scripted:
            return Reply(200, self.scripted[request.path])
        try:
            if not request.route:
                raise Refused(404, f"Unknown request URL: {request.method} {request.path}", "unknown_url")
            for name in _NEEDED.get(request.route, ()):
                if name not in request.data:
                    raise Refused(400, f"Missing required parameter: '{name}'.", "missing_required_parameter", name)
            return super().answer(request)
        except Refused as refused:
            return Reply(refused.status, refused.body)

    def _add_answers(self) -> None:
        answering = endpoints(self.account)
        self.route("POST", "/responses", "respond", paid=True)(answering["/v1/responses"])
        self.route("POST", "/chat/completions", "chat", paid=True)(answering["/v1/chat/completions"])
        self.route("POST", "/images/generations", "image", paid=True)(images)
        self.route("POST", "/images/edits", "edit", paid=True)(images)
        self.route("POST", "/audio/speech", "speech", paid=True)(speech)
        self.route("POST", "/audio/transcriptions", "transcribe", paid=True)(transcription)
        self.route("POST", "/embeddings", "embed", paid=True)(embeddings)
        self.route("POST", "/moderations", "moderate", paid=True)(moderations)
        self.route("GET", "/models", "models")(_models)

    def _add_jobs(self) -> None:
        account = self.account
        batches, videos = Batches(account, endpoints(account)), Videos(account)
        self.route("GET", "/responses/{id}", "response")(account.retrieved)
        self.route("POST", "/responses/{id}/cancel", "cancel")(Texts(account).cancelled)
        self.route("POST", "/files", "upload")(batches.uploaded)
        self.route("GET", "/files/{id}", "file")(batches.file)
        self.route("GET", "/files/{id}/content", "content")(batches.content)
        self.route("DELETE", "/files/{id}", "forget")(batches.forgotten)
        self.route("POST", "/batches", "batch", paid=True)(batches.created)
        self.route("GET", "/batches", "batches")(batches.listed)
        self.route("GET", "/batches/{id}", "batch_status")(account.retrieved)
        self.route("POST", "/batches/{id}/cancel", "cancel_batch")(batches.cancelled)
        self.route("POST", "/videos", "video", paid=True)(videos.created)
        self.route("GET", "/videos/{id}", "video_status")(account.retrieved)
        self.route("GET", "/videos/{id}/content", "clip")(videos.content)
        self.route("DELETE", "/videos/{id}", "forget_video")(videos.forgotten)


def _models(_request: Exchange) -> Json:
    head = {"object": "model", "created": CREATED, "owned_by": "openai"}
    return {"object": "list", "data": [{"id": name, **head} for name in ("gpt-5", "gpt-5-mini")]}
