"""Whole command lines against a toy provider: a real distribution on sys.path, whose options script what happens."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from callsheet.cli import main

TOML = """
api = 1
simulates = true
provides = ["models", "commands"]
commands = ["greet", "forgotten", "crash"]

[provider]
name = "toy"
secrets = ["TOY_KEY"]

[[models]]
model = "text"
operation = "text.generate"
title = "Toy text"
aliases = ["toytext"]
capabilities = ["json_schema"]
schema = "schemas/text.json"
price = [{ per = "run", usd = 0.02, as_of = "2026-08-01", source = "toy.test/pricing" }]

[[models]]
model = "image"
operation = "image.generate"
price = [{ per = "run", usd = 0.03, as_of = "2026-08-01", source = "toy.test/pricing" }]

[[models]]
model = "video"
operation = "video.generate"
"""

CODE = """
import asyncio
import os
import re
from pathlib import Path
import click
from callsheet.plugin import (StreamFinished, TextDelta, AbortOutcome, BlobArtifact, CallWarning, Expected, HandlerSpec, JobResult, Operation,
    ProviderRequest, Receipt, RemoteState, RemoteStatus, TextArtifact, WarningKind, error_for, ErrorKind, hookimpl)


class Toy:
    def prepare(self, job):
        kind = Expected("text", "text/plain") if job.operation is Operation.TEXT_GENERATE else Expected("blob", "image/png")
        warnings = (CallWarning(WarningKind.UNSUPPORTED, "no seed here", "seed"),) if job.inputs.seed is not None or getattr(job.inputs, "system", "") == "warn" else ()
        prompt = job.inputs.prompt
        for message in getattr(job.inputs, "messages", ()):
            said = [part.text if part.kind == "text" else part.file for part in message.parts]
            prompt = [*(prompt or []), message.role, *said]
        about = {name: value for name in ("system", "images", "files", "audio", "output_schema") if (value := getattr(job.inputs, name, None))}
        body = {**about, "prompt": prompt, "count": getattr(job.inputs, "count", 1), "options": dict(job.options)}
        return ProviderRequest(job.ref, job.operation, body, (kind,), {"run": 1}, warnings)

    async def invoke(self, request, context):
        options = request.body["options"]
        if "needs_key" in options:
            await context.secrets.require("TOY_KEY")
        if "fail" in options:
            extra = {"prompt": request.body["prompt"]} if options["fail"] == "content_rejected" else {}
            raise error_for(ErrorKind(options["fail"]))("toy says \\x1b[31mno", ref=str(request.ref), docs_url="https://toy.test/", **extra)
        if "hang" in options:
            Path("hanging").touch()
            await asyncio.Event().wait()
        if request.operation is Operation.TEXT_GENERATE:
            return JobResult((TextArtifact(f"text for {request.body['prompt']}"),), finish=options.get("finish", "stop"))
        files = [await context.store(b"\\x89PNG\\r\\n\\x1a\\n" + f"{request.body} {i}".encode(), "image/png") for i in range(request.body["count"])]
        return JobResult(tuple(BlobArtifact(file) for file in files))

    async def stream(self, request, context):
        result = await self.invoke(request, context)
        if request.operation is Operation.TEXT_GENERATE:
            for piece in re.findall(r"\\S+\\s*", result.artifacts[0].text):
                yield TextDelta(piece)
            if "cut" in result.artifacts[0].text:
                return
        yield StreamFinished(result)


class ToyJobs(Toy):
    invoke = None
    stream = None

    async def submit(self, request, context):
        return Receipt(request.ref, request.operation, "job-1", context.key, context.request_digest, request.expects, 1.0, state=request.body)

    async def poll(self, receipt, context):
        if "hang" in receipt.state["options"] or "TOY_HANGS" in os.environ:
            Path("hanging").touch()
            await asyncio.Event().wait()
        return RemoteStatus(RemoteState.SUCCEEDED)

    async def collect(self, receipt, context):
        return JobResult((BlobArtifact(await context.store(b"\\x89PNG\\r\\n\\x1a\\nvideo", "image/png")),))

    async def abort(self, receipt, context):
        Path("aborted").touch()
        return AbortOutcome(receipt.state["options"].get("abort", "stopped"))


@hookimpl
def callsheet_register_handlers():
    long = frozenset({Operation.VIDEO_GENERATE})
    short = frozenset(Operation) - long
    return [
        HandlerSpec("toy", Toy, operations=short, simulates=True), HandlerSpec("toy", ToyJobs, operations=long, simulates=True),
        HandlerSpec("*", Toy, operations=short, simulates=True),
    ]


@hookimpl
def callsheet_register_commands(cli):
    @cli.command()
    def greet():
        click.echo("hello")

    @cli.command()
    @click.option("--json", is_flag=True, expose_value=False)
    def crash():
        raise RuntimeError("oh")

    @cli.command("run")
    def hijack():
        click.echo("hijacked")
"""

SCHEMA = '{"type": "object", "properties": {"finish": {"type": "string", "default": "stop"}}}'

SHEET = """
title = "Two stills"
[inputs]
topic = "lava"
stills = 2
[producers.script]
operation = "text.generate"
models = ["toy:text"]
prompt = "about {{ inputs.topic }}"
[producers.still]
operation = "image.generate"
models = ["toy:image"]
for_each = "inputs.stills"
prompt = "{{ script }} {{ index }}"
"""


@dataclass(frozen=True)
class Ended:
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


@pytest.fixture
def toy(site, tmp_path, monkeypatch):
    """The toy provider installed, and nothing else; the working folder is empty."""
    root = site.install("callsheet-toy", toml=TOML, code=CODE, entry_name="toy")
    (root / "schemas").mkdir()
    (root / "schemas" / "text.json").write_text(SCHEMA)
    monkeypatch.setenv("CALLSHEET_PLUGINS", "toy")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "state" / "callsheet").mkdir(parents=True)
    (tmp_path / "state" / "callsheet" / "plugins-seen.json").write_text('{"callsheet-toy": "1.0"}')
    for name in ("NO_COLOR", "CI", "CALLSHEET_DEBUG", "TOY_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site.folder), os.environ.get("PYTHONPATH", "")]))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return root


@pytest.fixture
def cli(capsys):
    """Carries out a command line in this process."""

    def carry_out(*args: object) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return Ended(ended.value.code, out, err)

    return carry_out


@pytest.fixture
def sheet(toy):
    """Writes a sheet into a folder of the working folder."""

    def write(text: str = SHEET, name: str = "film") -> Path:
        folder = Path(name)
        folder.mkdir(exist_ok=True)
        (folder / "sheet.toml").write_text(text)
        return folder

    return write


@pytest.fixture
def producer():
    """The text of a producer, with options."""

    def write(name: str, prompt: str = "x", operation: str = "image", **options: object) -> str:
        lines = [f"[producers.{name}]", f'operation = "{operation}.generate"', f'models = ["toy:{operation}"]']
        lines += [f'prompt = "{prompt}"', f"[producers.{name}.options]"]
        return "\n".join([*lines, *(f"{key} = {json.dumps(value)}" for key, value in options.items())]) + "\n"

    return write
