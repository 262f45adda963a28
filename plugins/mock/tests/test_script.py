"""Reading the options that script the mock."""

from __future__ import annotations

import pytest

from callsheet.plugin import ErrorKind, InvalidRequestError, Sent
from callsheet_mock.script import Script


def test_nothing_scripted():
    """Without options nothing goes wrong."""
    assert Script.of({}) == Script()
    assert Script.of({}).refusal(0, "mock:x") is None


def test_everything_scripted():
    """All options are read."""
    fail = {"first": 2, "kind": "rate_limited", "sent": "rejected", "retry_after": 1, "message": "slow down"}
    script = Script.of({"latency": 3, "hang": True, "fail_after_acceptance": 2, "fail": fail})
    assert script == Script(3.0, 2, ErrorKind.RATE_LIMITED, Sent.REJECTED, 1.0, "slow down", 2, hang=True)


@pytest.mark.parametrize("kind", ErrorKind)
def test_refusal_of_each_kind(kind):
    """Each kind gives its own error; `sent` is the kind's own unless it is said."""
    script = Script.of({"fail": {"kind": kind.value}})
    error = script.refusal(0, "mock:x", "a prompt")
    assert error is not None
    assert (error.kind, error.ref, str(error)) == (kind, "mock:x", "scripted failure")
    assert error.sent is type(error).default_sent
    assert error.prompt == ("a prompt" if kind is ErrorKind.CONTENT_REJECTED else "")
    assert script.refusal(1, "mock:x") is None


@pytest.mark.parametrize("sent", Sent)
def test_refusal_with_each_sent(sent):
    """What is known of the request can be scripted apart from the kind."""
    error = Script.of({"fail": {"sent": sent.value, "retry_after": 0.5}}).refusal(0, "mock:x")
    assert error is not None
    assert (error.sent, error.retry_after) == (sent, 0.5)


def test_first_attempts_fail():
    """The first n attempts fail, the next does not."""
    script = Script.of({"fail": {"first": 2}})
    assert [script.refusal(n, "mock:x") is None for n in range(4)] == [False, False, True, True]


@pytest.mark.parametrize(("value", "lost"), [(True, True), (False, False), (0, False), (1, True)])
def test_fail_after_acceptance_takes_both(value, lost):
    """A switch or a number."""
    assert (Script.of({"fail_after_acceptance": value}).lost_first > 0) is lost


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"latancy": 1}, "no 'latancy': they are fail, fail_after_acceptance, hang, latency"),
        ({"latency": "soon"}, "latency wants seconds"),
        ({"latency": -1}, "latency wants seconds"),
        ({"latency": float("nan")}, "latency wants seconds"),
        ({"latency": float("inf")}, "latency wants seconds"),
        ({"latency": True}, "latency wants seconds"),
        ({"hang": "yes"}, "hang wants true or false"),
        ({"hang": 1}, "hang wants true or false"),
        ({"fail": 2}, "fail wants a table"),
        ({"fail": {"frist": 1}}, "`fail` have no 'frist'"),
        ({"fail": {"first": -1}}, "fail.first wants a whole number"),
        ({"fail": {"first": 1.5}}, "fail.first wants a whole number"),
        ({"fail": {"first": True}}, "fail.first wants a whole number"),
        ({"fail": {"kind": "bad_luck"}}, "fail.kind wants one of authentication, .*, not 'bad_luck'"),
        ({"fail": {"sent": "perhaps"}}, "fail.sent wants one of not_sent, rejected, finished, unknown"),
        ({"fail": {"retry_after": "1"}}, "fail.retry_after wants seconds"),
        ({"fail_after_acceptance": "true"}, "fail_after_acceptance wants a whole number"),
        ({"fail_after_acceptance": -1}, "fail_after_acceptance wants a whole number"),
    ],
)
@pytest.mark.parametrize("wire", ["answers", "jobs"])
def test_wrong_options_are_found_by_prepare(stage, options, text, wire):
    """A wrong option is refused before anything is sent, by its name."""
    job = stage.job("mock:image", "image.generate", options, prompt="x")
    with pytest.raises(InvalidRequestError, match=text) as caught:
        getattr(stage, wire).prepare(job)
    assert caught.value.sent is Sent.NOT_SENT
    assert stage.journal() == []


@pytest.mark.parametrize("wire", ["answers", "jobs"])
def test_options_of_others_are_not_read(stage, wire):
    """The options of other providers' models are for their vendors, whatever they are called."""
    options = {"hang": True, "latency": "none", "fail": 3, "guidance": 7}
    request = getattr(stage, wire).prepare(stage.job("acme:image", "image.generate", options, prompt="x"))
    assert request.body["options"] == options
