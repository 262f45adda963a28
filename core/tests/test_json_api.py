"""A vendor's JSON described once: keys, errors by code and status, jobs by their words."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from callsheet.context import JobContext, ProviderContext
from callsheet.errors import ErrorKind, ProviderError, Sent
from callsheet.http import HttpReply
from callsheet.inputs import SoundInputs
from callsheet.jobs import AbortOutcome, Expected, Job, ProviderRequest, RemoteState
from callsheet.json_api import JsonApi
from callsheet.models import ModelInfo, ModelRef, Operation
from callsheet.secrets import Secret

REF = ModelRef("acme", "loop")
SOUND = Operation.SOUND_GENERATE
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
    assert (await error_of(Vendor(429, refusal(""), retry_after="7"))).retry_after == 7
    assert (await error_of(Vendor(429, refusal("")), api=JsonApi())).retry_after is None


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
    with pytest.raises(ProviderError, match="unknown status") as caught:
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
    request = ProviderRequest(REF, SOUND, {}, (Expected("blob", "audio/wav"),))
    receipt = Vendor().call.receipt(request, "l1", state={"take": 2}, expires=1500.0)
    assert (receipt.ref, receipt.operation, receipt.job_id, receipt.expects) == (REF, SOUND, "l1", request.expects)
    assert (receipt.key, receipt.request_digest, receipt.created) == ("key-1", "digest-1", 1000.0)
    assert (receipt.state, receipt.expires) == ({"take": 2}, 1500.0)
    assert Vendor().call.receipt(request, "l2").state == {}
