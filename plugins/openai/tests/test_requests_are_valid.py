"""What would be sent is valid against the vendor's own document: every operation, a spread of options, every row."""

from __future__ import annotations

import asyncio
import dataclasses
import json

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from openai_counterpart.sending import Files, Outgoing, handler_of, job_of, outgoing, rows

from callsheet.errors import CapabilityUnsupportedError, ConfigError, InvalidRequestError
from callsheet.inputs import inputs_type
from callsheet.messages import FilePart, Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from callsheet.models import ModelInfo, Operation
from callsheet.plugin import FormFile, Streams
from callsheet_openai.testing.media import picture, sound

FILES = Files()
PNG = FILES.add(picture(64, 64), "image/png", "still.png")
JPEG = FILES.add(picture(64, 64, "jpeg"), "image/jpeg", "photo.jpg")
PDF = FILES.add(b"%PDF-1.4\n", "application/pdf", "paper.pdf")
WAV = FILES.add(sound("wav", 3)[0], "audio/wav", "voice.wav")
MP3 = FILES.add(sound("mp3", 3)[0], "audio/mpeg", "voice.mp3")

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "heights": {"type": "array", "items": {"type": "number"}}},
    "required": ["name", "heights"],
    "additionalProperties": False,
}
LOOSE = {"type": "object", "properties": {"name": {"type": "string"}, "note": {"type": "string"}}, "required": ["name"]}
TOOL = {"type": "function", "name": "look", "description": "Look at it.", "parameters": SCHEMA}
BARE_TOOL = {"type": "function", "name": "wait"}
NESTED_TOOL = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}
HISTORY = (
    Message("system", (TextPart("Be brief."),)),
    Message("user", (TextPart("Look at this."), FilePart(PNG), FilePart(PDF))),
    Message("assistant", (ReasoningPart("Hm.", opaque="gAAAopaque"), TextPart("A mountain."))),
    Message("assistant", (ToolCallPart("call_1", "look", {"name": "Etna", "heights": [1]}),)),
    Message("tool", (ToolResultPart("call_1", "It glows."), ToolResultPart("call_1", "Too hot.", failed=True))),
    Message("user", (TextPart("And now?"),)),
)
HI = {"prompt": "Hello"}

# (wire, attributes, options); each runs on a bare row of that wire, which limits nothing
TEXT = [
    (HI, {}),
    ({"prompt": "Hello", "system": "Be brief."}, {}),
    ({"prompt": "Hello", "language": "de"}, {}),
    ({"prompt": "Hello", "max_tokens": 200}, {}),
    ({"prompt": "Hello", "temperature": 0.3}, {"top_p": 0.9}),
    ({"prompt": "Hello", "seed": 7}, {"stop": ["END"]}),
    ({"prompt": "Who?", "output_schema": SCHEMA}, {}),
    ({"prompt": "Who?", "output_schema": LOOSE}, {}),
    ({"prompt": "What is it?", "images": [PNG, JPEG]}, {}),
    ({"prompt": "Sum up.", "files": [PDF]}, {}),
    ({"messages": HISTORY}, {}),
    ({"messages": HISTORY, "prompt": "Go on.", "images": [PNG]}, {"tools": [TOOL]}),
    (HI, {"tools": [TOOL, BARE_TOOL, NESTED_TOOL], "parallel_tool_calls": False}),
    (HI, {"tools": [TOOL], "tool_choice": "required"}),
    (HI, {"tools": [TOOL], "tool_choice": {"type": "function", "name": "look"}}),
    (HI, {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "look"}}}),
    (HI, {"reasoning_effort": "low"}),
    (HI, {"verbosity": "low"}),
    (HI, {"service_tier": "flex", "safety_identifier": "u1"}),
    (HI, {"prompt_cache_key": "volcano", "metadata": {"film": "volcano"}}),
    (HI, {"store": False}),
    (HI, {"logprobs": True, "top_logprobs": 3}),
]
RESPONSES = [
    (HI, {"reasoning": {"effort": "high", "summary": "auto"}}),
    (HI, {"reasoning_effort": "medium", "reasoning_summary": "detailed", "web_search": True}),
    (HI, {"web_search": {"search_context_size": "low", "user_location": {"type": "approximate", "country": "IT"}}}),
    (HI, {"code_interpreter": True, "max_tool_calls": 3}),
    (HI, {"code_interpreter": {"container": {"type": "auto", "memory_limit": "4g"}}}),
    (HI, {"background": True, "store": True}),
    (HI, {"previous_response_id": "resp_1", "truncation": "auto"}),
    (HI, {"include": ["reasoning.encrypted_content"], "store": False}),
    (HI, {"text": {"verbosity": "high"}}),
    ({"prompt": "Hello", "max_tokens": 3}, {}),
]
CHAT = [
    (HI, {"frequency_penalty": 0.5, "presence_penalty": -0.5}),
    (HI, {"logit_bias": {"50256": -100}}),
    ({"prompt": "What is said?", "audio": WAV}, {}),
    ({"prompt": "What is said?", "audio": MP3}, {}),
]
IMAGES = [
    ({"prompt": "lava"}, {}),
    ({"prompt": "lava", "count": 3, "format": "webp"}, {"quality": "low", "background": "opaque"}),
    ({"prompt": "lava", "aspect_ratio": "16:9", "format": "jpg"}, {"output_compression": 80, "moderation": "low"}),
    ({"prompt": "lava", "size": "1024x1536"}, {"user": "u1"}),
    ({"prompt": "lava", "seed": 3, "negative_prompt": "text"}, {"partial_images": 2}),
    ({"prompt": "snow on it", "images": [PNG]}, {}),
    ({"prompt": "snow on it", "images": [PNG, JPEG], "mask": PNG, "count": 2}, {"input_fidelity": "high"}),
]
SPEECH = [
    ({"text": "Lava flows."}, {}),
    ({"text": "Lava flows.", "voice": "nova", "speed": 1.5, "format": "wav", "language": "en"}, {}),
    ({"text": "Lava flows.", "instructions": "Whisper.", "emotion": "calm", "format": "pcm"}, {}),
]
TRANSCRIPTION = [
    ({"audio": WAV}, {}),
    ({"audio": MP3, "language": "en", "prompt": "Etna, Stromboli"}, {"temperature": 0.2}),
    ({"audio": WAV, "timestamps": "segment"}, {}),
    ({"audio": WAV, "timestamps": "word"}, {}),
    ({"audio": WAV, "diarize": True}, {"known_speaker_names": ["Ann", "Bob"]}),
    ({"audio": WAV}, {"include": ["logprobs"], "keywords": ["lava", "ash"]}),
]
EMBEDDINGS = [({"text": "lava"}, {}), ({"texts": ["lava", "ash"], "dimensions": 256}, {"user": "u1"})]
MODERATION = [({"text": "lava"}, {}), ({"text": "lava", "images": [PNG, JPEG]}, {}), ({"images": [JPEG]}, {})]
VIDEO = [
    ({"prompt": "lava"}, {}),
    ({"prompt": "lava", "duration": 8, "aspect_ratio": "16:9"}, {}),
    ({"prompt": "lava", "image": JPEG, "size": "720x1280", "duration": 4}, {}),
]
ALL = {
    ("responses", Operation.TEXT_GENERATE): TEXT + RESPONSES,
    ("chat", Operation.TEXT_GENERATE): TEXT + CHAT,
    ("images", Operation.IMAGE_GENERATE): IMAGES,
    ("speech", Operation.SPEECH_GENERATE): SPEECH,
    ("transcription", Operation.AUDIO_TRANSCRIBE): TRANSCRIPTION,
    ("embeddings", Operation.TEXT_EMBED): EMBEDDINGS,
    ("moderation", Operation.TEXT_MODERATE): MODERATION,
    ("video", Operation.VIDEO_GENERATE): VIDEO,
}
CASES = [
    pytest.param(wire, operation, attributes, options, id=f"{wire}-{number}")
    for (wire, operation), cases in ALL.items()
    for number, (attributes, options) in enumerate(cases)
]
MODELS = {
    "images": "gpt-image-1",
    "speech": "gpt-4o-mini-tts",
    "transcription": "whisper-1",
    "embeddings": "text-embedding-3-small",
    "moderation": "omni-moderation-latest",
    "video": "sora-2",
}


def bare(wire: str, operation: Operation) -> ModelInfo:
    """A row that limits nothing."""
    return ModelInfo("openai", MODELS.get(wire, "gpt-5"), operation, wire=wire)


def written(sent: Outgoing) -> str:
    """A request as one text, to tell requests apart."""
    return json.dumps([sent.path, sent.json, sent.form, [(file.field, file.name) for file in sent.files]])


@pytest.mark.parametrize(("wire", "operation", "attributes", "options"), CASES)
async def test_the_request_is_valid(document, wire, operation, attributes, options):
    """Sent at once and, where the wire streams, streamed."""
    job = job_of(bare(wire, operation), attributes, options)
    _, sent = await outgoing(job, FILES)
    assert sent.problems(document) == []
    if isinstance(handler_of(wire, operation), Streams):
        _, streamed = await outgoing(job, FILES, stream=True)
        assert streamed.problems(document) == []
        assert streamed.path == sent.path


async def test_the_requests_are_many_and_distinct():
    """At least sixty, and no two are the same."""
    seen = set()
    for (wire, operation), cases in ALL.items():
        for attributes, options in cases:
            _, sent = await outgoing(job_of(bare(wire, operation), attributes, options), FILES)
            seen.add(written(sent))
    assert len(seen) >= 60


async def test_files_are_inside_and_the_key_is_in_one_header_alone():
    """Input files leave as data URLs or form parts, and no body names the key."""
    _, sent = await outgoing(job_of(bare("responses", Operation.TEXT_GENERATE), {"messages": HISTORY}, {}), FILES)
    text = json.dumps(sent.json)
    assert "data:image/png;base64," in text
    assert "data:application/pdf;base64," in text
    assert "callsheet-file" not in text
    assert "sk-test" not in text
    assert list(sent.headers) == ["authorization"]


def test_the_judge_objects_to_a_misspelt_field(document):
    """A check that cannot fail proves nothing."""
    wrong = Outgoing("POST", "/responses", {"model": "gpt-5", "input": "x", "temprature": 1})
    assert "temprature" in "".join(wrong.problems(document))
    form = Outgoing("POST", "/images/edits", None, {"promt": "x"}, (FormFile("image", "a.png", "image/png", b""),))
    assert "promt" in "".join(form.problems(document))


TEXTS = st.text(min_size=1, max_size=40).filter(str.strip)
PICTURES = st.sampled_from([PNG, JPEG])
BY_NAME = {
    "size": st.sampled_from(["512x512", "1024x1024", "1536x1024", "1280x720", "720x1280", "333x777"]),
    "aspect_ratio": st.sampled_from(["1:1", "16:9", "9:16", "4:3", "21:9"]),
    "resolution": st.sampled_from(["1K", "2K", "720p", "1080p"]),
    "format": st.sampled_from(["png", "jpeg", "webp", "mp3", "wav", "mp4"]),
    "language": st.sampled_from(["en", "de", "pt-BR"]),
    "timestamps": st.sampled_from(["segment", "word"]),
    "voice": st.sampled_from(["alloy", "nova", "verse"]),
    "output_schema": st.sampled_from([SCHEMA, LOOSE]),
    "messages": st.sampled_from([(), HISTORY, HISTORY[:2], HISTORY[1:]]),
    "count": st.integers(1, 4),
    "max_tokens": st.integers(1, 100_000),
    "temperature": st.floats(0, 2),
    "speed": st.floats(0.25, 4),
    "seed": st.integers(0, 2**31),
    "dimensions": st.integers(1, 3072),
    "duration": st.sampled_from([4, 5.5, 8, 12]),
    "fps": st.sampled_from([24, 30]),
    "images": st.lists(PICTURES, max_size=2),
    "mask": st.just(PNG),
    "image": PICTURES,
    "last_frame": PICTURES,
    "files": st.lists(st.just(PDF), max_size=1),
    "audio": st.sampled_from([WAV, MP3]),
    "texts": st.lists(TEXTS, max_size=4),
    "diarize": st.booleans(),
    "generate_audio": st.booleans(),
}


def attributes_of(operation: Operation) -> st.SearchStrategy[dict]:
    """Any attributes which the operation's typed inputs have, each of them given or not."""
    cls = inputs_type(operation)
    given_or_not = {each.name: BY_NAME.get(each.name, TEXTS) for each in dataclasses.fields(cls)}
    return st.fixed_dictionaries({}, optional=given_or_not)


@st.composite
def jobs(draw, model: ModelInfo):
    """A job for one row, from the typed inputs of its operation."""
    attributes = draw(attributes_of(model.operation))
    # options are the vendor's own fields, and go to the operation that has them: an edit's to an edit
    edits = bool(attributes.get("images"))
    known = [o for a, o in ALL[(model.wire, model.operation)] if model.wire != "images" or ("images" in a) == edits]
    options = draw(st.sampled_from([{}, *known]))
    try:
        return job_of(model, attributes, options)
    except ConfigError:  # nothing that the operation needs was drawn
        return assume(False)


@pytest.mark.parametrize("model", rows(), ids=lambda row: f"{row.model}-{row.operation}")
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_a_row_takes_is_valid(document, model, data):
    """Typed inputs of every kind, on every row: what is not refused before it is sent is valid."""
    job = data.draw(jobs(model))
    stream = isinstance(handler_of(model.wire, model.operation), Streams) and data.draw(st.booleans())
    try:
        request, sent = asyncio.run(outgoing(job, FILES, stream=stream))
    except (CapabilityUnsupportedError, InvalidRequestError):
        return  # refused before anything was sent
    assert sent.problems(document) == []
    assert request.expects


def test_a_row_of_every_wire_is_tried():
    """No wire of the plugin is without a row here."""
    assert {(row.wire, row.operation) for row in rows()} == set(ALL)
