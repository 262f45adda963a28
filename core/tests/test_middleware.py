"""Middleware: around each live call, inside of fallbacks and outside of retries; what it may do and what not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from callsheet.artifacts import TextArtifact
from callsheet.discovery import Discovery
from callsheet.errors import OverloadedError, PluginError, ProviderError, Sent
from callsheet.jobs import CallWarning, WarningKind
from callsheet.pay_once import OnUnknown
from callsheet.plugin import hookimpl
from callsheet.plugin_host import PluginHost
from callsheet.policies import Policies
from callsheet.streams import StreamFinished, TextDelta

NOTE = CallWarning(WarningKind.OTHER, "seen")


class Watch:
    """A plugin with these middlewares."""

    def __init__(self, *middleware):
        self.middleware = middleware
        self.asked = 0

    @hookimpl
    def callsheet_register_middleware(self):
        """All of them."""
        self.asked += 1
        return self.middleware


@pytest.fixture
def watched(studio, fakes):
    """Open a client of the project with a plugin that has these middlewares."""

    async def open_client(*middleware, provides=("middleware",), **more):
        top = {"provides": list(provides)}
        plugin = ("watch", Watch(*middleware), fakes.manifest("watch", top=top))
        return await studio.open(host=PluginHost(Discovery(), extra=[*studio.extra(), plugin]), **more)

    return open_client


def noting(seen, name):
    """A middleware that notes when it is entered and left."""

    async def note(job, request, proceed):
        seen.append(f"{name} {request.ref} {job.id}")
        result = await proceed()
        seen.append(f"{name} left")
        return result

    return note


async def test_the_first_is_the_outermost(watched):
    """In the order in which they are given; each with the job and its request."""
    seen = []
    async with await watched(noting(seen, "a"), noting(seen, "b")) as client:
        await client.call("acme:text", prompt="lava")
    assert seen == ["a acme:text call", "b acme:text call", "b left", "a left"]


async def test_retries_are_inside_and_fallbacks_outside(watched, studio):
    """One entrance for all tries of a model, and one more for the next model."""
    seen = []
    studio.policies = Policies()
    studio.acme.script["call"] = [OverloadedError("busy")] * 4
    async with await watched(noting(seen, "a")) as client:
        await client.call("acme:text", prompt="lava", fallbacks=["acme:other"])
    assert seen == ["a acme:text call", "a acme:other call", "a left"]


async def test_what_it_raises_keeps_the_call_from_being_sent(watched, studio):
    """As an error of its own, and as one that lets the next model be asked."""

    async def forbid(_job, request, proceed):
        if request.ref.model == "text":
            raise ProviderError("not today", sent=Sent.NOT_SENT)
        return await proceed()

    async with await watched(forbid) as client:
        with pytest.raises(ProviderError, match="not today"):
            await client.call("acme:text", prompt="lava")
        assert studio.acme.sent == []
        await client.call("acme:text", prompt="lava", fallbacks=["acme:other"])
    assert studio.acme.sent == ["call"]


async def test_it_may_add_warnings_and_not_exchange_artifacts(watched):
    """What is on record is what everybody gets."""

    async def annotate(_job, _request, proceed):
        return replace(await proceed(), warnings=(NOTE,))

    async def forge(_job, _request, proceed):
        return replace(await proceed(), artifacts=(TextArtifact("forged"),))

    async with await watched(annotate) as client:
        assert (await client.call("acme:text", prompt="lava")).warnings == (NOTE,)
    async with await watched(forge) as client:
        with pytest.raises(PluginError, match="middleware gave another result than the call"):
            await client.call("acme:text", prompt="lava")


@pytest.mark.parametrize("durable", [True, False])
async def test_what_is_paid_for_is_not_paid_again_however_often_it_asks(watched, studio, durable):
    """The second answer is the first one, also where no ledger keeps it."""

    async def twice(_job, _request, proceed):
        first = await proceed()
        assert (await proceed()).artifacts == first.artifacts
        return first

    async with await watched(twice, durable=durable) as client:
        await client.call("acme:text", prompt="lava")
    assert studio.acme.sent == ["call"]


@pytest.mark.parametrize("durable", [True, False])
async def test_what_may_be_paid_for_is_not_sent_again_however_often_it_asks(watched, studio, durable):
    """Nobody knows what became of it: a second try is not the middleware's to decide."""

    async def stubborn(_job, _request, proceed):
        try:
            return await proceed()
        except ProviderError:
            return await proceed()

    studio.acme.script["call"] = [ProviderError("cut", sent=Sent.UNKNOWN)]
    async with await watched(stubborn, durable=durable) as client:
        with pytest.raises(ProviderError, match="cut"):
            await client.call("acme:text", prompt="lava", on_unknown=OnUnknown.FAIL)
    assert studio.acme.sent == ["call"]


async def test_it_may_try_again(watched, studio):
    """Each time is an attempt of its own, on record."""

    async def insist(_job, _request, proceed):
        try:
            return await proceed()
        except OverloadedError:
            return await proceed()

    studio.acme.script["call"] = [OverloadedError("busy")]
    async with await watched(insist) as client:
        result = await client.call("acme:text", prompt="lava", reuse=True)
    assert result.artifacts[0].text == "re: lava #0"
    assert studio.acme.sent == ["call", "call"]


async def test_a_broken_one_is_named(watched):
    """Whether it raises or gives something else."""

    async def breaks(_job, _request, _proceed):
        raise ValueError("oops")

    async def empty(_job, _request, proceed):
        await proceed()

    async with await watched(breaks) as client:
        with pytest.raises(PluginError, match=r"middleware .*breaks fails: ValueError: oops"):
            await client.call("acme:text", prompt="lava")
    async with await watched(empty) as client:
        with pytest.raises(PluginError, match=r"empty gave a NoneType and not a JobResult"):
            await client.call("acme:text", prompt="lava")


async def test_a_stream_comes_whole(watched):
    """Nothing slips past the guards in pieces."""
    seen = []
    async with await watched(noting(seen, "a")) as client:
        events = [event async for event in client.stream("acme:live", prompt="lava")]
    assert [type(event) for event in events] == [TextDelta, StreamFinished]
    assert [warning.kind for warning in events[-1].result.warnings] == [WarningKind.EMULATED]
    assert seen == ["a acme:live call", "a left"]


async def test_only_who_provides_it_is_asked(watched):
    """The manifest says so, before any code is run."""
    seen = []
    async with await watched(noting(seen, "a"), provides=()) as client:
        await client.call("acme:text", prompt="lava")
    assert seen == []


async def test_a_guard_that_cannot_be_loaded_fails_the_call(site, studio):
    """Nothing is sent past it."""
    site.install(
        "fence", toml='api = 1\nprovides = ["middleware"]\n', code="raise RuntimeError('no')", entry_name="fence"
    )
    host = PluginHost(site.discover(), extra=studio.extra())
    async with await studio.open(host=host) as client:
        with pytest.raises(PluginError, match=r"fence.*cannot be loaded"):
            await client.call("acme:text", prompt="lava")
    assert studio.acme.sent == []


async def test_something_else_than_middleware_is_refused(watched, studio):
    """By the name of the plugin."""
    async with await watched("not callable") as client:
        with pytest.raises(PluginError, match="callsheet_register_middleware gave a str and not Middleware"):
            await client.call("acme:text", prompt="lava")
    assert studio.acme.sent == []
