"""The registry: which handler runs a model, live and mocked, and what is said when there is none."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from callsheet.catalog import Catalog
from callsheet.discovery import Discovery, FoundPlugin
from callsheet.errors import AuthenticationError, ConfigError, PluginError, ProviderTimeoutError, Sent
from callsheet.models import Mode, ModelInfo, ModelRef, Operation
from callsheet.plugin import HandlerSpec, Job, hookimpl
from callsheet.plugin_host import PluginHost
from callsheet.registry import Registry
from callsheet.secrets import MappingSecrets, Redactor, SecretScope
from callsheet.services import library_log
from callsheet.settings import ProviderSettings, Settings

TEXT, IMAGE = Operation.TEXT_GENERATE, Operation.IMAGE_GENERATE
ROW = {"model": "m", "operation": "text.generate", "wire": "chat"}
PICTURE = {"model": "pic", "operation": "image.generate"}
REF = ModelRef("acme", "m")


@pytest.fixture
def acme(fakes):
    """Makes the plugin of the provider `acme`: its specs, and options of its manifest."""

    def make(*specs: HandlerSpec, rows=(ROW, PICTURE), **options):
        given = specs or (HandlerSpec("acme", lambda: fakes.EchoHandler("acme"), cache_version=7),)
        return ("acme", fakes.PluginOf(*given), fakes.manifest("acme", *rows, **options))

    return make


@pytest.fixture
def stand_in(fakes):
    """Makes the plugin that simulates."""

    def make(name: str = "pretend", **options):
        spec = HandlerSpec("*", lambda: fakes.EchoHandler(name), simulates=True, cache_version=2, **options)
        row = {"model": "text", "operation": "text.generate"}
        return (name, fakes.PluginOf(spec), fakes.manifest(name, row, top={"simulates": True}))

    return make


def job(bound) -> Job:
    """A job for this handler."""
    return Job("script[0]", bound.ref, bound.info, bound.info.operation, None)


def test_a_live_model_is_run_by_its_providers_handler(fakes, acme) -> None:
    """All that the engine needs to know of it is bound to it."""
    plugin = acme(secrets=["ACME_KEY"], origin="https://api.acme.example", rate_keys=["model"])
    registry = fakes.registry_of(plugin)
    bound = registry.resolve(REF, TEXT, Mode.LIVE)
    assert (bound.info.name, bound.mode, bound.mapping, bound.namespace) == ("acme:m", Mode.LIVE, "checked", "live")
    assert (bound.secrets, bound.origin, bound.rate_key) == (("ACME_KEY",), "https://api.acme.example", "acme/m")
    assert (bound.plugin, bound.cache_version, bound.remote, bound.simulated) == ("acme", 7, False, False)
    assert bound.handler is bound.preparer
    assert bound.prepare(job(bound)).body == {"mapped_by": "acme"}
    assert registry.resolve(REF, TEXT, Mode.LIVE) is bound
    assert registry.resolve(ModelRef("acme", "pic"), IMAGE).handler is bound.handler
    assert registry.resolve_many([(REF, TEXT, Mode.LIVE)]) == {(REF, TEXT, Mode.LIVE): bound}


@pytest.mark.parametrize(
    ("environ", "base_url", "origin"),
    [
        ({}, "", "https://api.acme.example"),
        ({}, "http://127.0.0.1:9/", "http://127.0.0.1:9"),
        ({"ACME_URL": "http://localhost:1/v1/"}, "http://127.0.0.1:9", "http://localhost:1/v1"),
        ({"ACME_URL": " "}, "", "https://api.acme.example"),
    ],
)
def test_the_origin_is_the_nearest_setting(fakes, acme, environ, base_url: str, origin: str) -> None:
    """Environment variable, then configuration, then the manifest."""
    settings = Settings(providers={"acme": ProviderSettings(base_url)})
    plugin = acme(origin="https://api.acme.example", origin_env="ACME_URL")
    assert fakes.registry_of(plugin, settings=settings, environ=environ).resolve(REF, TEXT).origin == origin


def test_a_wrong_origin_in_the_environment_is_named(fakes, acme) -> None:
    """The variable, not the value: it may hold a password."""
    registry = fakes.registry_of(acme(origin_env="ACME_URL"), environ={"ACME_URL": "https://u:pw@x.example"})
    with pytest.raises(ConfigError, match="ACME_URL must be a URL without user name") as error:
        registry.resolve(REF, TEXT)
    assert "pw" not in str(error.value)


@pytest.mark.parametrize(
    ("specs", "chosen"),
    [
        ([("*", "*", "*"), ("acme", "*", "*")], 1),
        ([("*", "chat", "local"), ("acme", "*", "*")], 1),
        ([("acme", "*", "local"), ("acme", "chat", "*")], 1),
        ([("acme", "chat", "*"), ("acme", "chat", "local")], 1),
        ([("acme", "chat", "local"), ("acme", "images", "local")], 0),
        ([("acme", "chat", "cloud"), ("acme", "*", "*")], 1),
    ],
)
def test_the_most_specific_handler_is_chosen(fakes, acme, specs, chosen: int) -> None:
    """Provider counts before wire, wire before environment."""
    made = [
        HandlerSpec(p, fakes.EchoHandler, wire=w, environment=e, cache_version=i) for i, (p, w, e) in enumerate(specs)
    ]
    assert fakes.registry_of(acme(*made)).resolve(REF, TEXT).cache_version == chosen


def test_a_handler_for_fewer_operations_is_more_specific(fakes, acme) -> None:
    """So that one for images may stand beside one for everything."""
    wide = HandlerSpec("acme", fakes.EchoHandler, cache_version=1)
    narrow = HandlerSpec("acme", fakes.EchoHandler, cache_version=2, operations=frozenset({TEXT}))
    registry = fakes.registry_of(acme(wide, narrow))
    assert registry.resolve(REF, TEXT).cache_version == 2
    assert registry.resolve(ModelRef("acme", "pic"), IMAGE).cache_version == 1


def test_a_row_without_a_wire_takes_the_only_one(fakes, acme) -> None:
    """And must say which when there are several."""
    pictures = HandlerSpec("acme", fakes.EchoHandler, wire="pictures", operations=frozenset({IMAGE}))
    assert fakes.registry_of(acme(pictures)).resolve(ModelRef("acme", "pic"), IMAGE).spec is pictures
    other = HandlerSpec("acme", fakes.EchoHandler, wire="other", operations=frozenset({IMAGE}))
    with pytest.raises(PluginError, match=r"several handlers of acme:pic .*the model's row must say which wire"):
        fakes.registry_of(acme(pictures, other)).resolve(ModelRef("acme", "pic"), IMAGE)


@pytest.mark.parametrize(
    ("ref", "operation", "answer"),
    [
        ("acme:m", IMAGE, ("acme:m does text.generate, and not image.generate", 2)),
        ("acme:mm", TEXT, ("acme has no model 'mm' of acme; did you mean acme:m", 2)),
        ("replicate:x", TEXT, ("no plugin provides 'replicate': pip install callsheet-replicate", 3)),
        ("replicat:x", TEXT, ("no plugin provides 'replicat'; did you mean 'replicate'", 3)),
        ("acne:x", TEXT, ("did you mean 'acme'", 3)),
        ("acme:m@cloud", TEXT, ("no callsheet server yet that could run acme:m@cloud: write acme:m", 2)),
    ],
)
def test_what_cannot_be_resolved_says_what_to_do(
    fakes, acme, ref: str, operation: Operation, answer: tuple[str, int]
) -> None:
    """Missing plugins are exit code 3, mistakes in the sheet 2."""
    said, code = answer
    with pytest.raises(ConfigError, match=said) as error:
        fakes.registry_of(acme()).resolve(ModelRef.parse(ref), operation, Mode.LIVE)
    assert error.value.exit_code == code


def test_a_wire_that_nobody_handles_is_named(fakes, acme) -> None:
    """With those that there are."""
    registry = fakes.registry_of(acme(HandlerSpec("acme", fakes.EchoHandler, wire="images")))
    with pytest.raises(
        ConfigError, match=r"no handler of acme:m for wire 'chat' and text\.generate; it handles images"
    ):
        registry.resolve(REF, TEXT)


def test_broken_and_disabled_plugins_say_so() -> None:
    """A broken one is never taken for one that is not installed."""
    found = (
        FoundPlugin("acme", "x", "callsheet-acme", "1.0", problem="wheel without plugin.toml"),
        FoundPlugin("beta", "x", "callsheet-beta", "1.0", skipped="disabled by CALLSHEET_PLUGINS_DISABLED"),
    )
    discovery = Discovery(found)
    registry = Registry(Catalog(discovery), PluginHost(discovery), environ={})
    with pytest.raises(ConfigError, match=r"'acme' cannot be used: callsheet-acme 1.0: wheel without plugin.toml"):
        registry.resolve(REF, TEXT)
    with pytest.raises(ConfigError, match=r"callsheet-beta 1.0.* is disabled by CALLSHEET_PLUGINS_DISABLED"):
        registry.resolve(ModelRef("beta", "m"), TEXT)


def test_open_models_need_no_row(fakes, acme) -> None:
    """When the manifest says so, any name is taken with the operation that is asked for."""
    registry = fakes.registry_of(acme(open_models=True))
    assert registry.resolve(ModelRef("acme", "new"), IMAGE).info == ModelInfo("acme", "new", IMAGE, plugin="acme")


def test_models_found_on_the_machine_resolve(fakes) -> None:
    """They are asked for only when no row is there."""

    class Plugin(fakes.PluginOf):
        @hookimpl
        def callsheet_register_models(self):
            return [ModelInfo("acme", "found", TEXT)]

    plugin = Plugin(HandlerSpec("acme", fakes.EchoHandler))
    registry = fakes.registry_of(("acme", plugin, fakes.manifest("acme")))
    assert registry.resolve(ModelRef("acme", "found"), TEXT).info.model == "found"


def test_a_wire_is_lent_without_the_keys(fakes, acme) -> None:
    """A project's row for a vendor without a plugin: own origin, own handler, none of the lender's secrets."""
    row = ModelInfo("cheap", "m", TEXT, wire="acme:chat")
    settings = Settings(models=(row,), providers={"cheap": ProviderSettings("https://cheap.example")})
    plugin = acme(
        secrets=["ACME_KEY"], origin="https://api.acme.example", origin_env="ACME_URL", top={"wires": ["chat"]}
    )
    environ = {"ACME_URL": "https://elsewhere.example"}
    registry = fakes.registry_of(plugin, settings=settings, environ=environ)
    bound = registry.resolve(ModelRef("cheap", "m"), TEXT)
    assert (bound.origin, bound.secrets, bound.rate_key) == ("https://cheap.example", (), "cheap")
    assert bound.handler is not registry.resolve(REF, TEXT).handler
    with pytest.raises(ConfigError, match=r"write its base_url into \[providers.cheap\]"):
        fakes.registry_of(plugin, settings=Settings(models=(row,))).resolve(ModelRef("cheap", "m"), TEXT)
    with pytest.raises(ConfigError, match=r"acme exports no wire 'chat' \(it exports: none\)"):
        fakes.registry_of(acme(), settings=settings).resolve(ModelRef("cheap", "m"), TEXT)


SPEECH = Operation.SPEECH_GENERATE


@pytest.mark.parametrize(
    ("specs", "ref", "meant"),
    [
        ([("chat", {TEXT}), ("images", {IMAGE})], "cheap:any", TEXT),
        ([("chat", {TEXT}), ("*", {TEXT, IMAGE})], "cheap:any", TEXT),
        ([("*", {IMAGE}), ("other", {TEXT})], "cheap:any", IMAGE),
        ([("chat", {TEXT, SPEECH})], "cheap:any", None),
        ([("images", {IMAGE})], "cheap:any", None),
        ([("images", {IMAGE})], "acme:any", IMAGE),
        ([("chat", {TEXT}), ("images", {IMAGE})], "acme:any", None),
        ([("chat", {TEXT}), ("images", {IMAGE})], "acme:m", TEXT),
        ([], "lost:any", None),
        ([], "nobody:any", None),
    ],
)
def test_what_a_model_without_a_row_does(fakes, acme, specs, ref: str, meant: Operation | None) -> None:
    """One thing, where its wire does nothing else; else nobody knows, and the user has to say it."""
    made = [HandlerSpec("acme", fakes.EchoHandler, wire=w, operations=frozenset(o)) for w, o in specs]
    plugin = acme(*made, open_models=True, top={"wires": ["chat"]})
    providers = {"cheap": ProviderSettings("https://cheap.example", wire="acme:chat")}
    providers["lost"] = ProviderSettings("https://lost.example", wire="gone:chat")
    registry = fakes.registry_of(plugin, settings=Settings(providers=providers))
    assert registry.operation_of(ModelRef.parse(ref)) is meant


def test_mock_is_the_live_mapping_with_another_performer(fakes, acme, stand_in) -> None:
    """Mapped by the provider's handler, performed by the stand-in, without the provider's secrets and origin."""
    plugin = acme(secrets=["ACME_KEY"], origin="https://api.acme.example")
    bound = fakes.registry_of(plugin, stand_in()).resolve(REF, TEXT, Mode.MOCK)
    assert (bound.mapping, bound.namespace, bound.simulated) == ("checked", "mock", True)
    assert (bound.plugin, bound.prepared_by, bound.cache_version) == ("pretend", "acme", 7)
    assert (bound.secrets, bound.origin, bound.rate_key) == ((), "", "pretend")
    assert (bound.handler.name, bound.prepare(job(bound)).body) == ("pretend", {"mapped_by": "acme"})
    assert bound.info.name == "acme:m"


@pytest.mark.parametrize("ref", ["other:model", "acme:unknown"])
def test_mock_without_a_live_mapping_is_unchecked(fakes, acme, stand_in, ref: str) -> None:
    """The stand-in maps as well, and its results stay in a name space of their own."""
    bound = fakes.registry_of(acme(), stand_in()).resolve(ModelRef.parse(ref), IMAGE, Mode.MOCK)
    assert (bound.mapping, bound.namespace, bound.cache_version) == ("unchecked", "mock-unchecked", 2)
    assert bound.handler is bound.preparer
    assert (bound.info.name, bound.info.operation) == (ref, IMAGE)


@pytest.mark.parametrize("mode", list(Mode))
def test_the_stand_ins_own_models_need_no_stand_in(fakes, stand_in, mode: Mode) -> None:
    """They are what they are in both modes, and never live."""
    bound = fakes.registry_of(stand_in()).resolve(ModelRef("pretend", "text"), TEXT, mode)
    assert (bound.mapping, bound.namespace, bound.simulated, bound.mode) == ("checked", "mock", True, mode)


def test_mistakes_are_told_in_mock_mode_too(fakes, acme, stand_in) -> None:
    """A wrong operation and a broken plugin are not glossed over by the stand-in."""
    with pytest.raises(ConfigError, match=r"does text\.generate"):
        fakes.registry_of(acme(), stand_in()).resolve(REF, IMAGE, Mode.MOCK)
    with pytest.raises(PluginError, match="fails in callsheet_register_handlers"):
        fakes.registry_of(("acme", Broken(), acme()[2]), stand_in()).resolve(REF, TEXT, Mode.MOCK)


class Broken:
    """A plugin whose hook fails."""

    @hookimpl
    def callsheet_register_handlers(self):
        raise ValueError("broken")


def test_mock_needs_exactly_one_stand_in(fakes, acme, stand_in) -> None:
    """None: what to install. Two: both names. One that cannot: which operation."""
    with pytest.raises(ConfigError, match="pip install callsheet-mock") as error:
        fakes.registry_of(acme()).resolve(REF, TEXT, Mode.MOCK)
    assert error.value.exit_code == 3
    with pytest.raises(ConfigError, match="pretend and second both want to stand in"):
        fakes.registry_of(acme(), stand_in(), stand_in("second")).resolve(REF, TEXT, Mode.MOCK)
    images_only = stand_in(operations=frozenset({IMAGE}))
    with pytest.raises(ConfigError, match=r"cannot stand in for acme:m: it does not simulate text\.generate"):
        fakes.registry_of(acme(), images_only).resolve(REF, TEXT, Mode.MOCK)
    for ref in ("acme:m@cloud", "other:m@cloud"):
        with pytest.raises(ConfigError, match="no callsheet server yet"):
            fakes.registry_of(acme(), stand_in()).resolve(ModelRef.parse(ref), TEXT, Mode.MOCK)


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (lambda: 1 / 0, "cannot make its handler for acme:.*: ZeroDivisionError"),
        (object, r"has no prepare\(job\)"),
        (lambda: SimpleNamespace(prepare=lambda job: None), "neither invoke nor submit"),
    ],
)
def test_a_handler_that_is_none_is_the_plugins_mistake(fakes, acme, factory, said: str) -> None:
    """It is found when the model is resolved, before anything is planned on it."""
    with pytest.raises(PluginError, match=said) as error:
        fakes.registry_of(acme(HandlerSpec("acme", factory))).resolve(REF, TEXT)
    assert error.value.plugin == "acme"


def test_prepare_blames_the_plugin_for_its_own_mistakes_only(fakes, acme) -> None:
    """Errors of ours are answers to the user and pass; a KeyError is a bug of the plugin."""
    registry = fakes.registry_of(acme())
    bound = registry.resolve(REF, TEXT)
    outcomes = iter([KeyError("field"), AuthenticationError("refused"), None])

    def prepare(job):
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome
        return {}

    bound.preparer.prepare = prepare
    with pytest.raises(PluginError, match=r"acme breaks while it prepares script\[0\] for acme:m: KeyError: 'field'"):
        bound.prepare(job(bound))
    with pytest.raises(AuthenticationError):
        bound.prepare(job(bound))
    with pytest.raises(PluginError, match="gave a dict and not a ProviderRequest"):
        bound.prepare(job(bound))


async def start(fakes, acme, warm_start, seconds: float = 5.0) -> list[object]:
    """Warm up one handler twice bound, and one without warm_start; gives what the handler got."""
    got: list[object] = []

    class Warm(fakes.EchoHandler):
        async def warm_start(self, start):
            got.append(start)
            await warm_start()

    registry = fakes.registry_of(
        acme(HandlerSpec("acme", Warm, operations=frozenset({TEXT})), HandlerSpec("acme", fakes.EchoHandler))
    )
    bounds = [registry.resolve(REF, TEXT), registry.resolve(ModelRef("acme", "pic"), IMAGE)]
    scope = SecretScope(MappingSecrets({"KEY": "k"}), Redactor(), frozenset({"KEY"}), "acme")
    await registry.warm_start(
        [*bounds, bounds[0]], secrets=lambda bound: scope, log=library_log(Redactor()), timeout=seconds
    )
    return got


async def nothing() -> None:
    """A warm start with nothing to do."""


async def test_each_handler_is_warmed_up_once(fakes, acme) -> None:
    """With its provider, its secrets and its time."""
    got = await start(fakes, acme, nothing)
    assert [(s.provider, s.timeout) for s in got] == [("acme", 5.0)]
    assert (await got[0].secrets.get("KEY")).reveal() == "k"
    await fakes.registry_of().warm_start([], secrets=lambda bound: None, log=library_log(Redactor()), timeout=1)


async def test_a_failing_warm_start_names_the_plugin(fakes, acme) -> None:
    """Errors of ours come through as they are."""

    async def breaks() -> None:
        raise ImportError("no sdk")

    async def refuses() -> None:
        raise AuthenticationError("bad key")

    with pytest.raises(PluginError, match=r"acme .*cannot get ready for acme:m: ImportError: no sdk") as error:
        await start(fakes, acme, breaks)
    assert error.value.plugin == "acme"
    with pytest.raises(AuthenticationError):
        await start(fakes, acme, refuses)


async def test_a_warm_start_has_its_time(fakes, acme) -> None:
    """Nothing was sent by then."""
    with pytest.raises(ProviderTimeoutError, match=r"not ready for acme:m within 0.01 s") as error:
        await start(fakes, acme, asyncio.Event().wait, seconds=0.01)
    assert error.value.sent is Sent.NOT_SENT


async def test_handlers_are_closed_once(fakes, acme) -> None:
    """One that fails is told of; the others are closed all the same."""

    class Bad(fakes.EchoHandler):
        async def aclose(self):
            raise ValueError("cannot")

    registry = fakes.registry_of(
        acme(
            HandlerSpec("acme", Bad, operations=frozenset({TEXT})),
            HandlerSpec("acme", fakes.EchoHandler, operations=frozenset({IMAGE})),
        )
    )
    registry.resolve(REF, TEXT)
    good = registry.resolve(ModelRef("acme", "pic"), IMAGE).handler
    told: list[str] = []
    await registry.aclose(told.append)
    await registry.aclose(told.append)
    assert good.closed == 1
    assert told == ["Bad cannot be closed"]
