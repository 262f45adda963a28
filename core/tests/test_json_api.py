"""A vendor's JSON described once: keys, errors by code and status, jobs by their words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from callsheet.artifacts import FileRef
from callsheet.context import JobContext, ProviderContext
from callsheet.errors import ErrorKind, ProviderError, Sent
from callsheet.http import FormFile, HttpReply
from callsheet.inputs import SoundInputs
from callsheet.jobs import AbortOutcome, Expected, Job, ProviderRequest, RemoteState
from callsheet.json_api import JsonApi
from callsheet.models import ModelInfo, ModelRef, Operation
from callsheet.secrets import Secret

REF = ModelRef("acme", "loop")
SOUND = Operation.SOUND_GENERATE
REQUEST = ProviderRequest(REF, SOUND, {}, (Expected("blob", "audio/wav"),))
PICTURE = FileRef("0" * 64, "image/png", 3, "ash.png")
KINDS = {"no_credit": ErrorKind.QUOTA_EXCEEDED, "unsafe": ErrorKind.CONTENT_REJECTED}
API = JsonApi(
    key_header="x-key", key_prefix="", message="errors.0.text", code="errors.0.code", kinds=KINDS, wait_header="x-wait"
)
STATES = {
    "waiting": RemoteState.QUEUED,
    "going": RemoteState.RUNNING,
    "made": RemoteState.SUCCEEDED,
    "broken": RemoteState.FAILED,
    "stopped": RemoteState.CANCELLED,
}


def refusal(code, text="It went wrong."):
    """The vendor's envelope."""
    return {"errors": [{"code": code, "text": text}]}


class Vendor:
    """Answers each request with the next reply, and keeps what it was asked."""

    def __init__(self, status=200, body=None, key="k-1", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.reply, self.asked, self._key = HttpReply(status, named, data), [], key

    async def send(self, method, path, **more):
        """As `Http.send`."""
        self.asked.append((method, path, more))
        return self.reply

    async def key(self):
        """The first secret, if one is declared."""
        return Secret(self._key) if self._key else None

    @property
    def call(self):
        """The context of a call to it."""
        job = Job("call", REF, ModelInfo("acme", "loop", SOUND), SOUND, SoundInputs(prompt="a gong"))
        rest = dict.fromkeys(("files", "transfer", "log", "accepted", "store", "taken"))
        services = {"secrets": self, "http": self, "clock": lambda: 1000.0, "workspace": Path(), **rest}
        return JobContext(job, "key-1", "digest-1", sample=0, attempt=1, origin="http://x", **services)

    @property
    def question(self):
        """The context of a question that belongs to no call."""
        return ProviderContext("acme", self, self, SimpleNamespace(), lambda: 1000.0)


async def error_of(vendor, context=None, api=API):
    """What a refused request raises."""
    with pytest.raises(ProviderError) as caught:
        await api.send(context or vendor.call, "POST", "/loops", json={})
    return caught.value


async def test_a_request_has_the_key_and_gives_the_object():
    """In the header that the vendor wants, beside other headers; what `Http.send` takes goes through."""
    vendor = Vendor(201, {"id": "l1"})
    answer = await API.send(vendor.call, "POST", "/loops", json={"a": 1}, headers={"idempotency-key": "k"})
    assert answer == {"id": "l1"}
    sent = {"headers": {"x-key": "k-1", "idempotency-key": "k"}, "json": {"a": 1}}
    assert vendor.asked == [("POST", "/loops", sent)]
    assert await JsonApi().headers(vendor.call) == {"authorization": "Bearer k-1"}
    assert await API.headers(Vendor(key="").question) == {}


@pytest.mark.parametrize(
    ("status", "code", "kind", "sent"),
    [
        (400, "odd", "invalid_request", Sent.REJECTED),
        (401, "bad_key", "authentication", Sent.REJECTED),
        (402, "", "quota_exceeded", Sent.REJECTED),
        (403, "no_credit", "quota_exceeded", Sent.REJECTED),
        (404, "no_model", "model_not_found", Sent.REJECTED),
        (422, "unsafe", "content_rejected", Sent.REJECTED),
        (429, "slow_down", "rate_limited", Sent.REJECTED),
        (500, "", "overloaded", Sent.UNKNOWN),
        (503, "", "overloaded", Sent.REJECTED),
    ],
)
async def test_an_error_is_told_by_its_code_then_by_its_status(status, code, kind, sent):
    """With the vendor's words, the model's name, and the prompt where it was refused."""
    error = await error_of(Vendor(status, refusal(code)))
    assert (error.kind, error.sent, error.status_code, error.ref) == (kind, sent, status, "acme:loop")
    assert str(error) == f"acme:loop answered: It went wrong.{f' ({code})' if code else ''}"
    assert error.prompt == ("a gong" if kind == "content_rejected" else "")


async def test_how_long_to_wait_stands_in_the_vendor_s_own_header():
    """In milliseconds; without it, in Retry-After."""
    assert (await error_of(Vendor(429, refusal(""), x_wait="1500"))).retry_after == 1.5
    assert (await error_of(Vendor(429, refusal(""), x_wait="1500", retry_after_ms="9"))).retry_after == 1.5
    assert (await error_of(Vendor(429, refusal(""), retry_after_ms="9"))).retry_after == 0.009
    assert (await error_of(Vendor(429, refusal(""), retry_after="7"))).retry_after == 7
    assert (await error_of(Vendor(429, refusal("")), api=JsonApi())).retry_after is None


async def test_a_header_is_meant_however_it_is_written():
    """Names of headers are the same in capitals (RFC 9110, section 5.1), and the vendor's document may have some."""
    written = replace(API, wait_header="X-Wait")
    assert (await error_of(Vendor(429, refusal(""), x_wait="1500"), api=written)).retry_after == 1.5


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"errors": []}', b'{"errors": [{"text": null}]}'])
async def test_an_error_without_an_explanation(body):
    """Whatever stands in the place of the envelope."""
    error = await error_of(Vendor(500, body))
    assert (error.kind, str(error)) == ("overloaded", "acme:loop answered: status 500 without an explanation")


@pytest.mark.parametrize("body", [b"[1]", b'"x"', b"{"])
async def test_a_success_that_is_no_object(body):
    """Nobody knows what it stands for, so it may have been paid for."""
    error = await error_of(Vendor(200, body))
    assert (error.kind, error.sent) == ("malformed_output", Sent.UNKNOWN)


@pytest.mark.parametrize("status", [404, 410])
async def test_a_job_that_is_gone_is_lost(status):
    """It had been accepted; a question about it never means that the model is not there."""
    with pytest.raises(ProviderError, match="It went wrong") as caught:
        await API.ask(Vendor(status, refusal("gone")).call, "/loops/l1")
    assert (caught.value.kind, caught.value.sent) == ("job_lost", Sent.UNKNOWN)


async def test_a_question_about_a_job_waits_for_a_minute_at_most():
    """And can be of any method."""
    vendor = Vendor(200, {"status": "stopped"})
    assert await API.ask(vendor.call, "/loops/l1", method="DELETE") == {"status": "stopped"}
    ((method, path, more),) = vendor.asked
    assert (method, path, more["limits"].total) == ("DELETE", "/loops/l1", 60)


@pytest.mark.parametrize("word", ["waiting", "going", "made", "stopped"])
def test_a_job_stands_where_its_word_says(word):
    """The answer goes along, for the collect that follows."""
    answer = {"job": {"state": word}}
    status = API.status(answer, STATES, Vendor().call, "job.state")
    assert (status.state, status.answer) == (STATES[word], answer)


@pytest.mark.parametrize(
    ("told", "progress"), [(40, 0.4), (12.5, 0.125), (0, 0.0), (140, 1.0), (-3, 0.0), ("40", None), (None, None)]
)
def test_how_far_a_job_is(told, progress):
    """From 0 to 1, whatever the vendor says in percent; nothing where it says no number."""
    answer = {"job": {"state": "going", "done": told}}
    assert API.status(answer, STATES, Vendor().call, "job.state", percent="job.done").progress == progress
    assert API.status(answer, STATES, Vendor().call, "job.state").progress is None


def test_how_often_the_vendor_wants_to_be_asked():
    """It is a fact of its API, and each answer about a job has it."""
    patient = replace(API, poll_after=0.5)
    assert patient.status({"status": "going"}, STATES, Vendor().call).poll_after == 0.5
    assert API.status({"status": "going"}, STATES, Vendor().call).poll_after is None


@pytest.mark.parametrize(
    ("code", "kind", "prompt"), [("boom", "job_failed", ""), ("unsafe", "content_rejected", "a gong")]
)
def test_a_job_that_failed_raises(code, kind, prompt):
    """What the vendor says of it; it was accepted and is over."""
    with pytest.raises(ProviderError, match=rf"acme:loop reports: It went wrong\. \({code}\)") as caught:
        API.status({"status": "broken", **refusal(code)}, STATES, Vendor().call)
    assert (caught.value.kind, caught.value.sent, caught.value.prompt) == (kind, Sent.FINISHED, prompt)
    with pytest.raises(ProviderError, match=rf"It went wrong\. \({code}\)") as beside:
        API.status({"job": {"state": "broken", **refusal(code)}}, STATES, Vendor().call, "job.state")
    assert beside.value.kind == kind
    with pytest.raises(ProviderError, match="it failed without an explanation"):
        API.status({"status": "broken"}, STATES, Vendor().call)


@pytest.mark.parametrize("answer", [{}, {"status": "lunch"}, {"status": 7}, {"status": ["made"]}])
def test_an_unknown_word_is_no_state(answer):
    """Whether the job was done, nobody knows then."""
    with pytest.raises(ProviderError, match=r"unknown status '\w*' \(at status\)") as caught:
        API.status(answer, STATES, Vendor().call)
    assert (caught.value.kind, caught.value.sent) == ("malformed_output", Sent.UNKNOWN)


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("stopped", AbortOutcome.STOPPED),
        ("made", AbortOutcome.ALREADY_FINISHED),
        ("broken", AbortOutcome.ALREADY_FINISHED),
        ("going", AbortOutcome.UNKNOWN),
        ("lunch", AbortOutcome.UNKNOWN),
    ],
)
def test_what_an_abort_reached(word, outcome):
    """A job that still runs may yet be paid for."""
    assert API.outcome({"status": word}, STATES) is outcome


def test_texts_and_numbers_by_their_path():
    """Steps are names, or places in a list; what must be there and is not was paid for nevertheless."""
    answer = {"jobs": [{"id": "l1", "size": 3}], "done": True, "none": None}
    context = Vendor().call
    assert (API.text(answer, "jobs.0.id", context), API.text(answer, "jobs.0.size", context)) == ("l1", "3")
    assert (API.number(answer, "jobs.0.size"), API.number(answer, "jobs.0.id"), API.number(answer, "jobs.1.size")) == (
        3,
        None,
        None,
    )
    for path in ("jobs", "jobs.1.id", "jobs.x.id", "done", "none", "jobs.0.id.more", ""):
        with pytest.raises(ProviderError, match="gave an answer without") as caught:
            API.text(answer, path, context)
        assert caught.value.sent is Sent.FINISHED
    with pytest.raises(ProviderError, match="without id") as caught:
        API.text({}, "id", context, sent=Sent.UNKNOWN)
    assert caught.value.sent is Sent.UNKNOWN


async def test_a_question_without_a_call_names_the_provider():
    """There is no model then, and no prompt."""
    vendor = Vendor(422, refusal("unsafe"))
    error = await error_of(vendor, vendor.question)
    assert (str(error), error.prompt) == ("acme answered: It went wrong. (unsafe)", "")


def test_a_receipt_of_the_call():
    """All but the job's id is known already."""
    receipt = Vendor().call.receipt(REQUEST, "l1", state={"take": 2}, expires=1500.0)
    assert (receipt.ref, receipt.operation, receipt.job_id, receipt.expects) == (REF, SOUND, "l1", REQUEST.expects)
    assert (receipt.key, receipt.request_digest, receipt.created) == ("key-1", "digest-1", 1000.0)
    assert (receipt.state, receipt.expires) == ({"take": 2}, 1500.0)
    assert Vendor().call.receipt(REQUEST, "l2").state == {}


class Talks(Vendor):
    """Gives its answers (status, body) one after the other."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = [
            HttpReply(status, {}, b"" if body is None else json.dumps(body).encode()) for status, body in answers
        ]

    async def send(self, method, path, **more):
        """The next one."""
        self.reply = self.answers.pop(0)
        return await super().send(method, path, **more)


@pytest.mark.parametrize(
    ("answers", "again", "outcome"),
    [
        ([(200, {"status": "stopped"})], "", AbortOutcome.STOPPED),
        ([(200, {"status": "stopped"})], "/loops/l1", AbortOutcome.STOPPED),
        ([(200, {"status": "going"})], "", AbortOutcome.UNKNOWN),
        ([(200, {"status": "going"}), (200, {"status": "stopped"})], "/loops/l1", AbortOutcome.STOPPED),
        ([(200, {"status": "going"}), (200, {"status": "going"})], "/loops/l1", AbortOutcome.UNKNOWN),
        ([(204, None), (200, {"status": "made"})], "/loops/l1", AbortOutcome.ALREADY_FINISHED),
        ([(204, None)], "", AbortOutcome.UNKNOWN),
        ([(409, refusal("over"))], "", AbortOutcome.ALREADY_FINISHED),
        ([(409, refusal("over")), (200, {"status": "broken"})], "/loops/l1", AbortOutcome.ALREADY_FINISHED),
        ([(409, refusal("over")), (200, {"status": "stopped"})], "/loops/l1", AbortOutcome.STOPPED),
        ([(409, refusal("busy")), (200, {"status": "going"})], "/loops/l1", AbortOutcome.UNKNOWN),
    ],
)
async def test_an_abort_asks_once_more_at_most(answers, again, outcome):
    """Of a job that has not stopped yet, and of one that cannot be stopped any more; all questions are answered."""
    vendor = Talks(*answers)
    assert await API.abort(vendor.call, "/loops/l1/stop", STATES, method="POST", again=again) is outcome
    assert vendor.answers == []
    assert [(method, path) for method, path, _ in vendor.asked][1:] == [("GET", again)] * (len(answers) - 1)


@pytest.mark.parametrize(("status", "kind"), [(404, "job_lost"), (400, "invalid_request"), (503, "overloaded")])
async def test_an_abort_that_is_refused_raises(status, kind):
    """Nothing is known then, and nothing more is asked."""
    vendor = Talks((status, refusal("no")))
    with pytest.raises(ProviderError) as caught:
        await API.abort(vendor.call, "/loops/l1", STATES, again="/loops/l1")
    assert (caught.value.kind, vendor.asked[0][0], len(vendor.asked)) == (kind, "DELETE", 1)


def calling(taken=()):
    """A call in a project where other calls have these jobs."""

    async def has(job_id):
        return job_id in taken

    return replace(Vendor().call, taken=has)


JOBS = [{"id": "l3", "at": "1970-01-01T00:16:50Z"}, {"id": "l2", "at": 995}, {"id": "l1", "at": 699}]


@pytest.mark.parametrize(
    ("jobs", "taken", "job_id"),
    [
        (JOBS, (), "l3"),
        (JOBS[::-1], (), "l3"),
        (JOBS, ("l3",), "l2"),
        (JOBS, ("l3", "l2", "l1"), None),
        ([{"id": "l0", "at": 700}], (), "l0"),
        ([], (), None),
    ],
)
async def test_the_job_that_was_lost(jobs, taken, job_id):
    """The newest that is nobody else's; five minutes before `since` are still after it, for clocks and rounding."""
    found = await API.found({"all": jobs}, "all", REQUEST, 1000.0, calling(taken), made_at="at")
    assert (found and found.job_id) == job_id
    assert found is None or (found.key, found.expects) == ("key-1", REQUEST.expects)


@pytest.mark.parametrize(
    ("jobs", "taken", "job_id"),
    [
        (JOBS, ("l3", "l2"), "l1"),
        (JOBS[2:], (), "l1"),
        ([{"id": "l0", "at": 0}, *JOBS[2:]], (), "l1"),
        ([{"id": "l0", "at": 0}, *JOBS[2:]], ("l1",), "l0"),
    ],
)
async def test_a_job_that_is_only_too_old_does_not_say_that_there_is_none(jobs, taken, job_id):
    """A clock that is wrong by more than five minutes does it: who took it for nothing found would pay twice."""
    with pytest.raises(ProviderError, match=f"has the job {job_id} of this call, accepted [0-9,]+ s before") as caught:
        await API.found({"all": jobs}, "all", REQUEST, 1000.0, calling(taken), made_at="at")
    assert (caught.value.kind, caught.value.sent) == ("malformed_output", Sent.UNKNOWN)
    assert "the clock" in str(caught.value)


async def test_the_lost_job_of_a_vendor_that_tells_no_time():
    """The first that is free, by the id where the vendor has it."""
    listed = {"all": [{"job": {"no": 7}}, {"job": {"no": 8}}]}
    found = await API.found(listed, "all", REQUEST, 1000.0, calling(["7"]), id_at="job.no")
    assert found.job_id == "8"


@pytest.mark.parametrize("answer", [{}, {"all": None}, {"all": {"id": "l1"}}, {"all": [{}]}, {"all": [{"id": "l1"}]}])
async def test_a_list_that_is_none_does_not_say_that_there_is_no_job(answer):
    """Who took it for nothing found would pay twice."""
    with pytest.raises(ProviderError) as caught:
        await API.found(answer, "all", REQUEST, 1000.0, calling(), made_at="at")
    assert (caught.value.kind, caught.value.sent) == ("malformed_output", Sent.UNKNOWN)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("1970-01-01T00:16:40Z", 1000),
        ("1970-01-01T01:16:40.5+01:00", 1000.5),
        ("1970-01-01T00:16:40", 1000),
        (1000, 1000),
    ],
)
def test_a_moment_in_seconds(told, seconds):
    """Written with its zone, in UTC without one, or told in seconds since the epoch."""
    assert API.moment({"at": told}, "at", Vendor().call) == seconds


@pytest.mark.parametrize("told", ["yesterday", "", None, True, [1000]])
def test_no_moment(told):
    """What says when is wrong; whether the job was done is for the caller to say."""
    with pytest.raises(ProviderError, match="at") as caught:
        API.moment({"at": told}, "at", Vendor().call, sent=Sent.UNKNOWN)
    assert (caught.value.kind, caught.value.sent) == ("malformed_output", Sent.UNKNOWN)


class Shelf:
    """Files of which the vendor has none."""

    async def read(self, file):
        """The same for all."""
        return b"ash"

    async def upload(self, file, send):
        """Uploads it, and shows what was remembered."""
        self.kept = await send()
        return self.kept.address


@pytest.mark.parametrize(("name", "called"), [("ash.png", "ash.png"), ("", "picture.png")])
async def test_an_upload_is_a_form_with_one_file(name, called):
    """Its address and when it ends are read from the answer; a file without a name gets one, for forms without are not files."""
    vendor = Vendor(201, {"asset": {"id": "a-1", "until": 2000}})
    context = replace(vendor.call, files=Shelf())
    file, kept = replace(PICTURE, name=name), {"address": "asset.id", "expires": "asset.until"}
    assert await API.upload(context, file, "/assets", field="picture", form={"for": "loops"}, **kept) == "a-1"
    ((method, path, more),) = vendor.asked
    assert (method, path, more["form"]) == ("POST", "/assets", {"for": "loops"})
    assert more["files"] == [FormFile("picture", called, "image/png", b"ash")]
    assert (context.files.kept.address, context.files.kept.expires) == ("a-1", 2000)


async def test_a_file_is_fetched_with_the_key():
    """And with the vendor's own word for how long to wait; what is known of the file goes along."""
    asked = []

    class Fetching:
        async def download(self, url, media_type, name="", **more):
            asked.append((url, media_type, name, more))
            return PICTURE

    context = replace(Vendor().call, transfer=Fetching())
    artifact = await API.download(context, "https://x/1", "image/png", name="ash.png", width=4)
    assert (artifact.file, artifact.width) == (PICTURE, 4)
    assert asked == [("https://x/1", "image/png", "ash.png", {"headers": {"x-key": "k-1"}, "wait_header": "x-wait"})]


async def test_an_upload_that_is_kept_for_ever():
    """The vendor says nothing of an end."""
    context = replace(Vendor(200, {"id": "a-1"}).call, files=Shelf())
    assert await API.upload(context, PICTURE, "/files") == "a-1"
    assert context.files.kept.expires is None


async def test_a_success_without_content():
    """RFC 9110, section 15.3.5."""
    assert await API.send(Talks((204, None)).call, "DELETE", "/loops/l1") == {}
