"""Kill -9 at every point of a run: what is paid for is not paid again, and the end is the same."""

from __future__ import annotations

import re

import pytest

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
    *(f"collected:{n}:{when}" for n in (1, 4) for when in ("before", "after")),
]
KILLS = [*(("PROBE_KILL", point) for point in EVENTS), *(("CALLSHEET_MOCK_KILL", point) for point in JOURNAL)]


def test_there_are_kills_enough():
    """Each case below asserts that its kill happened."""
    assert len(set(KILLS)) >= 40


@pytest.mark.parametrize(("variable", "point"), KILLS, ids=lambda value: value)
def test_one_kill(stage, undisturbed, variable, point):
    """Killed there, then resumed: only a picture that was on its way is put to the user, and by name."""
    killed = stage.run("run", ".", **{variable: point})
    assert killed.returncode == -9, killed.stderr
    lost = stage.in_state("sending", "mock:image")
    resumed = stage.go_on()
    if lost:
        assert resumed.returncode in (1, 5), resumed.stderr
        for job in lost:
            told = re.search(rf"^error: {re.escape(job)} unknown: .*$", resumed.stderr, re.MULTILINE)
            assert f"callsheet resume {stage.latest()} --on-unknown retry" in told[0]
        assert max(stage.accepted()["mock:image"], default=0) <= 1
        assert stage.in_state("unknown", "mock:image") == lost
        resumed = stage.go_on("--on-unknown", "retry")
    assert resumed.returncode == 0, resumed.stderr
    pictures = stage.accepted()["mock:image"]
    assert len(pictures) == 2
    assert sum(pictures) <= 2 + len(lost)
    assert max(stage.accepted()["mock:text"]) <= 2
    stage.assert_whole(undisturbed)


def test_killed_after_every_step_until_it_is_done(stage, undisturbed):
    """Each process takes a step at least and dies; together they finish, and submit nothing twice."""
    taken, ended = [_steps(stage)], stage.run("run", ".", PROBE_KILL="*:1")
    while ended.returncode == -9:
        taken.append(_steps(stage))
        assert taken[-2] < taken[-1]
        assert len(taken) < 30
        ended = stage.go_on("--on-unknown", "retry", PROBE_KILL="*:1")
    assert ended.returncode == 0, ended.stderr
    # Steps of jobs side by side may be written at once; a picture, and its clip submitted and finished, come one by one.
    assert len(taken) - 1 >= 3
    stage.assert_whole(undisturbed)


def _steps(stage) -> int:
    """How many steps are on record for good."""
    rows = stage.query("SELECT count(*) FROM events WHERE type IN ('job.submitted', 'job.succeeded')")
    return int(rows[0][0]) if rows else 0
