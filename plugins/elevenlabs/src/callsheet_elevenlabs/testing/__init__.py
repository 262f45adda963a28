"""A server on this machine that plays ElevenLabs, for tests: point `ELEVENLABS_BASE_URL` (or the base URL setting) at it.

with Server() as server:
    server.fail(refusal(429, "system_busy"))
    ...  # calls of the plugin, with the key `server.key` and the base URL `server.origin`
    assert server.paid[0].json["text"] == "Hello."
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from callsheet.testing import Exchange, Fault, Judge, LoopbackServer, Reply
from callsheet_elevenlabs.testing.answers import VOICES, Account, Voice, refused

__all__ = ["KEY", "Exchange", "Fault", "Server", "Voice", "refusal"]

KEY = "el-test-7hQd2mVx9LkR4sWb"


def refusal(status: int, code: str, message: str = "It went wrong.", **headers: str) -> Fault:
    """An answer with the vendor's error envelope; `retry_after="3"` becomes the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(status=status, body=refused(status, code, message).body, headers=named)


class Server(LoopbackServer):
    """Start it with `with`. `scripted` holds JSON answers by path. Its routes are `voices speech dialogue sound music text`."""

    def __init__(self, *, key: str = KEY, voices: Sequence[Voice] = VOICES, judge: Judge | None = None) -> None:
        super().__init__(judge=judge)
        self.key = key
        self.scripted: dict[str, object] = {}
        account = Account(voices)
        self.route("GET", "/v2/voices", "voices")(account.listed)
        self.route("POST", "/v1/text-to-speech/{voice}", "speech", paid=True)(account.speech)
        self.route("POST", "/v1/text-to-speech/{voice}/{kind}", "speech", paid=True)(account.speech)
        self.route("POST", "/v1/text-to-dialogue", "dialogue", paid=True)(account.dialogue)
        self.route("POST", "/v1/text-to-dialogue/stream", "dialogue", paid=True)(account.dialogue)
        self.route("POST", "/v1/sound-generation", "sound", paid=True)(account.sound)
        self.route("POST", "/v1/music", "music", paid=True)(account.music)
        self.route("POST", "/v1/speech-to-text", "text", paid=True)(account.text)

    @property
    def seen(self) -> list[Exchange]:
        """All that arrived."""
        return self.journal

    def usual_headers(self) -> Mapping[str, str]:
        """The id of the request."""
        return {"request-id": f"request-{len(self.journal)}"}

    def answer(self, request: Exchange) -> Reply:
        """What the vendor would say; 401 without the key."""
        if request.headers.get("xi-api-key") != self.key:
            return refused(401, "invalid_api_key", "Invalid API key")
        if request.path in self.scripted:
            return Reply(200, self.scripted[request.path])
        return super().answer(request) if request.route else Reply(404, {"detail": "Not Found"})
