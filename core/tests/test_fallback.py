"""Falling back: when another model may be asked, which one cannot, and what is told."""

from __future__ import annotations

import pytest

from callsheet.errors import CapabilityUnsupportedError, ConfigError, ErrorKind, Sent, error_for
from callsheet.fallback import changed_outputs, may_fall_back, refuse_lacking, told_of
from callsheet.jobs import CallWarning, Expected, ProviderRequest, WarningKind
from callsheet.models import ModelRef, Operation
from callsheet.runs import RunRequest
from callsheet.sheet import CallSheet

HOPELESS = {ErrorKind.CONTENT_REJECTED, ErrorKind.INVALID_REQUEST, ErrorKind.CANCELLED}


def request(model, *left_out, kind=WarningKind.UNSUPPORTED, operation=Operation.VIDEO_GENERATE, expects=()):
    """A request whose mapping left these attributes out."""
    warnings = tuple(CallWarning(kind, f"no {name}", name) for name in left_out)
    return ProviderRequest(ModelRef("acme", model), operation, {}, tuple(expects), {}, warnings)


@pytest.mark.parametrize("sent", list(Sent))
@pytest.mark.parametrize("kind", list(ErrorKind))
def test_when_the_next_model_is_asked(kind, sent):
    """When the call is surely over, and was not refused for its input."""
    error = error_for(kind)("no", sent=sent)
    assert may_fall_back(error) == (sent is not Sent.UNKNOWN and kind not in HOPELESS)


def test_an_overdue_call_that_may_be_paid_is_left_only_by_who_insists():
    """Two payments are the user's choice; and only a call that is overdue is left behind."""
    late = error_for(ErrorKind.TIMEOUT)("late", sent=Sent.UNKNOWN)
    lost = error_for(ErrorKind.CONNECTION_FAILED)("cut", sent=Sent.UNKNOWN)
    assert [may_fall_back(late), may_fall_back(late, insists=True)] == [False, True]
    assert not may_fall_back(lost, insists=True)


@pytest.mark.parametrize("name", ["image", "last_frame", "duration"])
def test_a_fallback_that_leaves_out_what_is_needed_is_refused(name):
    """A first frame or a length is not a matter of taste."""
    with pytest.raises(CapabilityUnsupportedError, match=f"acme:b takes no {name}, and acme:a does"):
        refuse_lacking(request("a"), request("b", name))


def test_a_schema_is_needed_too_unless_it_is_emulated():
    """What is asked for in the prompt is asked for."""
    text = Operation.TEXT_GENERATE
    refuse_lacking(request("a"), request("b", "output_schema", kind=WarningKind.EMULATED, operation=text))
    with pytest.raises(CapabilityUnsupportedError, match="output_schema"):
        refuse_lacking(request("a"), request("b", "output_schema", operation=text))


def test_what_the_first_model_leaves_out_as_well_is_no_reason():
    """Nor is what only changes the look; what the first model does take, is one."""
    refuse_lacking(request("a", "image"), request("b", "image"))
    refuse_lacking(request("a"), request("b", "aspect_ratio", "seed", ""))
    with pytest.raises(CapabilityUnsupportedError, match="takes no image, and"):
        refuse_lacking(request("a", "aspect_ratio"), request("b", "image", "aspect_ratio"))


def test_other_outputs_are_told():
    """By what both are known to make; what is not known is not compared."""
    one = Expected("blob", "video/mp4", duration=5.0, width=1280, height=720)
    other = Expected("blob", "video/mp4", duration=6.0, width=1920, height=None, fps=24)
    (told,) = changed_outputs(request("a", expects=[one]), request("b", expects=[other]))
    assert told.kind is WarningKind.ADJUSTED
    assert told.message == "acme:b gives width 1920 instead of 1280, duration 6.0 instead of 5.0"
    assert changed_outputs(request("a", expects=[one]), request("b", expects=[one])) == ()
    (fewer,) = changed_outputs(request("a", expects=[one, one]), request("b", expects=[one]))
    assert fewer.message == "acme:b gives 1 outputs instead of 2"


def test_the_failure_is_told_with_its_kind():
    """Which model failed, why, and which one was asked."""
    error = error_for(ErrorKind.OVERLOADED)("busy")
    assert told_of(error, "acme:a", "acme:b").message == "acme:a failed (overloaded), so acme:b was asked: busy"


@pytest.mark.parametrize("strict", [False, True])
async def test_the_plan_tells_which_fallback_lacks_what_is_needed(studio, strict):
    """Before anything is paid for; as an error under `strict`."""
    folder = studio.sheet(
        '[producers.a]\noperation = "text.generate"\nmodels = ["acme:text", "acme:plain"]\n'
        'prompt = "lava"\noutput_schema = "s.json"\n',
        s_json='{"type": "object"}',
    )
    async with await studio.open() as client:
        if strict:
            with pytest.raises(ConfigError, match="acme:plain takes no output_schema"):
                await client.plan(CallSheet.load(folder), RunRequest(strict=True))
            return
        plan = await client.plan(CallSheet.load(folder))
    assert plan.warnings[0].message == (
        "a: the fallback acme:plain cannot be used: acme:plain takes no output_schema, and acme:text does"
    )
