"""A small plugin which does everything right, installed with one thing changed."""

from __future__ import annotations

import pytest

PLUGIN_TOML = """
api = 1
provides = ["models"]
wires = ["answers"]

[provider]
name = "toy"
origin = "https://api.toy.example/v1"
secrets = ["TOY_KEY"]

[[models]]
model = "words"
operation = "text.generate"
wire = "answers"
aliases = ["w"]
"""
ENTRY = '''
"""Words."""
from callsheet.plugin import HandlerSpec, Operation, hookimpl


def answers():
    from callsheet_toy.answers import Answers

    return Answers()


@hookimpl
def callsheet_register_handlers():
    """One wire."""
    return [HandlerSpec("toy", answers, wire="answers", operations=frozenset({Operation.TEXT_GENERATE}))]
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
    CallWarning, CapabilityUnsupportedError, Expected, JobFailedError, JobResult, MalformedOutputError, ProviderRequest,
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
            if getattr(wanted, name)
        )
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
'''


@pytest.fixture
def install_toy(site):
    """Installs the plugin; each change is (file, old text, new text) and must change something."""

    def install(*changes: tuple[str, str, str]) -> str:
        files = {"plugin.toml": PLUGIN_TOML, "__init__.py": ENTRY, "answers.py": ANSWERS}
        for file, old, new in changes:
            assert old in files[file], (file, old)
            files[file] = files[file].replace(old, new)
        root = site.install("callsheet-toy", toml=files["plugin.toml"], code=files["__init__.py"], entry_name="toy")
        (root / "answers.py").write_text(files["answers.py"], encoding="utf-8")
        return "callsheet_toy"

    return install
