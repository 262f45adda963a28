"""What ElevenLabs answers: voices, sounds and transcripts, each the same every time."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from callsheet.testing import Exchange, Pieces, Reply

__all__ = ["HEARD", "VOICES", "Account", "Voice", "refused"]

HEARD = "The mountain breathes out. Ash falls."
_MP3 = b"\xff\xfb\x90\x64" + bytes(413)
_OPUS = b"OggS\0\x02" + bytes(22) + b"OpusHead\x01\x01" + bytes(9)
_PIECE = 1024
_CREDITS = {"eleven_turbo_v2_5": 0.5, "eleven_flash_v2_5": 0.5, "eleven_turbo_v2": 0.5, "eleven_flash_v2": 0.5}


@dataclass(frozen=True)
class Voice:
    """A voice of the account."""

    voice_id: str
    name: str


VOICES = (
    Voice("JBFqnCBsd6RMkjVDRZzb", "George - Warm, Captivating Storyteller"),
    Voice("EXAVITQu4vr4xnSDxMaL", "Sarah - Mature, Reassuring, Confident"),
    Voice("aaaaaaaaaaaaaaaaaaa1", "Guide"),
    Voice("aaaaaaaaaaaaaaaaaaa2", "Twin"),
    Voice("aaaaaaaaaaaaaaaaaaa3", "Twin"),
)


class Account:
    """One account of the vendor, with its voices."""

    def __init__(self, voices: Sequence[Voice]) -> None:
        self._voices = voices
        self._songs = 0

    def _has(self, voice: str) -> bool:
        return any(each.voice_id == voice for each in self._voices)

    def listed(self, request: Exchange) -> Mapping[str, object]:
        """A page of the voices."""
        first, size = (
            int(request.query.get(name, usual)) for name, usual in (("next_page_token", 0), ("page_size", 10))
        )
        page = self._voices[first : first + size]
        more = first + size < len(self._voices)
        return {
            "voices": [_voice(each) for each in page],
            "has_more": more,
            "total_count": 0,
            "next_page_token": str(first + size) if more else None,
        }

    def speech(self, request: Exchange) -> Reply:
        """A sound, or (`with-timestamps`) JSON with one in it."""
        voice = request.params["voice"]
        if not self._has(voice):
            return _voiceless(voice)
        asked = request.json
        said = str(asked.get("text", ""))
        credit = round(len(said) * _CREDITS.get(str(asked.get("model_id")), 1))
        if request.params.get("kind") != "with-timestamps":
            return _sound(request, credit)
        alignment = {
            "characters": list(said),
            "character_start_times_seconds": [number / 20 for number in range(len(said))],
            "character_end_times_seconds": [(number + 1) / 20 for number in range(len(said))],
        }
        sound = base64.b64encode(_silence(request)[0]).decode("ascii")
        told = {"audio_base64": sound, "alignment": alignment, "normalized_alignment": alignment}
        return Reply(200, told, {"character-cost": str(credit)})

    def dialogue(self, request: Exchange) -> Reply:
        """A sound, when all its voices are there."""
        turns = request.json.get("inputs", ())
        unknown = [turn["voice_id"] for turn in turns if not self._has(turn["voice_id"])]
        return _voiceless(unknown[0]) if unknown else _sound(request, sum(len(turn["text"]) for turn in turns))

    def sound(self, request: Exchange) -> Reply:
        """A sound effect."""
        return _sound(request, 40)

    def music(self, request: Exchange) -> Reply:
        """Music, with the id of the song."""
        self._songs += 1
        return _sound(request, 400, {"song-id": f"song-{self._songs}"})

    def text(self, request: Exchange) -> Mapping[str, object]:
        """What is heard, always the same."""
        return _transcript(request.form)


def _voice(voice: Voice) -> dict[str, object]:
    """With the fields that the document wants of a voice."""
    empty: dict[str, object] = {"labels": {}, "available_for_tiers": [], "high_quality_base_model_ids": []}
    return {"voice_id": voice.voice_id, "name": voice.name, "category": "premade", **empty}


def refused(status: int, code: str, message: str) -> Reply:
    """A refusal in the vendor's envelope."""
    return Reply(status, {"detail": {"status": code, "message": message}})


def _voiceless(voice: str) -> Reply:
    return refused(404, "voice_not_found", f"A voice with the voice_id '{voice}' was not found.")


def _sound(request: Exchange, credit: int, more: Mapping[str, str] | None = None) -> Reply:
    data, media_type = _silence(request)
    pieces = [data[start : start + _PIECE] for start in range(0, len(data), _PIECE)]
    return Reply(200, Pieces(pieces, media_type), {"character-cost": str(credit), **(more or {})})


def _silence(request: Exchange) -> tuple[bytes, str]:
    """A silent sound of the format that was asked for, and its media type."""
    kind = request.query.get("output_format", "mp3").partition("_")[0]
    if kind == "wav":
        stream = io.BytesIO()
        with wave.open(stream, "wb") as file:
            file.setparams((1, 2, 24_000, 0, "NONE", ""))
            file.writeframes(bytes(9600))
        return stream.getvalue(), "audio/wav"
    if kind in ("pcm", "ulaw", "alaw"):
        return bytes(9600), "audio/pcm" if kind == "pcm" else "audio/basic"
    return (_OPUS * 20, "audio/ogg") if kind == "opus" else (_MP3 * 20, "audio/mpeg")


def _transcript(form: Mapping[str, str]) -> dict[str, object]:
    timed = form.get("timestamps_granularity", "word") != "none"
    words: list[dict[str, object]] = []
    for number, word in enumerate(HEARD.split()):
        times = {"start": number / 2, "end": number / 2 + 0.4} if timed else {}
        speaker = {"speaker_id": f"speaker_{number // 4}"} if form.get("diarize") == "true" else {}
        if number:
            words.append({"text": " ", "type": "spacing", "logprob": 0.0, **times, **speaker})
        words.append({"text": word, "type": "word", "logprob": -0.1, **times, **speaker})
    return {
        "language_code": "eng",
        "language_probability": 0.98,
        "text": HEARD,
        "words": words,
        "audio_duration_secs": 3.6,
    }
