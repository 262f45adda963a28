"""A small plugin which does everything right, installed with one thing changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from callsheet.testing import conformance
from callsheet.testing.report import CheckStatus

PLUGIN_TOML = """
api = 1
provides = ["models"]
wires = ["answers"]
loopback = "callsheet_toy.testing:ToyServer"

[provider]
name = "toy"
title = "Toy"
docs_url = "https://toy.example/docs"
origin = "https://api.toy.example/v1"
origin_env = "TOY_BASE_URL"
secrets = ["TOY_KEY"]

[[models]]
model = "words"
operation = "text.generate"
wire = "answers"
title = "Words"
aliases = ["w"]
output = "text/plain"
price = [{ per = "run", usd = 0.01, as_of = "2026-08-01", source = "toy.example/pricing" }]
deprecated = "ends on 2030-01-31"

[[models]]
model = "picture"
operation = "image.generate"
wire = "pictures"
title = "Pictures"
capabilities = ["count", "images"]
inputs = { prompt = "prompt", count = "n" }
output = "image/png[]"
schema = "schemas/picture.json"
price = [{ per = "image", usd = 0.02, as_of = "2026-08-01", source = "toy.example/pricing" }]
"""
ENTRY = '''
"""Words."""
from callsheet.plugin import HandlerSpec, Operation, hookimpl


def answers():
    from callsheet_toy.answers import Answers

    return Answers()


def pictures():
    from callsheet_toy.answers import Pictures

    return Pictures()


@hookimpl
def callsheet_register_handlers():
    """Two wires."""
    return [
        HandlerSpec("toy", answers, wire="answers", operations=frozenset({Operation.TEXT_GENERATE})),
        HandlerSpec("toy", pictures, wire="pictures", operations=frozenset({Operation.IMAGE_GENERATE})),
    ]
'''
ANSWERS = '''
"""The handler."""
import asyncio
import itertools
import json
import os
import random
import socket
from time import time

from callsheet.plugin import (
    CallWarning, CapabilityUnsupportedError, Expected, InvalidRequestError, JobFailedError, JobResult, MalformedOutputError, ProviderRequest,
    RateLimitedError, Sent, StreamFinished, TextArtifact, TextDelta, WarningKind, reply_error,
)

TAKEN = ("prompt", "system", "temperature")
IGNORED = ("messages", "output_schema", "max_tokens", "seed", "language")
COUNT = itertools.count()


class Answers:
    """One request, one answer, or a stream of it."""

    def prepare(self, job):
        wanted = job.inputs
        if wanted.images or wanted.files or wanted.audio:
            raise CapabilityUnsupportedError(f"{job.ref} takes no files", ref=str(job.ref))
        warnings = tuple(
            CallWarning(WarningKind.UNSUPPORTED, f"{job.ref} takes no {name}", name)
            for name in IGNORED
            if getattr(wanted, name) not in (None, ())
        )
        if "model" in job.options:
            raise InvalidRequestError(f"{job.ref} sets the model by itself", sent=Sent.NOT_SENT)
        body = {"model": job.ref.model, **{name: getattr(wanted, name) for name in TAKEN}, **job.options}
        return ProviderRequest(job.ref, job.operation, body, (Expected("text", "text/plain"),), {"run": 1.0}, warnings)

    async def invoke(self, request, context):
        key = await context.secrets.key()
        headers = {"authorization": f"Bearer {key.reveal()}"}
        reply = await context.http.send("POST", "/answers", json=dict(request.body), headers=headers)
        if reply.status >= 400:
            raise reply_error(reply, "the toy says no", ref=str(request.ref))
        return JobResult((TextArtifact(reply.json()["text"]),))

    async def stream(self, request, context):
        text = ""
        async with context.http.stream("POST", "/stream", json=dict(request.body)) as reply:
            if reply.status >= 400:
                raise reply_error(await reply.whole(), "the toy says no", ref=str(request.ref))
            async for event in reply.events():
                data = json.loads(event.data)
                if data.get("done"):
                    yield StreamFinished(JobResult((TextArtifact(text),)))
                    return
                text += data["text"]
                yield TextDelta(data["text"])
        raise MalformedOutputError("the stream ends without its last event", sent=Sent.UNKNOWN)


class Pictures(Answers):
    """One request, some pictures."""

    stream = None

    def prepare(self, job):
        given = job.inputs
        if given.mask:
            raise CapabilityUnsupportedError(f"{job.ref} takes no mask", ref=str(job.ref))
        names = ("negative_prompt", "aspect_ratio", "size", "resolution", "format", "seed", "language")
        warnings = tuple(
            CallWarning(WarningKind.UNSUPPORTED, f"{job.ref} takes no {name}", name)
            for name in names
            if getattr(given, name, None) is not None
        )
        number = job.options.get("n", given.count or 1)
        body = {"prompt": given.prompt, "n": number, **job.options}
        if given.images:
            body["images"] = list(given.images)
        expects = (Expected("blob", "image/png", count=number),)
        return ProviderRequest(job.ref, job.operation, {"input": body}, expects, {"image": float(number)}, warnings)
'''
SCHEMA = """
{
  "type": "object",
  "properties": {
    "prompt": {"type": "string"},
    "n": {"$ref": "#/$defs/few", "default": 1},
    "images": {"type": "array"}
  },
  "additionalProperties": false,
  "$defs": {"few": {"type": "integer", "minimum": 1, "maximum": 4}}
}
"""
SERVER = '''
"""The vendor, played."""
from callsheet.testing import LoopbackServer


class ToyServer(LoopbackServer):
    """Knows its key."""

    def __init__(self, *, key="toy"):
        super().__init__()
        self.key = key
'''
METADATA = """
Requires-Dist: callsheet>=0.1
"""
Case = tuple[str, str, str, str, str]
"""A check, and what makes the plugin fail it: a file, a text in it, what stands there instead, and what is then said."""


@pytest.fixture
def install_toy(site):
    """Installs the plugin; each change is (file, old text, new text) and must change something."""

    def install(*changes: tuple[str, str, str]) -> str:
        files = {
            "plugin.toml": PLUGIN_TOML,
            "__init__.py": ENTRY,
            "answers.py": ANSWERS,
            "testing.py": SERVER,
            "schemas/picture.json": SCHEMA,
            "METADATA": METADATA,
        }
        for file, old, new in changes:
            assert old in files[file], (file, old)
            files[file] = files[file].replace(old, new)
        root = site.install("callsheet-toy", toml=files["plugin.toml"], code=files["__init__.py"], entry_name="toy")
        (root / "schemas").mkdir()
        for file in ("answers.py", "testing.py", "schemas/picture.json"):
            (root / file).write_text(files[file], encoding="utf-8")
        with (site.folder / "callsheet_toy-1.0.dist-info" / "METADATA").open("a", encoding="utf-8") as metadata:
            metadata.write(files["METADATA"].lstrip())
        return "callsheet_toy"

    return install


@pytest.fixture
def find_fault(install_toy) -> Callable[..., None]:
    """Makes sure that the check finds what is wrong with a toy that was changed, and says so."""

    def find(case: Case, **more: Any) -> None:
        check, file, old, new, said = case
        report = conformance(install_toy((file, old, new)), only=[check], **more)
        (outcome,) = report.outcomes
        assert outcome.status is CheckStatus.FAILED, report.text
        assert re.search(said, outcome.text), outcome.text
        with pytest.raises(AssertionError, match=f"callsheet_toy fails 1 of 1 conformance checks:\nfailed +{check}: "):
            report.assert_ok()
        assert f"repair: {outcome.check.repair}" in outcome.text

    return find
