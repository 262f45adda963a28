"""The whole example live, as a user runs it: real processes against three vendors on this machine.

OpenAI is played by aimock, Replicate and ElevenLabs by the servers of their plugins. Processes are interrupted and killed at
moments that the servers choose; the servers' journals say what was paid for.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from PIL import Image

from callsheet_elevenlabs.testing import Server
from callsheet_replicate.testing import Delivery, Exchange, Fault, ReplicateServer, Script

ROOT = Path(__file__).parent.parent
EXAMPLE, PAGE = ROOT / "examples" / "volcano", ROOT / "docs" / "how-to" / "run-live.md"
KEY = "sk-test-volcano-4fZq9XbN7wLr2K"
STILL, CLIP = "bytedance/seedream-4", "bytedance/seedance-1-pro-fast"
VOICE, MUSIC = "minimax/speech-02-hd", "stability-ai/stable-audio-2.5"
CREATES = {STILL: 3, CLIP: 3, VOICE: 3, MUSIC: 1}
ALL = {"script.json", "music.mp3"} | {
    f"{name}-{n}.{kind}"
    for name, kind in {"prompt": "txt", "still": "jpg", "narration": "mp3", "clip": "mp4"}.items()
    for n in range(3)
}
INLINE = 256_000
"""Bytes of a file that Replicate takes inside of a request."""
TIMEOUT = 100
Come = Callable[[Sequence[Exchange]], bool]
"""Whether a moment has come, by what arrived until now."""


class Moments:
    """Acts when a request has arrived that a test waits for, before it is answered; a judge that objects to nothing."""

    def __init__(self) -> None:
        self.seen: list[Exchange] = []
        self._due: list[tuple[Come, Callable[[], object], Future[None]]] = []

    def __call__(self, exchange: Exchange) -> list[str]:
        """The server has one thread: nothing else of it happens meanwhile."""
        self.seen.append(exchange)
        for moment in [each for each in self._due if each[0](self.seen)]:
            self._due.remove(moment)
            moment[1]()
            moment[2].set_result(None)
        return []

    def when(self, come: Come, act: Callable[[], object]) -> Future[None]:
        """Act once as soon as it has come."""
        done: Future[None] = Future()
        self._due.append((come, act, done))
        return done


def nth(route: str, count: int, of: str = "") -> Come:
    """The moment of the n-th request of a route (about a model)."""
    return lambda seen: sum(each.route == route and of in each.path for each in seen) == count


@dataclass
class Media:
    """What the models make: files that others can open. `stills` are in order of creation; the first is too large to inline."""

    stills: list[bytes]
    clip: bytes
    sound: bytes
    music: bytes


@dataclass
class Set:
    """A copy of the example, and the three vendors that it runs against."""

    folder: Path
    media: Media
    openai: object
    replicate: ReplicateServer
    elevenlabs: Server
    moments: Moments

    def __post_init__(self) -> None:
        shutil.copytree(EXAMPLE, self.folder, ignore=shutil.ignore_patterns(".callsheet", "output*"))
        self.script(polls=0)

    def script(self, polls: int, clip_polls: int | None = None) -> None:
        """How predictions go from now on."""
        stills = [Script([Delivery(data, "image/jpeg")], polls=polls) for data in self.media.stills]
        self.replicate.script(STILL, *stills)
        clip = Delivery(self.media.clip, "video/mp4")
        self.replicate.script(CLIP, Script(clip, polls=polls if clip_polls is None else clip_polls))
        self.replicate.script(VOICE, Script(Delivery(self.media.sound, "audio/mpeg"), polls=polls))
        self.replicate.script(MUSIC, Script(Delivery(self.media.music, "audio/mpeg"), polls=polls))

    def environment(self, **more: str) -> dict[str, str]:
        """Keys and base URLs, and nothing else of the user's; an empty value takes a name away."""
        ours = ("CALLSHEET_", "OPENAI_", "REPLICATE_", "ELEVENLABS_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        keys = {
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": self.openai.origin,
            "REPLICATE_API_TOKEN": self.replicate.key,
            "REPLICATE_BASE_URL": self.replicate.origin,
            "ELEVENLABS_API_KEY": self.elevenlabs.key,
            "ELEVENLABS_BASE_URL": self.elevenlabs.origin,
        }
        return {name: value for name, value in {**kept, **keys, **more}.items() if value}

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command on its way."""
        return subprocess.Popen(
            [sys.executable, "-m", "callsheet", *words],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        """A command, carried out to its end."""
        command = [sys.executable, "-m", "callsheet", *words]
        env = self.environment(**more)
        run = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=TIMEOUT)
        assert run.returncode == code, run.stderr
        return run

    def signalled(self, come: Come, number: int, *words: str) -> tuple[int, str]:
        """A command that gets a signal at a moment: its exit code and stderr."""
        held: Future[subprocess.Popen[str]] = Future()

        def send() -> None:
            process = held.result()
            process.send_signal(number)
            if number == signal.SIGKILL:
                process.wait()  # whatever is answered now, nobody reads it

        done = self.moments.when(come, send)
        held.set_result(self.start(*words))
        _, err = held.result().communicate(timeout=TIMEOUT)
        assert done.done(), f"the moment never came: {err}"
        return held.result().returncode, err

    def ledger(self, statement: str) -> list[tuple]:
        """Carry out SQL on the project's ledger."""
        with closing(sqlite3.connect(self.folder / ".callsheet" / "ledger.sqlite3")) as db, db:
            return db.execute(statement).fetchall()

    def latest(self) -> str:
        """The id of the latest run."""
        return self.ledger("SELECT id FROM runs ORDER BY started DESC")[0][0]

    def minute_passes(self) -> None:
        """What was sent was sent a minute earlier: by now Replicate lists all that it accepted."""
        self.ledger("UPDATE calls SET created = created - 61")

    def go_on(self) -> None:
        """Resume until all is done, as the messages tell: at once, after a minute, and with the command that decides."""
        words = ["resume", self.latest()]
        for last in (False, False, True):
            process = self.start(*words)
            _, err = process.communicate(timeout=TIMEOUT)
            if process.returncode == 0:
                return
            assert not last, err
            assert process.returncode in (1, 5), err
            assert re.search(r"^error: \S+ unknown: ", err, re.MULTILINE), err
            assert "failed" not in err
            command = re.search(r"`callsheet (resume \w+ --on-unknown retry)`", err)[1]
            words = shlex.split(command) if "nobody can say" in err else words
            self.minute_passes()

    def created(self, model: str = "") -> list[dict]:
        """The inputs of the predictions that Replicate accepted, whether or not anybody heard of it."""
        made = self.replicate.predictions.values()
        return [each["input"] for each in made if model in ("", each["model"])]

    def models(self) -> Counter[str]:
        """How many predictions of each model it accepted."""
        return Counter(each["model"] for each in self.replicate.predictions.values())

    def assert_whole(self) -> None:
        """All files are there, the run is a success, and nothing goes on at the vendor."""
        files = {path.name for path in (self.folder / "output").iterdir()}
        assert files == ALL | {"manifest.json", "report.html"}
        manifest = json.loads((self.folder / "output" / "manifest.json").read_text())
        assert (manifest["status"], manifest["mode"], len(manifest["jobs"])) == ("succeeded", "live", 14)
        assert self.replicate.running == []
        assert self.ledger("SELECT job, state FROM calls WHERE state NOT IN ('succeeded', 'failed')") == []

    def assert_paid_once(self) -> None:
        """Each prediction was created once."""
        assert self.models() == CREATES
        inputs = Counter(json.dumps([each["model"], each["input"]]) for each in self.replicate.predictions.values())
        assert set(inputs.values()) == {1}


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Media:
    """The mock's own files, of a mocked run of the example, but for the first still: that one is noise, and large."""
    folder = tmp_path_factory.mktemp("media") / "volcano"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".callsheet", "output*"))
    command = [sys.executable, "-m", "callsheet", "run", ".", "--mode", "mock"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=TIMEOUT)
    made = {path.name: path.read_bytes() for path in (folder / "output-mock").iterdir()}
    noise = io.BytesIO()
    Image.effect_noise((1280, 720), 64).convert("RGB").save(noise, "JPEG")
    stills = [noise.getvalue(), made["still-1.jpg"], made["still-2.jpg"]]
    assert len(stills[0]) > INLINE > max(map(len, stills[1:]))
    return Media(stills, made["clip-0.mp4"], made["narration-0.mp3"], made["music.mp3"])


@pytest.fixture
def film(tmp_path: Path, media: Media, aimock: object) -> Iterator[Set]:
    """The example and its vendors, for one test."""
    moments = Moments()
    with ReplicateServer(judge=moments) as replicate, Server() as elevenlabs:
        yield Set(tmp_path / "volcano", media, aimock, replicate, elevenlabs, moments)


def opened(path: Path) -> str:
    """What another program says that a file is."""
    if path.suffix == ".jpg":
        with Image.open(path) as picture:
            picture.load()
            return str(picture.format)
    command = ["ffprobe", "-v", "error", "-show_entries", "format=format_name", "-of", "csv=p=0", str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stderr == ""
    return run.stdout.strip().strip('"')


def keys_in(folder: Path, film: Set) -> list[Path]:
    """The files in which one of the keys stands."""
    keys = [key.encode() for key in (KEY, film.replicate.key, film.elevenlabs.key)]
    return [f for f in folder.rglob("*") if f.is_file() and any(key in f.read_bytes() for key in keys)]


def test_the_whole_example_with_all_three_vendors(film, aimock):
    """From script to music under --strict; then other narrators; then nothing is left to do."""
    before = len(aimock.journal())
    film.script(polls=1)
    document = json.loads(film.run("run", ".", "--strict", "--json").stdout)
    assert (document["status"], document["executed"], document["failed"]) == ("succeeded", 14, 0)
    assert document["warnings"] == []
    assert 1.2 <= float(document["cost"]["usd"]) < 1.25  # the page on live runs says so
    film.assert_whole()
    film.assert_paid_once()
    output = film.folder / "output"
    kinds = {name: opened(output / name) for name in ALL if not name.endswith((".txt", ".json"))}
    assert Counter(kinds.values()) == {"JPEG": 3, "mp3": 4, "mov,mp4,m4a,3gp,3g2,mj2": 3}
    asked = aimock.journal()[before:]
    assert sorted(each["body"]["model"] for each in asked) == ["gpt-6-luna"] * 3 + ["gpt-6.1-sol"]
    assert film.elevenlabs.seen == []
    spoken = json.loads(film.run("run", ".", "--strict", "--json", "--model", "narration=elevenlabs:eleven_v3").stdout)
    assert (spoken["executed"], spoken["reused"]) == (3, 11)
    script = json.loads((output / "script.json").read_text())
    said = sorted(each.json["text"] for each in film.elevenlabs.paid)
    assert said == sorted(segment["narration"] for segment in script["segments"])
    assert {opened(output / f"narration-{n}.mp3") for n in range(3)} == {"mp3"}
    sent = len(film.replicate.journal), len(film.elevenlabs.seen), len(aimock.journal())
    assert json.loads(film.run("run", ".", "--json").stdout)["executed"] == 0
    assert (len(film.replicate.journal), len(film.elevenlabs.seen), len(aimock.journal())) == sent
    assert json.loads(film.run("runs", "verify", "--json").stdout)["ok"] is True
    assert keys_in(film.folder, film) == keys_in(Path(os.environ["XDG_STATE_HOME"]), film) == []


def test_each_clip_is_made_from_its_own_still(film):
    """A large still is uploaded and named by its link, small ones go inside of the request; each is that of its prompt."""
    film.run("run", ".")
    output = film.folder / "output"
    stills = {n: (output / f"still-{n}.jpg").read_bytes() for n in range(3)}
    assert sorted(stills.values()) == sorted(film.media.stills)
    prompts = [(output / f"prompt-{n}.txt").read_text() for n in range(3)]
    creates = [each["prompt"] for each in film.created(STILL)]
    for number, prompt in enumerate(prompts):  # the server gives the k-th picture to the k-th request
        assert stills[number] == film.media.stills[creates.index(prompt)]
    images = [each["image"] for each in film.created(CLIP)]
    (upload,) = film.replicate.asked("upload")
    assert film.media.stills[0] in upload.body
    linked = [image for image in images if not image.startswith("data:")]
    assert linked == [upload.reply["urls"]["get"]]
    inline = {image for image in images if image.startswith("data:image/jpeg;base64,")}
    assert len(inline) == 2


def test_ctrl_c_stops_the_clips_and_resume_makes_them(film):
    """Exit code 130, nothing runs at the vendor any more, and the printed command finishes without paying twice."""
    film.script(polls=0, clip_polls=100_000)

    def rolling(seen: Sequence[Exchange]) -> bool:
        clips = [each.reply["id"] for each in seen if each.route == "create" and CLIP in each.path]
        polled = {each.path.rpartition("/")[2] for each in seen if each.route == "get"}
        return len(clips) == 3 and polled.issuperset(clips) and film.replicate.running == clips

    code, told = film.signalled(rolling, signal.SIGINT, "run", ".")
    assert code == 130, told
    assert film.replicate.running == []
    assert len(film.replicate.asked("cancel")) == 3
    assert told.count("stopped") == 3
    manifest = json.loads((film.folder / "output" / "manifest.json").read_text())
    done = {job["id"] for job in manifest["jobs"] if job["status"] == "executed"}
    assert manifest["status"] == "cancelled"
    assert len(done) == 11
    film.script(polls=0)
    command = shlex.split(re.search(r"^to go on .*: callsheet (.*)$", told, re.MULTILINE)[1])
    film.run(*command)
    film.assert_whole()
    assert film.models() == {**CREATES, CLIP: 6}  # three stopped ones, and three that were made
    ended = Counter((each["model"], each["status"]) for each in film.replicate.predictions.values())
    assert ended[CLIP, "succeeded"] == ended[CLIP, "aborted"] + ended[CLIP, "canceled"] == 3


@pytest.mark.parametrize("count", [1, 3])
def test_ctrl_c_while_a_clip_is_being_submitted_stops_it(film, count):
    """Replicate has accepted it, and nobody here knows its id yet: its answer is awaited, and the clip is stopped."""
    film.script(polls=0, clip_polls=100_000)
    code, told = film.signalled(nth("create", count, CLIP), signal.SIGINT, "run", ".")
    assert code == 130, told
    assert film.replicate.running == []
    film.script(polls=0)
    film.go_on()
    film.assert_whole()
    assert [each["status"] for each in film.replicate.predictions.values()].count("succeeded") == 10


KILLS = [
    *(("create", n, "") for n in (1, 6)),
    ("create", 2, CLIP),
    *(("get", n, "") for n in (1, 9)),
    *(("file", n, "") for n in (2, 9)),
    ("upload", 1, ""),
]


@pytest.mark.parametrize(("route", "count", "of"), KILLS)
def test_killed_there_it_goes_on_and_pays_nothing_twice(film, route, count, of):
    """The process is gone before its request is answered: what runs is collected, what is lost is found."""
    code, told = film.signalled(nth(route, count, of), signal.SIGKILL, "run", ".")
    assert code == -9, told
    film.go_on()
    film.assert_whole()
    film.assert_paid_once()


def test_creates_whose_answers_are_lost_are_found(film):
    """The connection is cut after each of them was accepted: the run finds its predictions, and finishes by itself."""
    film.replicate.fail("create", *[Fault(reset="after")] * 10)
    film.run("run", ".")
    film.assert_whole()
    film.assert_paid_once()


def test_a_create_that_cannot_be_found_is_unknown_until_it_can(film):
    """It says what Replicate said and which command decides; that command asks first, too, and pays nothing twice."""
    film.replicate.fail("create", Fault(reset="after"), Fault(), Fault(reset="before"))
    film.replicate.fail("list", Fault(status=500), Fault(status=500))
    told = film.run("run", ".", code=5).stderr
    errors = re.findall(r"^error: (\S+) unknown: (.*)$", told, re.MULTILINE)
    assert len(errors) == 2
    assert all("was cut" in message and "asking for it" in message for _, message in errors)
    command = {re.search(r"`callsheet (resume \w+ --on-unknown retry)`", message)[1] for _, message in errors}
    left = json.loads(film.run("jobs", "--orphans", "--json").stdout)["jobs"]
    assert sorted(each["job"] for each in left) == sorted(job for job, _ in errors)
    film.run(*shlex.split(command.pop()))
    film.assert_whole()
    film.assert_paid_once()


def test_a_narration_whose_answer_is_lost_is_for_the_user(film):
    """ElevenLabs keeps no list: it is unknown, resume leaves it so, and the printed command speaks it again."""
    film.elevenlabs.fail(Fault(reset="after"))
    run = film.run("run", ".", "--model", "narration=elevenlabs:eleven_v3", code=5)
    job, command = re.search(r"^error: (\S+) unknown: .*`callsheet (.*)`", run.stderr, re.MULTILINE).groups()
    film.run("resume", film.latest(), code=5)
    assert len(film.elevenlabs.paid) == 3
    film.run(*shlex.split(command))
    said = [each.json["text"] for each in film.elevenlabs.paid]
    script = json.loads((film.folder / "output" / "script.json").read_text())
    assert said[3:] == [script["segments"][int(job[-2])]["narration"]]
    assert film.models() == {name: count for name, count in CREATES.items() if name != VOICE}


def test_the_commands_of_the_page_work(film):
    """What the page on live runs has in its blocks, from top to bottom, a minute after a run was killed."""
    film.signalled(nth("get", 9), signal.SIGKILL, "run", ".")
    film.minute_passes()
    blocks = re.findall(r"^```text\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    commands = [line.removeprefix("callsheet ") for block in blocks for line in block.splitlines()]
    assert len(commands) == 6
    for command in commands:
        told = command.replace("RUN", film.latest()).replace("examples/volcano", str(film.folder))
        film.run(*shlex.split(told))
    film.assert_whole()
    assert film.models() == CREATES
    assert len(film.elevenlabs.paid) == 3


def test_what_is_missing_shows_before_anything_is_paid_for(film, aimock):
    """A key of the last step, and a plugin: exit code 3, what to do, and nothing was sent to anybody."""
    before = len(aimock.journal())
    told = film.run("run", ".", code=3, REPLICATE_API_TOKEN="").stderr
    assert "callsheet-replicate needs the secret REPLICATE_API_TOKEN: set it with `export REPLICATE_API_TOKEN=" in told
    told = film.run("run", ".", code=3, REPLICATE_API_TOKEN="", OPENAI_API_KEY="").stderr
    assert {"OPENAI_API_KEY", "REPLICATE_API_TOKEN"} <= set(re.findall(r"export (\w+)=", told))
    told = film.run("run", ".", code=3, CALLSHEET_PLUGINS="openai").stderr
    assert "producers.still.models[0]" in told
    assert "callsheet-replicate" in told
    assert film.run("runs", "list").stdout == ""
    assert (len(film.replicate.journal), len(aimock.journal())) == (0, before)


def test_the_plan_says_what_each_job_will_cost(film):
    """To the cent where the units are known before; a range that holds the cost where they are not; else why not."""
    planned = {job["id"]: job["cost"] for job in json.loads(film.run("plan", ".", "--json").stdout)["jobs"]}
    ended = json.loads(film.run("run", ".", "--json").stdout)
    manifest = json.loads((film.folder / "output" / "manifest.json").read_text())
    paid = {job["id"]: Decimal(job["cost"]["usd"]) for job in manifest["jobs"]}
    exact = {name: Decimal(cost["usd"]) for name, cost in planned.items() if cost.get("usd")}
    assert exact == {name: paid[name] for name in exact}
    assert {name.partition("[")[0] for name in exact} == {"still", "clip", "music"}
    ranges = {name: (Decimal(cost["low"]), Decimal(cost["high"])) for name, cost in planned.items() if "low" in cost}
    assert list(ranges) == ["script"]
    assert all(0 < low < paid[name] < high for name, (low, high) in ranges.items())
    unknown = planned.keys() - exact.keys() - ranges.keys()
    assert {name.partition("[")[0] for name in unknown} == {"prompt", "narration"}
    assert {planned[name]["reason"] for name in unknown} == {"priced when its upstream is there"}
    assert Decimal(ended["cost"]["usd"]) == sum(paid.values())


def test_a_run_stops_before_the_clip_that_would_cost_too_much(film):
    """What is paid for finishes, the rest is told; with a higher bound the same run goes on, and nothing is paid twice."""
    sheet = film.folder / "sheet.toml"
    sheet.write_text(re.sub(r'(prompt = "prompts/.*)', r"\1\nmax_tokens = 4000", sheet.read_text()))
    run = film.run("run", ".", "--max-cost", "0.97", "--json", code=5)
    ended = json.loads(run.stdout)
    assert (ended["executed"], ended["failed"]) == (13, 1)
    (error,) = ended["errors"]
    assert (error["kind"], error["sent"], error["job"].partition("[")[0]) == ("budget", "not_sent", "clip")
    assert re.search(r"costs \$0\.30, and of the \$0\.97 for this run \$0\.9\d+ is spent", error["message"])
    assert film.models()[CLIP] == 2
    assert Decimal(ended["cost"]["usd"]) <= Decimal("0.97")
    plan = json.loads(film.run("plan", ".", "--json").stdout)
    assert plan["cost"] == {"usd": "0.30"}
    film.run("resume", ended["run"], "--max-cost", "2")
    film.assert_whole()
    film.assert_paid_once()
    manifest = json.loads((film.folder / "output" / "manifest.json").read_text())
    told = json.loads(film.run("costs", "--by", "provider", "--json").stdout)
    assert told["total"] == {"cost": manifest["cost"], "attempts": 14, "failed": 0, "unknown": 0}
    assert [row["name"] for row in told["costs"]] == ["openai", "replicate"]


def test_under_a_bound_nothing_of_unknown_price_is_sent(film):
    """Nobody has a price for this model on record; the message says so, and what allows it."""
    told = film.run("run", ".", "--max-cost", "5", "--model", "script=replicate:google/gemini-2.5-flash", code=1).stderr
    assert "no price is on record for this model" in told
    assert '[money] unknown = "allow"' in told
    assert film.created() == []
