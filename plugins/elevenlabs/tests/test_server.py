"""The loopback server: what it plays, and that it needs nothing of callsheet."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from callsheet_elevenlabs.testing import KEY, Fault, Server, refusal


def ask(server: Server, path: str, body: bytes | None = None, key: str = KEY) -> tuple[int, bytes]:
    """One request by the standard library."""
    headers = {"xi-api-key": key, "content-type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(server.origin + path, body, headers), timeout=10) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_it_plays_the_vendor():
    """Voices, sounds, refusals; the journal has them all, and what costs money apart."""
    with Server() as server:
        assert ask(server, "/v2/voices")[0] == 200
        status, sound = ask(server, "/v1/sound-generation", b'{"text": "a"}')
        assert (status, sound[:2]) == (200, b"\xff\xfb")
        assert ask(server, "/v2/voices", key="another")[0] == 401
        assert ask(server, "/v1/nowhere", b"{}")[0] == 404
        assert ask(server, "/v1/nowhere")[0] == 404
        dialogue = b'{"inputs": [{"text": "a", "voice_id": "nobody"}]}'
        assert b"voice_not_found" in ask(server, "/v1/text-to-dialogue", dialogue)[1]
        assert [each.path for each in server.paid] == ["/v1/sound-generation"]
        assert len(server.seen) == 6


def test_faults_are_met_in_order():
    """One request each, and then it is well again."""
    with Server() as server:
        server.fail(refusal(429, "system_busy"), Fault(reset="before"), Fault(reset="after"))
        assert ask(server, "/v2/voices")[0] == 429
        for _ in range(2):
            with pytest.raises(OSError):
                ask(server, "/v2/voices")
        assert ask(server, "/v2/voices")[0] == 200
        assert [each.status for each in server.seen] == [429, 0, 0, 200]


def test_a_stall_ends_with_the_server():
    """A client that waits is let go."""
    with Server() as server:
        server.fail(Fault(stall=True))
        request = urllib.request.Request(server.origin + "/v2/voices", headers={"xi-api-key": KEY})
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(request, timeout=0.5)
    assert [each.path for each in server.seen] == ["/v2/voices"]


def test_it_needs_the_standard_library_alone():
    """Nothing heavy is loaded by it."""
    code = "import sys, callsheet_elevenlabs.testing; print({'httpx2', 'pydantic', 'jsonschema_rs'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.strip() == "set()"
