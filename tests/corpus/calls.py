"""The least that a model can be called with, by its row and its schema, and what must come of it."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tempfile
import wave
from functools import cache
from pathlib import Path

from PIL import Image

from callsheet.artifacts import BlobArtifact, JsonArtifact, TextArtifact
from callsheet.inputs import file_attributes, inputs_type
from callsheet.models import ModelInfo

LINK = "https://example.com/file.png"

EVERYTHING = {
    "prompt": "a volcano at dusk", "text": "The lava flows.", "lyrics": "[verse]\nLava flows", "system": "Be brief.",
    "negative_prompt": "rain", "instructions": "slowly", "aspect_ratio": "16:9", "size": "1024x768",
    "resolution": "720p", "duration": 5, "fps": 24, "count": 2, "seed": 1, "format": "png", "voice": "Rachel",
    "language": "en", "speed": 1.1, "emotion": "calm", "generate_audio": True, "max_tokens": 100, "temperature": 0.5,
    "timestamps": "word", "diarize": True, "dimensions": 256, "texts": ["lava"],
}  # fmt: skip


@cache
def given_file(medium: str) -> Path:
    """A small picture, sound or start of a video to give to a model."""
    stream = io.BytesIO()
    if medium == "audio":
        with wave.open(stream, "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(b"\0\0" * 800)
    elif medium == "video":
        stream.write(b"\0\0\0\x14ftypisom\0\0\0\0isom")
    else:
        Image.new("RGB", (16, 9), "red").save(stream, "PNG")
    path = Path(tempfile.mkdtemp()) / {"audio": "sound.wav", "video": "clip.mp4"}.get(medium, "picture.png")
    path.write_bytes(stream.getvalue())
    return path


def least(info: ModelInfo, schema: dict) -> tuple[dict, dict]:
    """Attributes and options: what the operation needs, and every field that the model needs."""
    required = set(schema.get("required", ()))
    files = file_attributes(info.operation)
    wanted = {name for name, field in info.inputs.items() if field in required}
    for names in inputs_type(info.operation).required:
        if not wanted & set(names):
            wanted.add(next((name for name in names if name in info.inputs), names[0]))
    attributes, options = {}, {}
    for name in wanted:
        if name in files:
            attributes[name] = given_file(_medium(info, name))
        elif name in ("prompt", "text", "lyrics"):
            attributes[name] = EVERYTHING[name]
        else:
            options[info.inputs[name]] = value_of(schema["properties"][info.inputs[name]])
    taken = {field for name, field in info.inputs.items() if name in attributes}
    for field in required - taken:
        options[field] = value_of(schema.get("properties", {}).get(field, {}))
    return attributes, options


def most(info: ModelInfo, schema: dict) -> tuple[dict, dict]:
    """As `least`, with every attribute that has a field."""
    attributes, options = least(info, schema)
    files = file_attributes(info.operation)
    for name in info.inputs:
        if name in files:
            attributes[name] = given_file(_medium(info, name))
        elif info.inputs[name] not in options:
            attributes[name] = EVERYTHING[name]
    return attributes, options


def _medium(info: ModelInfo, name: str) -> str:
    """What an attribute takes: its own kind of file, else what the row says."""
    if name != "files":
        return "audio" if name == "audio" else "image"
    taken = info.data.get("accepts", {}).get(info.inputs.get(name), ("image/*",))
    return taken[0].partition("/")[0]


def value_of(schema: dict) -> object:
    """A value that a field takes: its default, else the first or the smallest one."""
    if "default" in schema:
        return schema["default"]
    if schema.get("enum"):
        return schema["enum"][0]
    if "anyOf" in schema:
        return value_of(schema["anyOf"][0])
    kind = schema.get("type")
    match next((each for each in kind if each != "null"), None) if isinstance(kind, list) else kind:
        case "integer" | "number":
            return schema.get("minimum", schema.get("maximum", 1))
        case "boolean":
            return False
        case "array":
            return [value_of(schema.get("items", {}))] * max(1, schema.get("minItems", 1))
        case "object":
            needed = schema.get("required", ())
            return {name: value_of(schema.get("properties", {}).get(name, {})) for name in needed}
    text = LINK if schema.get("format") == "uri" else "lava"
    return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]


def fault(info: ModelInfo, artifacts: tuple, *, thoroughly: bool) -> str:
    """What is wrong with the outputs of a mocked call, or an empty text. `thoroughly` lets other programs open the files."""
    promised = info.output.removesuffix("[]").partition("/")[0]
    if not artifacts:
        return "no output"
    for artifact in artifacts:
        match artifact:
            case TextArtifact(text=text) if promised == "text" and text.strip():
                continue
            case JsonArtifact(value=value) if promised == "application":
                json.dumps(value, allow_nan=False)
            case BlobArtifact(location=path) if path is not None and artifact.media_type.startswith(f"{promised}/"):
                if thoroughly and not opens(path, promised):
                    return f"a file of {artifact.media_type} that cannot be opened"
            case _:
                return f"{type(artifact).__name__} in the place of {info.output}"
    return ""


def opens(path: Path, medium: str) -> bool:
    """True when Pillow decodes the picture, or ffprobe (where there is one) finds the stream."""
    if medium == "image":
        with Image.open(path) as picture:
            picture.load()
            return picture.width > 0
    program = shutil.which("ffprobe")
    if program is None:
        return path.stat().st_size > 0
    asked = ["-v", "error", "-show_entries", "stream=codec_type", "-of", "csv=p=0"]
    said = subprocess.run([program, *asked, str(path)], capture_output=True, text=True, timeout=60)
    return said.returncode == 0 and medium in said.stdout.split()
