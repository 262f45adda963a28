"""A stage for the handlers (a job's context made by hand), clients with a clock of their own, and ffprobe."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from callsheet.client import Client
from callsheet.digests import digest, json_ready
from callsheet.inputs import blank_inputs, parse_inputs
from callsheet.jobs import Expected, Job, JobResult, ProviderRequest, Receipt
from callsheet.models import ModelInfo, ModelRef, Operation
from callsheet.pay_once import PayOnce
from callsheet.performing import Performer
from callsheet.plugin import JobContext
from callsheet.project import Project
from callsheet.secrets import MappingSecrets, Redactor, SecretScope
from callsheet.services import library_log
from callsheet.settings import Settings
from callsheet.stores.blobs import LocalBlobs
from callsheet.testing import FakeClock
from callsheet_mock.handlers import AnswerHandler, JobHandler
from callsheet_mock.journal import VARIABLE


@pytest.fixture(autouse=True)
def own_journal(monkeypatch):
    """The journal lies in the project unless a test says otherwise."""
    monkeypatch.delenv(VARIABLE, raising=False)


class Stage:
    """Makes contexts and performs calls without the engine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = LocalBlobs(folder / "blobs")
        self.clock = FakeClock()
        self.answers = AnswerHandler()
        self.jobs = JobHandler()

    def job(self, ref: str, operation: str, options: dict | None = None, **attributes: object) -> Job:
        model, wanted = ModelRef.parse(ref), Operation(operation)
        info = ModelInfo(model.provider, model.model, wanted)
        return Job("call", model, info, wanted, parse_inputs(wanted, attributes), options or {})

    def context(self, job: Job, *, key: str = "k" * 64, sample: int = 0, body: object = None) -> JobContext:
        async def accepted(_request_id: str) -> None:
            """Nobody records it."""

        async def taken(_job_id: str) -> bool:
            return False

        return JobContext(
            job=job,
            key=key,
            request_digest=digest({"ref": str(job.ref), "body": json_ready(body)}),
            sample=sample,
            attempt=1,
            origin="",
            secrets=SecretScope(MappingSecrets({}), Redactor(), frozenset(), "callsheet-mock"),
            files=self.blobs,
            http=None,  # the simulator sends nothing
            transfer=None,
            log=library_log(Redactor()),
            workspace=self.folder / "plugin",
            clock=self.clock,
            accepted=accepted,
            store=self.blobs.put,
            taken=taken,
        )

    def stranger(self, receipt: Receipt) -> JobContext:
        """The context of a process which knows nothing but the receipt."""
        info = ModelInfo(receipt.ref.provider, receipt.ref.model, receipt.operation)
        return self.context(Job("x", receipt.ref, info, receipt.operation, blank_inputs(receipt.operation)))

    def prepared(self, job: Job, *expects: Expected, key: str = "k" * 64, sample: int = 0):
        """The request (with promises of a live plugin, if given) and its context."""
        request = self.answers.prepare(job)
        if expects:
            request = replace(request, expects=expects)
        return request, self.context(job, key=key, sample=sample, body=request.body)

    async def answer(self, job: Job, *expects: Expected, sample: int = 0) -> JobResult:
        return await self.answers.invoke(*self.prepared(job, *expects, sample=sample))

    async def remote(self, job: Job, *expects: Expected, sample: int = 0) -> JobResult:
        """Submitted here, collected by a stranger."""
        receipt = await self.jobs.submit(*self.prepared(job, *expects, sample=sample))
        return await self.jobs.collect(receipt, self.stranger(receipt))

    def bare(self, job: Job) -> ProviderRequest:
        """A request whose maker promised nothing."""
        return ProviderRequest(job.ref, job.operation, {}, ())

    def path(self, artifact) -> Path:
        return self.blobs.path(artifact.file.sha256)

    def journal(self) -> list[dict]:
        file = self.folder / "plugin" / "journal.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A stage in an empty folder."""
    return Stage(tmp_path)


@pytest.fixture
def clock() -> FakeClock:
    """The clock of the clients."""
    return FakeClock()


@pytest.fixture
def opened(clock: FakeClock) -> Callable:
    """Open a client of a project folder, on the test's clock."""

    @asynccontextmanager
    async def open_client(folder: Path, *, settings: Settings | None = None, sleep: Callable | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        async with await Client.open(Project.at(folder), settings or Settings()) as client:
            services = replace(client.runtime.services, clock=clock, sleep=sleep or clock.sleep, chance=lambda: 0.0)
            client.runtime = replace(
                client.runtime, services=services, performer=Performer(services, PayOnce(services))
            )
            yield client

    return open_client


@pytest.fixture
def journal_of() -> Callable:
    """The lines of a project's journal."""

    def read(folder: Path) -> list[dict]:
        file = folder / ".callsheet" / "plugins" / "callsheet-mock" / "journal.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    return read


@pytest.fixture
def probe() -> Callable:
    """What ffprobe says of a file: its streams by kind, and its duration. ffprobe must be installed."""

    def ask(path: Path):
        command = ["ffprobe", "-v", "warning", "-show_streams", "-show_format", "-of", "json", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        found = json.loads(done.stdout)
        return {each["codec_type"]: each for each in found["streams"]}, float(found["format"]["duration"])

    return ask
