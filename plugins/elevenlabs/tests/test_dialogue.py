"""Dialogue: a script becomes turns, each with its voice."""

from __future__ import annotations

import pytest
from elevenlabs_counterpart.stage import prepared, told

from callsheet.errors import InvalidRequestError, Sent
from callsheet.jobs import Expected
from callsheet_elevenlabs.voices import DEFAULT_VOICE

MODEL = "eleven_v3_dialogue"
CAST = {"Anna": "Sarah", "Ben": "George"}
SCRIPT = "It is night.\nANNA: Do you hear it?\nI do.\n**Ben:** [whispers] Note: no.\n\nAnna:\n"


def test_a_script_becomes_turns():
    """Names of the cast begin a turn, other colons do not; what comes first is said by the job's own voice."""
    request = prepared(MODEL, text=SCRIPT, options={"voices": CAST, "settings": {"stability": 0.5}}, format="pcm")
    assert request.body == {
        "model_id": "eleven_v3",
        "inputs": [
            {"text": "It is night.", "voice": DEFAULT_VOICE},
            {"text": "Do you hear it?\nI do.", "voice": "Sarah"},
            {"text": "[whispers] Note: no.", "voice": "George"},
        ],
        "output_format": "pcm_24000",
        "settings": {"stability": 0.5},
    }
    assert request.expects == (Expected("blob", "audio/pcm"),)
    assert request.units == {"character": float(12 + 21 + 20)}
    assert told(request) == []


def test_without_a_cast_one_voice_says_all():
    """No word is taken for a name."""
    request = prepared(MODEL, text="Anna: Hello.", voice="Sarah", speed=1.1, emotion="sad", instructions="softly")
    assert request.body["inputs"] == [{"text": "Anna: Hello.", "voice": "Sarah"}]
    assert told(request) == [("unsupported", "speed"), ("unsupported", "instructions"), ("unsupported", "emotion")]


@pytest.mark.parametrize(
    ("text", "voices"),
    [
        ("a" * 2001, {}),
        ("Anna:", {"Anna": "Sarah"}),
        ("a", {"Anna": 3}),
        ("a", ["Anna"]),
        ("\n".join(f"S{n}: a" for n in range(11)), {f"S{n}": f"Voice {n}" for n in range(11)}),
    ],
)
def test_what_cannot_be_said_is_refused(text, voices):
    """Nothing was sent."""
    with pytest.raises(InvalidRequestError) as caught:
        prepared(MODEL, text=text, options={"voices": voices})
    assert caught.value.sent is Sent.NOT_SENT


@pytest.mark.parametrize(("kind", "path"), [("mp3", "/v1/text-to-dialogue/stream"), ("wav", "/v1/text-to-dialogue")])
async def test_the_sound_comes_into_the_store(server, opened, kind, path):
    """Each name is looked up, and the list of voices is read once."""
    async with opened() as client:
        result = await client.call(
            f"elevenlabs:{MODEL}", text=SCRIPT, options={"voices": CAST}, format=kind, seed=5, language="en"
        )
    assert [each.path for each in server.seen] == ["/v2/voices", path]
    assert server.paid[0].json == {
        "model_id": "eleven_v3",
        "inputs": [
            {"text": "It is night.", "voice_id": DEFAULT_VOICE},
            {"text": "Do you hear it?\nI do.", "voice_id": "EXAVITQu4vr4xnSDxMaL"},
            {"text": "[whispers] Note: no.", "voice_id": "JBFqnCBsd6RMkjVDRZzb"},
        ],
        "language_code": "en",
        "seed": 5,
    }
    assert result.usage.units == {"character": 53.0, "credit": 53.0}
    assert result.artifacts[0].file.bytes > 100
