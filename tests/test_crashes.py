"""Kill -9 at every point of a run: what is paid for is not paid again, and the end is the same."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ONCE = {"mock:video": [1, 1], "mock:image-job": [1, 1], "mock:music": [1]}
"""Jobs with receipts: however often the process dies, each is submitted exactly once."""

EVENTS = [
    "run.started:1",
    *(f"job.started:{n}" for n in (1, 3, 5, 8)),
    *(f"job.sending:{n}" for n in range(1, 9)),
    *(f"job.submitted:{n}" for n in range(1, 6)),
    *(f"job.succeeded:{n}" for n in range(1, 9)),
    "run.finished:1",
]
JOURNAL = [
    *(f"accepted:{n}:after" for n in range(1, 9)),
    *(f"accepted:{n}:before" for n in (1, 3, 4, 6, 8)),
    *(f"collected:{n}:{when}" for n in (1, 3, 5) for when in ("before", "after")),
]
KILLS = [*(("PROBE_KILL", point) for point in EVENTS), *(("CALLSHEET_MOCK_KILL", point) for point in JOURNAL)]


@pytest.fixture(scope="session")
def stages():
    """The module beside: test modules cannot import each other."""
    if "callsheet_stage" not in sys.modules:
        path = Path(__file__).parent / "crash" / "stage.py"
        spec = importlib.util.spec_from_file_location("callsheet_stage", path)
        sys.modules["callsheet_stage"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["callsheet_stage"]


@pytest.fixture
def stage(stages, tmp_path):
    """A project with eight jobs: text and pictures in one answer, clips, posters and music with receipts."""
    return stages.Stage.build(tmp_path)


@pytest.fixture(scope="session")
def undisturbed(stages, tmp_path_factory):
    """The manifest of a run that nothing happened to."""
    calm = stages.Stage.build(tmp_path_factory.mktemp("calm"))
    ended = calm.run("run", ".")
    assert ended.returncode == 0, ended.stderr
    assert calm.accepted() == {"mock:text": [1], "mock:image": [1, 1], **ONCE}
    assert len(calm.manifest()["jobs"]) == stages.JOBS
    return calm.manifest()


def go_on(stage, *words):
    """Resume the run, or begin it when it was killed before it was on record."""
    run = stage.latest()
    return stage.run("resume", run, *words) if run else stage.run("run", ".", *words)


def assert_whole(stage, undisturbed):
    """Complete, every receipt job paid for once, the same manifest, and nothing altered on disk."""
    accepted = stage.accepted()
    assert {ref: counts for ref, counts in accepted.items() if ref in ONCE} == ONCE
    assert stage.manifest() == undisturbed
    assert stage.torn() == []
    verified = stage.run("runs", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_there_are_kills_enough():
    """Each case below asserts that its kill happened."""
    assert len(set(KILLS)) >= 40


@pytest.mark.parametrize(("variable", "point"), KILLS, ids=lambda value: value)
def test_one_kill(stage, undisturbed, variable, point):
    """Killed there, then resumed: only a picture that was on its way is put to the user, and by name."""
    killed = stage.run("run", ".", **{variable: point})
    assert killed.returncode == -9, killed.stderr
    lost = stage.in_state("sending", "mock:image")
    resumed = go_on(stage)
    if lost:
        assert resumed.returncode in (1, 5), resumed.stderr
        for job in lost:
            told = re.search(rf"^error: {re.escape(job)} unknown: .*$", resumed.stderr, re.MULTILINE)
            assert f"callsheet resume {stage.latest()} --on-unknown retry" in told[0]
        assert max(stage.accepted()["mock:image"], default=0) <= 1
        assert stage.in_state("unknown", "mock:image") == lost
        resumed = go_on(stage, "--on-unknown", "retry")
    assert resumed.returncode == 0, resumed.stderr
    pictures = stage.accepted()["mock:image"]
    assert len(pictures) == 2
    assert sum(pictures) <= 2 + len(lost)
    assert max(stage.accepted()["mock:text"]) <= 2
    assert_whole(stage, undisturbed)


def test_killed_at_every_second_step_until_it_is_done(stage, undisturbed):
    """Each process takes two steps and dies; together they finish, and submit nothing twice."""
    kills, ended = 0, stage.run("run", ".", PROBE_KILL="*:2")
    while ended.returncode == -9:
        kills += 1
        assert kills < 40
        ended = go_on(stage, "--on-unknown", "retry") if kills % 2 else stage.run("resume", stage.latest(), PROBE_KILL="*:2")
    assert ended.returncode == 0
    assert_whole(stage, undisturbed)
