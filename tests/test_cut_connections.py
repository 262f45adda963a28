"""Connections cut at every point of a call, with real processes against the vendors' counterparts: nothing is created twice.

In each case the files are whole in the end, or the message says what is known and which command goes on, and it does.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from callsheet.client import Client
from callsheet.http import HttpLimits
from callsheet.project import Project as CallsheetProject
from callsheet.secrets import MappingSecrets
from callsheet.settings import ProviderSettings, Settings
from callsheet.transfer.download import GuardedTransfer
from callsheet_elevenlabs.testing import Fault as Trouble
from callsheet_elevenlabs.testing import Server, refusal
from callsheet_replicate import api
from callsheet_replicate.testing import Delivery, Fault, ReplicateServer, Script

SHEET = """
title = "Cut"

[producers.still]
operation = "image.generate"
models = ["replicate:bytedance/seedream-4"]
prompt = "lava"
count = 2
"""
SPOKEN = """
title = "Cut"

[producers.narration]
operation = "speech.generate"
models = ["elevenlabs:eleven_v3"]
text = "Lava."
voice = "Guide"
"""
BUSY = Fault(status=503, body={"detail": "busy"}, headers={"retry-after": "0.01"})
DENIED = Fault(status=401, body={"detail": "no"})
COMMANDS = {
    "run": ("run", "."),
    "call": ("call", "replicate:bytedance/seedream-4", "-p", "prompt=lava", "-p", "count=2"),
}
FINDS_NOTHING, RESUMES = "lists no such prediction yet", r"`(callsheet resume [^`]+)`"


def picture(seed):
    """A PNG that takes more than one read."""
    stream = io.BytesIO()
    Image.frombytes("RGB", (256, 256), seed * (256 * 256)).save(stream, "PNG", compress_level=0)
    return stream.getvalue()


RED, BLUE = picture(b"\xff\0\0"), picture(b"\0\0\xff")


class Journal(list):
    """A server's journal that can be waited for."""

    def __init__(self):
        super().__init__()
        self._grown = threading.Condition()

    def append(self, entry):
        """One more, and whoever waits looks again."""
        with self._grown:
            super().append(entry)
            self._grown.notify_all()

    def wait_for(self, route, number):
        """Until so many requests of a route have arrived."""
        with self._grown:
            assert self._grown.wait_for(lambda: sum(each.route == route for each in self) >= number, timeout=60)


@dataclass
class Project:
    """A folder with a sheet, and the processes that work in it."""

    folder: Path
    environment: dict[str, str]

    def sheet(self, text):
        """Write the sheet."""
        (self.folder / "sheet.toml").write_text(text)

    def start(self, *words):
        """A callsheet command, in a process of its own."""
        command = [sys.executable, "-m", "callsheet", *words]
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("CALLSHEET_", "XDG_"))}
        env, pipe = kept | self.environment, subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=env, stdout=pipe, stderr=pipe, text=True)

    def run(self, *words, code=0):
        """Carry out a command to its end, and give what it printed."""
        with self.start(*words) as process:
            out, err = process.communicate(timeout=100)
        assert process.returncode == code, err
        return Said(self.folder, out, err)

    def go_on(self, said, pattern=RESUMES, code=0):
        """Carry out the command that a message says."""
        [*found] = dict.fromkeys(re.findall(pattern, said.err))
        assert found, said.err
        return self.run(*shlex.split(found[-1])[1:], code=code)


@dataclass
class Said:
    """What a command printed."""

    folder: Path
    out: str
    err: str

    @property
    def files(self):
        """The bytes of the files that it named on stdout."""
        return [(self.folder / line).read_bytes() for line in self.out.splitlines()]


@pytest.fixture
def replicate():
    """Replicate's counterpart, with a prediction of two pictures."""
    server = ReplicateServer()
    server.journal = Journal()
    server.script("bytedance/seedream-4", Script([Delivery(RED, "image/png"), Delivery(BLUE, "image/png")], polls=1))
    with server:
        yield server
    assert server.running == []


@pytest.fixture
def elevenlabs():
    """ElevenLabs' counterpart."""
    with Server() as server:
        yield server


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """What discovery remembers, for all the processes of these tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def project(tmp_path, cache, replicate, elevenlabs):
    """A project whose vendors are the counterparts."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "callsheet.toml").write_text("")
    project = Project(folder, {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CACHE_HOME": str(cache)})
    project.environment |= {"REPLICATE_BASE_URL": replicate.origin, "REPLICATE_API_TOKEN": replicate.key}
    project.environment |= {"ELEVENLABS_BASE_URL": elevenlabs.origin, "ELEVENLABS_API_KEY": elevenlabs.key}
    project.sheet(SHEET)
    return project


def closed_port():
    """A base URL where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


# before the create leaves


def test_nobody_listens(project, replicate):
    """Surely not sent: the message says how to go on, and then it is created once."""
    project.environment["REPLICATE_BASE_URL"] = closed_port()
    said = project.run("run", ".", code=1)
    assert "no connection" in said.err
    project.environment["REPLICATE_BASE_URL"] = replicate.origin
    assert project.go_on(said, r"nothing is paid twice\): (callsheet resume .+)").files == [RED, BLUE]
    assert len(replicate.asked("create")) == 1


def test_cut_before_the_create_was_taken(project, replicate):
    """Nobody can know that: unknown, with what the list says, and sent again only when the user says so."""
    replicate.fail("create", Fault(reset="before"))
    said = project.run("run", ".", code=1)
    assert FINDS_NOTHING in said.err
    assert FINDS_NOTHING in project.go_on(said, r"`(callsheet resume \w+)` asks for it again", code=1).err
    assert len(replicate.asked("create")) == 1
    assert project.go_on(said, r"`(callsheet resume \S+ --on-unknown retry)`").files == [RED, BLUE]
    assert len(replicate.predictions) == 1


# after it was accepted, before the reply


@pytest.mark.parametrize("fault", [Fault(reset="after"), Fault(size=20), Fault(size=0, abrupt=True)], ids=str)
def test_the_reply_was_lost(project, replicate, fault):
    """The prediction is found in the vendor's list, and the run goes on with it."""
    replicate.fail("create", fault)
    assert project.run("run", ".").files == [RED, BLUE]
    assert len(replicate.asked("create")) == 1
    assert len(replicate.asked("list")) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_the_reply_was_lost_and_the_list_is_no_help(project, replicate, command):
    """Unknown, with what the vendor said; the command in the message asks again and finds it."""
    replicate.fail("create", Fault(reset="after"))
    replicate.fail("list", Fault(status=500, body={"detail": "the list is broken"}))
    said = project.run(*COMMANDS[command], code=1)
    assert "the list is broken" in said.err
    assert project.go_on(said, r"`(callsheet resume \w+)` asks for it again").files == [RED, BLUE]
    assert len(replicate.asked("create")) == 1


def test_killed_before_the_reply(project, replicate):
    """The next process asks for it, and finds it."""
    replicate.fail("create", Fault(size=0, stall=True))
    kill_at(project.start("run", "."), replicate, "create", 1)
    [run] = runs(project)
    assert project.run("resume", run).files == [RED, BLUE]
    assert len(replicate.asked("create")) == 1


# while it is polled


@pytest.mark.parametrize(
    "faults",
    [[Fault(reset="before")], [Fault(reset="after")], [Fault(size=30)], [Fault(status=500)], [BUSY] * 5],
    ids=["reset", "reply lost", "reply cut", "500", "busy"],
)
def test_polls_are_cut(project, replicate, faults):
    """They are asked again."""
    replicate.fail("get", *faults)
    assert project.run("run", ".").files == [RED, BLUE]
    assert len(replicate.asked("create")) == 1


@pytest.mark.parametrize("faults", [[BUSY] * 12, [DENIED]], ids=["busy", "denied"])
@pytest.mark.parametrize("command", COMMANDS)
def test_the_wait_is_given_up(project, replicate, command, faults):
    """The job is not: its id is in the message, and the command there collects it."""
    replicate.fail("get", *faults)
    said = project.run(*COMMANDS[command], code=1)
    [job] = replicate.predictions
    assert f"the job {job} is still with the provider" in said.err
    if command == "call":
        assert project.go_on(said, r"to collect it: (callsheet resume .+)").files == [RED, BLUE]
    else:
        assert project.go_on(said).files == [RED, BLUE]
    assert len(replicate.asked("create")) == 1


def test_killed_while_it_is_polled(project, replicate):
    """The receipt is on record: the next process polls and collects."""
    replicate.fail("get", Fault(size=0, stall=True))
    kill_at(project.start("run", "."), replicate, "get", 1)
    [run] = runs(project)
    assert project.run("resume", run).files == [RED, BLUE]
    assert len(replicate.asked("create")) == 1


# while its files are fetched


@pytest.mark.parametrize("abrupt", [True, False], ids=["reset", "closed"])
def test_a_file_is_cut(project, replicate, abrupt):
    """It is continued where it ended, by Range, as often as it takes."""
    replicate.fail("file", Fault(size=50_000, abrupt=abrupt), Fault(size=70_000, abrupt=abrupt))
    assert project.run("run", ".").files == [RED, BLUE]
    asked = [each.headers.get("range", "") for each in replicate.asked("file")]
    assert asked[0] == asked[-1] == ""
    starts = [int(re.fullmatch(r"bytes=(\d+)-", each)[1]) for each in asked[1:-1]]
    assert len(starts) == 2
    assert 0 < starts[0] <= 50_000
    assert starts[0] < starts[1] <= starts[0] + 70_000
    assert len(replicate.asked("create")) == 1


@pytest.mark.parametrize("between", [False, True], ids=["first", "between two"])
@pytest.mark.parametrize("faults", [[Fault(reset="before")], [BUSY] * 3], ids=["reset", "busy"])
def test_a_file_cannot_be_had_at_once(project, replicate, faults, between):
    """The first one, or the second when the first is there already: only what is missing is asked for again."""
    replicate.fail("file", *[Fault()] * between, *faults)
    assert project.run("run", ".").files == [RED, BLUE]
    assert len(replicate.asked("file")) == len(faults) + 2
    assert len({each.path for each in replicate.asked("file")}) == 2
    assert len(replicate.asked("create")) == 1


def test_the_files_cannot_be_had_for_long(project, replicate):
    """The wait is given up, and the command in the message fetches them."""
    replicate.fail("file", *[BUSY] * 12)
    said = project.run("run", ".", code=1)
    assert project.go_on(said).files == [RED, BLUE]
    assert len(replicate.asked("create")) == 1


@pytest.mark.parametrize("expired", [True, False], ids=["links expired meanwhile", "links still good"])
def test_killed_between_two_files(project, replicate, expired):
    """The next process fetches them, by fresh links where the old ones are dead."""
    replicate.fail("file", Fault(), Fault(size=1000, stall=True))
    kill_at(project.start("run", "."), replicate, "file", 2)
    if expired:
        replicate.expire_outputs()
    [run] = runs(project)
    assert project.run("resume", run).files == [RED, BLUE]
    assert len(replicate.asked("create")) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_link_has_expired(project, replicate, status):
    """The prediction is asked again, and its fresh link is fetched; the file before it is not."""
    replicate.fail("file", Fault(), Fault(status=status))
    assert project.run("run", ".").files == [RED, BLUE]
    polls = len(replicate.asked("get"))
    assert len(replicate.asked("file")) == 3
    assert [each.route for each in replicate.journal][-3:] == ["file", "get", "file"]
    assert polls == 3
    assert len(replicate.asked("create")) == 1


@pytest.mark.parametrize("route", ["get", "file"])
async def test_silence(tmp_path, replicate, monkeypatch, route):
    """An answer that does not come is given up and asked for again; of a file, the rest. Here with short limits."""
    quick = HttpLimits(read=0.2, total=60.0)
    monkeypatch.setattr(api, "QUESTION", quick)
    monkeypatch.setitem(GuardedTransfer.__init__.__kwdefaults__, "limits", quick)
    replicate.fail(route, Fault(size=1000 if route == "file" else 0, stall=True))

    async def sleep(_seconds):
        """Nobody waits."""

    settings = Settings(providers={"replicate": ProviderSettings(base_url=replicate.origin)})
    secrets = MappingSecrets({"REPLICATE_API_TOKEN": replicate.key})
    async with await Client.open(CallsheetProject.at(tmp_path), settings, secrets=secrets, sleep=sleep) as client:
        result = await client.call("replicate:bytedance/seedream-4", prompt="lava", count=2)
        assert [artifact.location.read_bytes() for artifact in result.artifacts] == [RED, BLUE]
    ranges = [each.headers.get("range", "") for each in replicate.asked("file")]
    assert ranges == (["", "bytes=1000-", ""] if route == "file" else ["", ""])
    assert len(replicate.asked("create")) == 1


# an answer that is the file itself


REFUSALS = pytest.mark.parametrize(
    "trouble", [refusal(503, "busy"), refusal(429, "too_many_concurrent_requests")], ids=["503", "429"]
)


@REFUSALS
def test_speech_that_was_refused(project, elevenlabs, trouble):
    """Surely not paid: it is sent once more, by the same run."""
    project.sheet(SPOKEN)
    elevenlabs.fail(Trouble(), trouble)
    ended = project.run("run", ".")
    assert [len(file) > 1000 for file in ended.files] == [True]
    assert len(elevenlabs.asked("speech")) == 2


@REFUSALS
def test_speech_that_was_refused_for_good(project, elevenlabs, trouble):
    """Surely not paid: the run can go on, and sends it once more."""
    project.sheet(SPOKEN)
    (project.folder / "callsheet.toml").write_text("[retry]\nattempts = 1\n")
    elevenlabs.fail(Trouble(), trouble)
    said = project.run("run", ".", code=1)
    again = project.go_on(said, r"nothing is paid twice\): (callsheet resume .+)")
    assert [len(file) > 1000 for file in again.files] == [True]
    assert len(elevenlabs.asked("speech")) == 2


@pytest.mark.parametrize(
    "trouble",
    [
        Trouble(reset="before"),
        Trouble(reset="after"),
        Trouble(size=2000),
        Trouble(size=2000, abrupt=True),
        refusal(500, "broken"),
    ],
    ids=["before", "after", "closed within", "reset within", "500"],
)
def test_speech_that_was_cut(project, elevenlabs, trouble):
    """Perhaps paid: nothing of it is shown as whole, nothing is sent again until the user says so."""
    project.sheet(SPOKEN)
    elevenlabs.fail(Trouble(), trouble)
    said = project.run("run", ".", code=1)
    sent = len(elevenlabs.paid)
    assert said.files == []
    assert re.search(r"error: narration unknown: .*may be paid for already \(.*(cut|500|broken)", said.err), said.err
    run = re.search(r"callsheet resume (\S+) --on-unknown retry", said.err)[1]
    project.run("resume", run, code=1)
    assert len(elevenlabs.paid) == sent <= 1
    again = project.go_on(said, r"`(callsheet resume \S+ --on-unknown retry)`")
    assert [len(file) > 1000 for file in again.files] == [True]
    assert len(elevenlabs.paid) == sent + 1


def kill_at(process, server, route, number):
    """End the process with -9 once so many requests of a route have arrived."""
    with process:
        server.journal.wait_for(route, number)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL


def runs(project):
    """The ids of the project's runs."""
    return [each["run"] for each in json.loads(project.run("runs", "list", "--json").out)["runs"]]
