"""Two processes on one project, and Ctrl-C: each job is done once, and nobody loses what somebody else waits for."""

from __future__ import annotations

import signal

import pytest

CLIP = """
title = "A clip that takes long"

[producers.picture]
operation = "image.generate"
models = ["mock:image"]
prompt = "lava"
size = "64x64"

[producers.clip]
operation = "video.generate"
models = [{ ref = "mock:video", options = { COURSE } }]
prompt = "it flows"
image = "picture"
duration = 1
size = "64x64"

[producers.words]
operation = "audio.transcribe"
models = ["mock:transcribe"]
audio = "clip"
"""
ALL_ONCE = {"mock:text": [1], "mock:image": [1, 1]}


@pytest.fixture
def clip(stages, tmp_path):
    """Makes a project with a clip on a course (the mock's options), and a job that needs the clip."""
    return lambda course: stages.Stage.build(tmp_path, CLIP.replace("COURSE", course))


def waiting(stage):
    """A second run of the sheet, which waits for a job of the first one by now."""
    second = stage.start("run", ".", PROBE_HOLD="job.waiting:1", PROBE_GO="")
    assert second.line().startswith("job.waiting ")
    return second


def told_of(stage, event):
    """The jobs and runs that an event was written of."""
    return stage.query(f"SELECT job, run FROM events WHERE type = '{event}' ORDER BY seq")


def test_two_runs_do_each_job_once(stage, stages, undisturbed):
    """The second one waits for what the first one does; both end well, in the same folder."""
    first = stage.start("run", ".", PROBE_HOLD="job.submitted:2")
    assert first.line().startswith("job.submitted ")
    second = waiting(stage)
    first.let_go()
    ends = [first.end(), second.end()]
    assert [code for code, _ in ends] == [0, 0], ends
    assert stage.accepted() == {**ALL_ONCE, **stages.ONCE}
    assert len(told_of(stage, "job.succeeded")) == stages.JOBS
    assert stage.run("runs", "verify").returncode == 0
    assert stage.torn() == []


def test_the_survivor_takes_over_from_a_killed_process(stage, stages):
    """Kill -9 frees the jobs at that moment: the one which waits polls the receipts and submits nothing again."""
    first = stage.start("run", ".", PROBE_HOLD="job.submitted@poster[0]:1")
    assert first.line() == "job.submitted poster[0]"
    second = waiting(stage)
    first.process.kill()
    code, err = second.end()
    assert code == 0, err
    assert first.end()[0] == -signal.SIGKILL
    assert stage.accepted() == {**ALL_ONCE, **stages.ONCE}
    assert stage.query("SELECT epoch FROM calls WHERE job = 'poster[0]'") == [(2,)]
    assert stage.query("SELECT DISTINCT state FROM calls") == [("succeeded",)]
    waits = stage.query("SELECT min(seq) FROM events WHERE type = 'job.waiting'")
    ends = stage.query("SELECT seq FROM events WHERE type = 'job.succeeded' AND job = 'poster[0]'")
    assert waits[0] < ends[0]
    assert stage.query("SELECT * FROM waits") == []


def test_one_interrupt_aborts_what_this_process_owns(clip):
    """Nothing new is started, the provider is told, all is on record, and the message says how to go on."""
    stage = clip("hang = true")
    guest = stage.start("run", ".", PROBE_HOLD="job.submitted:1", PROBE_GO="")
    assert guest.line() == "job.submitted clip"
    guest.process.send_signal(signal.SIGINT)
    code, err = guest.end()
    assert code == 130
    assert f"callsheet resume {stage.latest()}" in err
    assert stage.journal("aborted").total() == 1
    assert stage.journal("accepted", "mock:transcribe").total() == 0
    assert stage.query("SELECT status FROM runs") == [("cancelled",)]
    assert stage.in_state("failed", "mock:video") == ["clip"]
    assert stage.run("runs", "verify").returncode == 0
    sheet = stage.folder / "sheet.toml"
    sheet.write_text(sheet.read_text().replace("hang = true", "hang = false"))
    assert stage.run("resume", stage.latest()).returncode == 0


def test_a_second_interrupt_ends_at_once(clip):
    """A provider that does not answer the abort keeps nobody waiting: the receipt is on record, no abort is."""
    stage = clip("hang = true")
    guest = stage.start("run", ".", PROBE_HOLD="job.submitted:1", PROBE_GO="", PROBE_ABORT="hang")
    assert guest.line() == "job.submitted clip"
    guest.process.send_signal(signal.SIGINT)
    assert guest.line() == "aborting"
    guest.process.send_signal(signal.SIGINT)
    code, err = guest.end()
    assert code == 130
    assert "callsheet resume" in err
    assert "Traceback" not in err
    assert told_of(stage, "job.aborted") == []
    assert stage.in_state("submitted", "mock:video") == ["clip"]


def test_an_interrupt_leaves_the_job_that_another_process_waits_for(clip):
    """The first one lets go of the job instead of aborting it, and the second one collects it."""
    stage = clip("latency = 3")
    first = stage.start("run", ".", PROBE_HOLD="job.submitted:1")
    assert first.line() == "job.submitted clip"
    run = stage.latest()
    second = waiting(stage)
    first.process.send_signal(signal.SIGINT)
    first.let_go()
    assert first.end()[0] == 130
    code, err = second.end()
    assert code == 0, err
    assert told_of(stage, "job.left") == [("clip", run)]
    assert stage.journal("aborted").total() == 0
    assert stage.accepted()["mock:video"] == [1]


def test_a_dead_process_s_wait_keeps_no_job_alive(clip):
    """Who was killed waits for nothing: the job is aborted."""
    stage = clip("hang = true")
    first = stage.start("run", ".", PROBE_HOLD="job.submitted:1")
    assert first.line() == "job.submitted clip"
    second = waiting(stage)
    second.process.kill()
    assert second.end()[0] == -signal.SIGKILL
    assert len(stage.query("SELECT * FROM waits")) == 1
    first.process.send_signal(signal.SIGINT)
    first.let_go()
    assert first.end()[0] == 130
    assert stage.journal("aborted").total() == 1
