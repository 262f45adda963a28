"""The plugin's handler over the rows of its own manifest, without the engine around it, and small files."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

import callsheet_replicate
from callsheet.models import Operation
from callsheet.testing import PluginStage, loose_file, told

__all__ = ["CLIP", "ROOT", "SOUND", "STAGE", "file", "job", "picture", "prepared", "rows", "told"]

STAGE = PluginStage("callsheet_replicate")
ROOT = Path(callsheet_replicate.__file__).parent
CLIP = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0" * 3000
SOUND = b"ID3\x04\0\0\0\0\0\0" + b"\xff\xfb\x90\0" + b"\0" * 3000

file = loose_file


def rows():
    """The plugin's rows by model name."""
    return STAGE.rows


def job(model, operation="", options=None, **attributes):
    """A job; the least that the operation needs is filled in."""
    return STAGE.job(model, operation, options, **_filled(model, operation, attributes))


def prepared(model, operation="", options=None, **attributes):
    """What would be sent."""
    return STAGE.prepared(model, operation, options, **_filled(model, operation, attributes))


def _filled(model, operation, attributes):
    wanted = operation or rows()[model].operation
    words = "text" if wanted == Operation.SPEECH_GENERATE else "prompt"
    return attributes if "messages" in attributes else {words: "lava", **attributes}


def picture(width=16, height=9, colour="red"):
    """A PNG."""
    stream = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(stream, "PNG")
    return stream.getvalue()
