"""Pictures, sounds and what is heard in one, as they were asked for."""

from __future__ import annotations

import base64
import re

from callsheet.testing import Exchange, Pieces
from callsheet_openai.testing.account import Refused
from callsheet_openai.testing.answers import CREATED, Json
from callsheet_openai.testing.media import PICTURES, SOUNDS, picture, sound
from callsheet_openai.testing.texts import streamed

__all__ = ["HEARD", "images", "speech", "transcription"]

HEARD = "The mountain breathes out."
"""What is heard in every sound."""
_SIZES = ("1024x1024", "1024x1536", "1536x1024")
"""What the document lets an answer name."""
_SPOKEN = 15
"""Characters in a second."""
_PIECES = 8


def images(request: Exchange) -> object:
    """`n` pictures of a size and format, or the events of them. Raises Refused."""
    asked = request.data
    size, form = str(asked.get("size") or "auto"), str(asked.get("output_format") or "png")
    sides = re.fullmatch(r"(\d{1,4})x(\d{1,4})", _SIZES[0] if size == "auto" else size)
    if sides is None or form not in PICTURES:
        field = "output_format" if sides else "size"
        raise Refused(400, f"Invalid value: '{asked.get(field)}'.", "invalid_value", field)
    count = int(asked.get("n") or 1)
    made = [
        base64.b64encode(picture(int(sides[1]), int(sides[2]), form, shade % 256)).decode() for shade in range(count)
    ]
    usage = _tokens(request, 272 * count)
    if asked.get("stream") not in (True, "true"):
        revised = {"revised_prompt": f"{asked['prompt']}, at dusk"} if "dall-e-3" in str(asked.get("model")) else {}
        return {"created": CREATED, "data": [{"b64_json": each, **revised} for each in made], "usage": usage}
    kind = "image_edit" if request.path.endswith("edits") else "image_generation"
    told = {"size": size if size in _SIZES else "auto", "quality": "low", "background": "opaque", "output_format": form}
    head: Json = {"created_at": CREATED, **told}
    partial = [
        {"type": f"{kind}.partial_image", "b64_json": made[0], "partial_image_index": index, **head}
        for index in range(int(asked.get("partial_images") or 0))
    ]
    whole = [{"type": f"{kind}.completed", "b64_json": each, "usage": usage, **head} for each in made]
    return streamed([*partial, *whole])


def _tokens(request: Exchange, made: int) -> Json:
    """Text tokens of the prompt, and image tokens of each file."""
    words, files = max(1, len(str(request.data["prompt"])) // 4), sum(bool(part.filename) for part in request.parts)
    details = {"text_tokens": words, "image_tokens": 272 * files}
    given = sum(details.values())
    return {
        "input_tokens": given,
        "input_tokens_details": details,
        "output_tokens": made,
        "total_tokens": given + made,
    }


def speech(request: Exchange) -> Pieces:
    """A silent sound, as long as the text takes to be said; as events, with its tokens. Raises Refused."""
    asked = request.data
    form = str(asked.get("response_format") or "mp3")
    if form not in SOUNDS:
        raise Refused(400, f"Invalid value: '{form}'.", "invalid_value", "response_format")
    data, media_type = sound(form, len(asked["input"]) / _SPOKEN / float(asked.get("speed") or 1))
    size = max(1, -(-len(data) // _PIECES))
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    if asked.get("stream_format") != "sse":
        return Pieces(pieces, media_type)
    given, made = max(1, len(asked["input"]) // 4), 20 * len(asked["input"]) // _SPOKEN + 1
    usage = {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}
    done = {"type": "speech.audio.done", "usage": usage}
    deltas = [{"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()} for piece in pieces]
    return streamed([*deltas, done])


def transcription(request: Exchange) -> object:
    """What is heard, always the same: as JSON of the asked form, text, or events. Raises Refused without a file."""
    if not any(part.filename for part in request.parts):
        raise Refused(400, "Missing required parameter: 'file'.", "missing_required_parameter", "file")
    form = request.form.get("response_format", "json")
    if request.form.get("stream") == "true":
        deltas = [{"type": "transcript.text.delta", "delta": word + " "} for word in HEARD.split()]
        return streamed([*deltas, {"type": "transcript.text.done", "text": HEARD}])
    seconds = {"usage": {"type": "duration", "seconds": 2}}
    head: Json = {"text": HEARD, "duration": 1.6}
    if form == "diarized_json":
        person = {"type": "transcript.text.segment", "id": "seg_1", "start": 0.0, "end": 1.6, "speaker": "A"}
        return {"task": "transcribe", **head, "segments": [{**person, "text": HEARD}], **seconds}
    if form == "verbose_json":
        times = {part.data.decode() for part in request.parts if part.name.startswith("timestamp_granularities")}
        counted = {"temperature": 0.0, "avg_logprob": -0.2, "compression_ratio": 1.0, "no_speech_prob": 0.01}
        segment = {"id": 0, "seek": 0, "start": 0.0, "end": 1.6, "text": HEARD, "tokens": [1, 2], **counted}
        spans = [(number * 0.4, number * 0.4 + 0.4, word) for number, word in enumerate(HEARD.split())]
        words = [{"word": word, "start": start, "end": end} for start, end, word in spans]
        more: Json = {"words": words} if "word" in times else {"segments": [segment]}
        return {"language": "english", **head, **more, **seconds}
    if form in ("text", "srt", "vtt"):
        return Pieces([HEARD.encode()], "text/plain")
    if str(request.form["model"]).startswith("gpt-4o"):  # the others are paid by the second
        return {"text": HEARD, "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 9, "total_tokens": 23}}
    return {"text": HEARD, **seconds}
