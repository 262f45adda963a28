"""The handler over the rows of the plugin's own manifest, without the engine around it, and small files."""

from __future__ import annotations

import hashlib
import io
from functools import cache
from pathlib import Path

from PIL import Image

import callsheet_replicate
from callsheet.artifacts import FileRef
from callsheet.inputs import parse_inputs
from callsheet.jobs import Job
from callsheet.models import ModelInfo, ModelRef, Operation
from callsheet.plugin_manifest import PluginManifest, model_row
from callsheet_replicate.predictions import PredictionHandler

ROOT = Path(callsheet_replicate.__file__).parent
CLIP = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0" * 3000
SOUND = b"ID3\x04\0\0\0\0\0\0" + b"\xff\xfb\x90\0" + b"\0" * 3000


@cache
def rows():
    """The plugin's rows by model name."""
    manifest = PluginManifest.find(ROOT)
    found = [model_row(row.values, "replicate", "callsheet-replicate", file=row.file) for row in manifest.rows]
    return {row.model: row for row in found}


def job(model, operation="", options=None, **attributes):
    """A job; the least that the operation needs is filled in."""
    wanted = Operation(operation) if operation else rows()[model].operation
    info = rows().get(model) or ModelInfo("replicate", model, wanted)
    if "messages" not in attributes:
        attributes.setdefault("text" if wanted is Operation.SPEECH_GENERATE else "prompt", "lava")
    inputs = parse_inputs(wanted, attributes)
    return Job("call", ModelRef("replicate", model), info, wanted, inputs, options or {})


def prepared(model, operation="", options=None, **attributes):
    """What would be sent."""
    return PredictionHandler().prepare(job(model, operation, options, **attributes))


def told(request):
    """The warnings' kinds and attributes."""
    return [(str(each.kind), each.attribute) for each in request.warnings]


def file(media_type="image/png", size=1000, name="file"):
    """A file that nobody has to have."""
    return FileRef(hashlib.sha256(f"{media_type}{size}{name}".encode()).hexdigest(), media_type, size, name)


def picture(width=16, height=9, colour="red"):
    """A PNG."""
    stream = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(stream, "PNG")
    return stream.getvalue()
