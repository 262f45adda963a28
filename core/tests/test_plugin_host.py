"""The plugin host: imports that fail, hooks that are wrong, and calls through the hooks that are right."""

from __future__ import annotations

import asyncio
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from callsheet.discovery import Discovery
from callsheet.errors import MalformedOutputError, PluginError, Sent
from callsheet.plugin import (
    AbortCall,
    AbortOutcome,
    HandlerSpec,
    HandlerStart,
    InvokeCall,
    JobResult,
    ModelInfo,
    ModelRef,
    Operation,
    Receipt,
    TextArtifact,
    hookimpl,
)
from callsheet.plugin_host import PluginHost
from callsheet.storage import Event

ACME = 'api = 1\nprovides = ["events"]\n[provider]\nname = "acme"\n'
GOOD = """
from callsheet.plugin import HandlerSpec, hookimpl

print("hello from the import")

@hookimpl
def callsheet_register_handlers():
    return [HandlerSpec("acme", object)]
"""


@pytest.fixture
def host_of(site):
    """Makes a host with one installed plugin `acme` of this code."""

    def make(code: str, **options) -> PluginHost:
        site.install("callsheet-acme", **{"entry_name": "acme", "toml": ACME, "code": code, **options})
        return PluginHost(site.discover())

    return make


def test_a_plugin_is_imported_when_it_is_needed(host_of, capsys: pytest.CaptureFixture[str]) -> None:
    """Once; what it prints at import goes to stderr, where it cannot spoil data."""
    host = host_of(GOOD)
    assert "callsheet_acme" not in sys.modules
    assert host.load("acme") is host.load("acme") is sys.modules["callsheet_acme"]
    assert [spec.provider for spec in host.handlers("acme")] == ["acme"]
    out, err = capsys.readouterr()
    assert (out, err) == ("", "hello from the import\n")


@pytest.mark.parametrize(
    ("code", "said", "cause"),
    [
        ("import not_there_at_all", "install what it needs: pip install", ModuleNotFoundError),
        ("1 / 0", "ZeroDivisionError: division by zero", ZeroDivisionError),
        ("import sys; sys.exit(3)", "SystemExit: 3", SystemExit),
        ("raise BaseException", "cannot be loaded: BaseException; ", BaseException),
        ("raise Exception('\\x1b[2J')", r"\\x1b\[2J", Exception),
        (GOOD.replace("handlers", "handler"), "did you mean 'callsheet_register_handlers'", PluginError),
        (GOOD.replace("handlers()", "handlers(x)"), "PluginValidationError", Exception),
        (GOOD.replace("@hookimpl", ""), "write @hookimpl above it", PluginError),
    ],
)
def test_a_plugin_that_fails_says_so_each_time(host_of, code: str, said: str, cause: type[BaseException]) -> None:
    """It is blamed by name, from the original cause, and is not tried again."""
    host = host_of(code)
    causes = []
    for _ in range(2):
        with pytest.raises(PluginError, match=said) as error:
            host.handlers("acme")
        assert error.value.plugin == "callsheet-acme"
        assert "callsheet-acme 1.0" in str(error.value)
        assert str(error.value).isprintable()
        causes.append(error.value.__cause__)
    assert isinstance(causes[0], cause)
    assert causes[0] is causes[1]


def test_ctrl_c_at_import_is_not_swallowed(host_of) -> None:
    """And does not count as a failure of the plugin."""
    host = host_of("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        host.load("acme")
    with pytest.raises(KeyboardInterrupt):
        host.load("acme")


def test_a_failed_registration_is_undone(host_of, fakes, site) -> None:
    """The good hooks of a plugin with a misspelt one are not called, and other plugins still load."""
    bad = GOOD + "\n@hookimpl\ndef callsheet_job_evnt(event):\n    pass\n"
    host = PluginHost(
        host_of(bad).discovery, extra=[("good", fakes.PluginOf(HandlerSpec("good", object)), fakes.manifest("good"))]
    )
    with pytest.raises(PluginError):
        host.load("acme")
    assert len(host.handlers("good")) == 1
    with pytest.raises(PluginError, match="job_evnt"):
        host.load("acme")


def test_plugins_that_cannot_be_used_are_refused_by_name(host_of, site) -> None:
    """Unknown, broken and disabled ones each say why."""
    host = host_of(GOOD, toml=None)
    with pytest.raises(PluginError, match=r"cannot be used: wheel without plugin.toml"):
        host.load("acme")
    with pytest.raises(PluginError, match="there is no plugin 'nothing'"):
        host.load("nothing")
    with pytest.raises(PluginError, match="no plugin provides 'nothing'"):
        host.handlers("nothing")
    denied = PluginHost(site.discover(deny=["acme"]))
    with pytest.raises(PluginError, match=r"disabled by \[plugins\] deny"):
        denied.load("acme")
    assert denied.models("nothing") == []


@pytest.mark.parametrize(
    ("specs", "said"),
    [
        ([HandlerSpec("other", object)], "registers a handler for 'other', but may only for 'acme' or"),
        (["x"], "gave a str and not HandlerSpec"),
        (7, "TypeError"),
    ],
)
def test_what_a_plugin_registers_is_checked(fakes, specs: object, said: str) -> None:
    """No plugin takes over another provider's models."""

    class Plugin:
        @hookimpl
        def callsheet_register_handlers(self):
            return specs

    host = PluginHost(Discovery(), extra=[("acme", Plugin(), fakes.manifest("acme"))])
    with pytest.raises(PluginError, match=said):
        host.handlers("acme")


def test_handlers_are_asked_for_once(fakes) -> None:
    """The factories in them make the handlers later."""
    plugin = fakes.PluginOf(HandlerSpec("*", object), HandlerSpec("zzz", object, simulates=True))
    host = PluginHost(Discovery(), extra=[("acme", plugin, fakes.manifest("acme"))])
    assert host.handlers("acme") == host.handlers_of("acme")
    assert (len(host.handlers("acme")), plugin.asked) == (2, 1)


def test_models_found_on_the_machine_are_the_providers_own(fakes) -> None:
    """A row for somebody else's provider is refused."""

    class Plugin:
        provider = "acme"

        @hookimpl
        def callsheet_register_models(self):
            yield ModelInfo(self.provider, "local-1", Operation.TEXT_GENERATE)

    plugin = Plugin()
    extra = [("acme", plugin, fakes.manifest("acme"))]
    assert [info.model for info in PluginHost(Discovery(), extra=extra).models("acme")] == ["local-1"]
    plugin.provider = "other"
    with pytest.raises(PluginError, match="registers the model other:local-1"):
        PluginHost(Discovery(), extra=extra).models("acme")


RESULT = JobResult((TextArtifact("x"),))
RECEIPT = Receipt(ModelRef("a", "m"), Operation.TEXT_GENERATE, "1", "k", "d", (), 0.0)


class OneShot:
    """A handler with invoke."""

    async def invoke(self, request, context):
        return RESULT


class Remote:
    """A handler of long jobs, with an invoke that is not to be used."""

    invoke = OneShot.invoke

    async def submit(self, request, context):
        return RECEIPT

    async def poll(self, receipt, context): ...

    async def collect(self, receipt, context): ...

    async def abort(self, receipt, context):
        return AbortOutcome.STOPPED


def invoke_call(handler: object) -> InvokeCall:
    """A call of this handler."""
    return InvokeCall(handler, SimpleNamespace(ref="a:m"), None)


async def test_the_core_calls_the_handler_last() -> None:
    """`submit` for long jobs, else `invoke`; abort as far as the handler can."""
    host = PluginHost(Discovery())
    assert await host.invoke(invoke_call(OneShot())) is RESULT
    assert await host.invoke(invoke_call(Remote())) is RECEIPT
    assert await host.abort(AbortCall(Remote(), RECEIPT, None)) is AbortOutcome.STOPPED
    assert await host.abort(AbortCall(OneShot(), RECEIPT, None)) is AbortOutcome.CLIENT_SIDE_ONLY
    with pytest.raises(PluginError, match="neither invoke nor submit"):
        await host.invoke(invoke_call(object()))


async def test_a_plugin_may_perform_a_call_itself_or_decline(fakes) -> None:
    """None lets it happen."""
    other = JobResult(())

    class Plugin:
        wants = True

        @hookimpl
        def callsheet_invoke(self, call):
            async def perform():
                return other

            return perform() if self.wants else None

        @hookimpl
        async def callsheet_abort(self, call):
            return AbortOutcome.ALREADY_FINISHED

    plugin = Plugin()
    host = PluginHost(Discovery(), extra=[("p", plugin, fakes.manifest("p"))])
    assert await host.invoke(invoke_call(OneShot())) is RESULT
    host.load("p")
    assert await host.invoke(invoke_call(OneShot())) is other
    assert await host.abort(AbortCall(OneShot(), RECEIPT, None)) is AbortOutcome.ALREADY_FINISHED
    plugin.wants = False
    assert await host.invoke(invoke_call(OneShot())) is RESULT


async def test_nobody_but_the_mock_hears_of_a_mocked_call(fakes) -> None:
    """A plugin that performs calls itself could spend money in a dry run."""

    class Plugin:
        @hookimpl
        async def callsheet_invoke(self, call):
            raise AssertionError

        @hookimpl
        async def callsheet_abort(self, call):
            raise AssertionError

    host = PluginHost(Discovery(), extra=[("p", Plugin(), fakes.manifest("p"))])
    host.load("p")
    assert await host.invoke(replace(invoke_call(OneShot()), simulated=True)) is RESULT
    mocked = AbortCall(OneShot(), RECEIPT, None, simulated=True)
    assert await host.abort(mocked) is AbortOutcome.CLIENT_SIDE_ONLY


@pytest.mark.parametrize("answer", [None, {"artifacts": []}])
async def test_an_answer_of_another_type_is_an_unknown_outcome(answer: object) -> None:
    """The call may have been paid for: it is neither a result nor something to try again."""

    class Handler:
        async def invoke(self, request, context):
            return answer

    with pytest.raises(MalformedOutputError, match="and not JobResult or Receipt") as error:
        await PluginHost(Discovery()).invoke(invoke_call(Handler()))
    assert (error.value.sent, error.value.retryable) == (Sent.UNKNOWN, False)


async def test_a_handler_that_is_not_async_is_told_so() -> None:
    """Its answer is not awaited."""

    class Handler:
        def invoke(self, request, context):
            return RESULT

    with pytest.raises(MalformedOutputError, match="is not an async function"):
        await PluginHost(Discovery()).invoke(invoke_call(Handler()))


async def test_warm_start_asks_the_handler_and_the_plugins(fakes) -> None:
    """A failing hook is blamed on its plugin; what the handler raises comes through."""
    done: list[str] = []

    class Plugin:
        fails = False

        @hookimpl
        async def callsheet_warm_start(self, start):
            if self.fails:
                raise ValueError("no network")
            done.append("plugin")

    class Handler:
        async def warm_start(self, start):
            done.append("handler")

    plugin, start = Plugin(), SimpleNamespace(timeout=5.0)
    host = PluginHost(Discovery(), extra=[("p", plugin, fakes.manifest("p"))])
    host.load("p")
    await host.warm_start(HandlerStart(Handler(), start))
    await host.warm_start(HandlerStart(object(), start))
    assert done == ["handler", "plugin", "plugin"]
    plugin.fails = True
    with pytest.raises(PluginError, match=r"'p' \(p\) fails in callsheet_warm_start: ValueError: no network"):
        await host.warm_start(HandlerStart(object(), start))


def test_an_observer_that_fails_is_told_of_and_harms_nobody(fakes) -> None:
    """All the other observers still hear the event."""
    heard: list[str] = []
    told: list[str] = []

    def observer(name: str, fails: bool = False) -> object:
        class Plugin:
            @hookimpl
            def callsheet_job_event(self, event):
                heard.append(name)
                if fails:
                    raise ValueError("broken observer")

        return Plugin()

    extra = [(n, observer(n, n == "b"), fakes.manifest(n, top={"provides": ["events"]})) for n in ("a", "b", "c")]
    host = PluginHost(Discovery(), extra=extra)
    event = Event(1, "run", 0.0, "job.started")
    host.job_event(event, told.append)
    assert heard == []
    assert host.open_kind("events") == []
    assert host.open_kind("stores") == []
    host.job_event(event, told.append)
    assert heard == ["a", "b", "c"]
    assert told == ["the plugin 'b' (b) fails in callsheet_job_event"]


def test_opening_a_kind_gives_the_errors_of_those_that_fail(host_of) -> None:
    """The others are loaded."""
    errors = host_of("1 / 0").open_kind("events")
    assert [error.plugin for error in errors] == ["callsheet-acme"]


def test_commands_are_registered_by_the_plugin_that_has_them(fakes) -> None:
    """Also sys.exit in it does not end the program."""

    class Plugin:
        def __init__(self, name: str) -> None:
            self.name = name

        @hookimpl
        def callsheet_register_commands(self, cli):
            if self.name == "exits":
                sys.exit(1)
            cli.append(self.name)

    names = ("a", "b", "exits")
    host = PluginHost(Discovery(), extra=[(name, Plugin(name), fakes.manifest(name)) for name in names])
    cli: list[str] = []
    host.load("a")
    host.register_commands("b", cli)
    assert cli == ["b"]
    with pytest.raises(PluginError, match="fails in callsheet_register_commands: SystemExit: 1"):
        host.register_commands("exits", cli)


@pytest.mark.parametrize("kind", ["async", "plain"])
@pytest.mark.parametrize("blocks", [True, False])
async def test_a_warm_start_that_hangs_is_left_behind(fakes, kind: str, blocks: bool) -> None:
    """Also one that blocks its thread; the event loop of the run is another one and goes on."""
    release, loops = threading.Event(), []

    async def hang(start):
        loops.append(asyncio.get_running_loop())
        release.wait() if blocks else await asyncio.Event().wait()

    class Handler:
        warm_start = staticmethod(hang if kind == "async" else lambda start: release.wait())

    try:
        with pytest.raises(TimeoutError):
            await PluginHost(Discovery()).warm_start(HandlerStart(Handler(), SimpleNamespace(timeout=0.05)))
    finally:
        release.set()
    assert asyncio.get_running_loop() not in loops


async def test_a_warm_start_hook_that_hangs_is_blamed_on_its_plugin(fakes) -> None:
    """And not on the handler that was to be started."""
    release = threading.Event()

    class Plugin:
        @hookimpl
        def callsheet_warm_start(self, start):
            release.wait()

    host = PluginHost(Discovery(), extra=[("p", Plugin(), fakes.manifest("p"))])
    host.load("p")
    try:
        with pytest.raises(
            PluginError, match=r"the plugin 'p' \(p\) is not ready after 0.05 s of callsheet_warm_start"
        ):
            await host.warm_start(HandlerStart(object(), SimpleNamespace(timeout=0.05)))
    finally:
        release.set()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_a_warm_start_cannot_end_the_program(error: BaseException) -> None:
    """What would end the program or the task is the plugin's error."""

    class Handler:
        def warm_start(self, start):
            raise error

    with pytest.raises(PluginError, match=type(error).__name__) as raised:
        await PluginHost(Discovery()).warm_start(HandlerStart(Handler(), SimpleNamespace(timeout=5.0)))
    assert raised.value.__cause__ is error


def test_who_prints_at_import_is_remembered(host_of, capsys: pytest.CaptureFixture[str]) -> None:
    """So that doctor can name it; silence is not held against anybody."""
    host = host_of(GOOD)
    host.load("acme")
    assert host.printed == {"acme"}
    assert capsys.readouterr().out == ""
