"""What outputs show, and how it travels in a receipt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from callsheet.digests import canonical
from callsheet.plugin import JobLostError
from callsheet_mock.course import Course
from callsheet_mock.subject import CAPTION_CHARACTERS, Subject


def test_subject_of_a_call(stage):
    """Model, request, sample and the first words, without line breaks."""
    job = stage.job("acme:x", "image.generate", prompt="a\n  volcano \tat dusk")
    context = stage.context(job, sample=3)
    assert Subject.of(context) == Subject("acme:x", context.request_digest, 3, "a volcano at dusk")


def test_caption_is_short(stage):
    """A long prompt is cut: the state of a receipt stays small, whatever the script."""
    job = stage.job("acme:x", "image.generate", prompt="\U0001f30b" * 5000)
    subject = Subject.of(stage.context(job))
    assert len(subject.caption) == CAPTION_CHARACTERS
    assert len(canonical(Course(subject, 1e9).to_state())) < 4096


def test_readable_lines():
    """What pictures and clips say: model, words, sample, and which output of several."""
    subject = Subject("acme:x", "d", 2, "a volcano")
    assert subject.lines(0) == ["MOCK", "acme:x", "a volcano", "sample 2"]
    assert subject.lines(3) == ["MOCK", "acme:x", "a volcano", "sample 2, output 3"]


def test_seeds_differ():
    """Another model, request, sample or output gives another seed; the caption does not."""
    subject = Subject("acme:x", "d", 0, "a")
    others = [replace(subject, ref="acme:y"), replace(subject, request_digest="e"), replace(subject, sample=1)]
    drawn = [each.seed(0).bytes(8) for each in [subject, *others]] + [subject.seed(1).bytes(8)]
    assert len(set(drawn)) == 5
    assert replace(subject, caption="b").seed(0).bytes(8) == drawn[0]


async def test_course_travels_in_a_receipt(stage):
    """What a receipt carries is what was submitted."""
    options = {"latency": 7, "fail_after_acceptance": True}
    job = stage.job("mock:video", "video.generate", options, prompt="lava")
    request, context = stage.prepared(job, sample=4)
    receipt = await stage.jobs.submit(request, context)
    assert Course.of(receipt) == Course(Subject.of(context), stage.clock.now + 7, hangs=False, fails=True)


@pytest.mark.parametrize(
    "change",
    [
        {"sample": "x"},
        {"ready": "soon"},
        {"ready": "nan"},
        {"ready": float("inf")},
        {"caption": None, "sample": None},
        {"hangs": ...},
    ],
)
async def test_strange_receipts_are_lost_jobs(stage, change):
    """A receipt that the mock did not write is an error of its own, for each of poll, collect and abort."""
    receipt = await stage.jobs.submit(*stage.prepared(stage.job("mock:video", "video.generate", prompt="x")))
    state = {**receipt.state, **change}
    strange = replace(receipt, state={name: value for name, value in state.items() if value is not ...})
    for method in (stage.jobs.poll, stage.jobs.collect, stage.jobs.abort):
        with pytest.raises(JobLostError, match="knows no job by the receipt of mock:video"):
            await method(strange, stage.stranger(strange))


def test_time_left():
    """Seconds until a job is done; one that hangs is never done."""
    subject = Subject("a:b", "d", 0, "")
    assert Course(subject, 10.0).left(4.0) == 6.0
    assert Course(subject, 10.0).left(11.0) == 0.0
    assert Course(subject, 10.0, hangs=True).left(11.0) == float("inf")
