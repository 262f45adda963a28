"""A vendor without a package: a wire that is lent, its own URL, its own key, and nothing of the lender's."""

from __future__ import annotations

import pytest

from callsheet.errors import ConfigError
from callsheet.handler import HandlerSpec
from callsheet.models import Mode, ModelInfo, ModelRef, Operation
from callsheet.settings import ProviderSettings, Settings

TEXT, IMAGE = Operation.TEXT_GENERATE, Operation.IMAGE_GENERATE
GROQ = ProviderSettings("https://api.groq.example/v1/", "acme:chat", "GROQ_API_KEY")
LLAMA = ModelRef("groq", "llama-3.3-70b")
ENVIRON = {"ACME_URL": "https://elsewhere.example"}


@pytest.fixture
def open_shop(fakes):
    """A registry where `acme` lends its wire `chat`, with the given providers in callsheet.toml."""

    def make(*extra, wires=("chat",), models=(), lender=True, **providers):
        plugin = fakes.PluginOf(
            HandlerSpec("acme", lambda: fakes.EchoHandler("acme"), wire="chat", operations=frozenset({TEXT})),
            HandlerSpec("acme", lambda: fakes.EchoHandler("acme"), wire="images", operations=frozenset({IMAGE})),
        )
        row = {"model": "m", "operation": "text.generate", "wire": "chat"}
        table = {"secrets": ["ACME_KEY"], "origin": "https://api.acme.example", "origin_env": "ACME_URL"}
        given = fakes.manifest("acme", row, top={"wires": list(wires)}, rate_keys=["model"], **table)
        plugins = [("acme", plugin, given)] if lender else []
        settings = Settings(providers=providers, models=tuple(models))
        return fakes.registry_of(*plugins, *extra, settings=settings, environ=ENVIRON)

    return make


def test_every_model_name_is_taken(open_shop) -> None:
    """Four lines are enough: the configured URL is the origin, the configured secret the only one, one rate for all."""
    registry = open_shop(groq=GROQ)
    bound = registry.resolve(LLAMA, TEXT)
    assert (bound.origin, bound.secrets, bound.rate_key) == ("https://api.groq.example/v1", ("GROQ_API_KEY",), "groq")
    assert (str(bound.ref), bound.plugin, bound.asker) == ("groq:llama-3.3-70b", "acme", "acme (for groq)")
    own = registry.resolve(ModelRef("acme", "m"), TEXT)
    assert own.handler is not bound.handler
    assert (own.origin, own.secrets, own.rate_key, own.asker) == (ENVIRON["ACME_URL"], ("ACME_KEY",), "acme/m", "acme")


def test_a_local_server_needs_no_key(open_shop) -> None:
    """Plain http to this machine, and no secret at all: the lender's is not asked for either."""
    local = ProviderSettings("http://localhost:11434/v1", "acme:chat")
    bound = open_shop(local=local).resolve(ModelRef("local", "qwen3:4b"), TEXT)
    assert (bound.origin, bound.secrets, bound.ref.model) == ("http://localhost:11434/v1", (), "qwen3:4b")


def test_rows_of_the_project_still_count(open_shop) -> None:
    """A row adds what is known of a model; another operation than the row's is refused."""
    row = ModelInfo("groq", LLAMA.model, TEXT, wire="acme:chat", title="Llama", aliases=("llama",))
    registry = open_shop(groq=GROQ, models=[row])
    assert registry.resolve(LLAMA, TEXT).info == row
    with pytest.raises(ConfigError, match=r"does text\.generate, and not image\.generate"):
        registry.resolve(LLAMA, IMAGE)


def test_the_wire_says_what_it_does(open_shop) -> None:
    """An operation that the lent wire does not have is refused, by its name."""
    with pytest.raises(
        ConfigError, match=r"no handler of groq:llama-3\.3-70b for wire 'acme:chat' and image\.generate"
    ):
        open_shop(groq=GROQ).resolve(LLAMA, IMAGE)


def test_a_lender_that_is_not_there_is_named(open_shop) -> None:
    """So is a wire that it does not lend."""
    with pytest.raises(
        ConfigError, match=r"groq:llama-3\.3-70b needs the wire acme:chat: no plugin provides 'acme'"
    ) as error:
        open_shop(groq=GROQ, lender=False).resolve(LLAMA, TEXT)
    assert error.value.exit_code == 3
    with pytest.raises(ConfigError, match=r"acme exports no wire 'chat' \(it exports: images\)"):
        open_shop(groq=GROQ, wires=["images"]).resolve(LLAMA, TEXT)


def test_an_installed_provider_takes_no_lent_wire(open_shop, fakes) -> None:
    """Neither side wins in silence."""
    groq = ("groq", fakes.PluginOf(), fakes.manifest("groq", open_models=True))
    with pytest.raises(ConfigError, match=r"\[providers\.groq\] of callsheet\.toml: .*groq is installed: remove wire"):
        open_shop(groq, groq=GROQ).resolve(LLAMA, TEXT)


def test_mocked_it_is_mapped_by_the_lender(open_shop, fakes) -> None:
    """Checked, as live, and without URL and secret; without the lender's package it is unchecked."""
    row = {"model": "text", "operation": "text.generate"}
    spec = HandlerSpec("*", lambda: fakes.EchoHandler("pretend"), simulates=True)
    pretend = ("pretend", fakes.PluginOf(spec), fakes.manifest("pretend", row, top={"simulates": True}))
    bound = open_shop(pretend, groq=GROQ).resolve(LLAMA, TEXT, Mode.MOCK)
    assert (bound.mapping, bound.prepared_by, bound.plugin, bound.namespace) == ("checked", "acme", "pretend", "mock")
    assert (bound.origin, bound.secrets) == ("", ())
    assert open_shop(pretend, groq=GROQ, lender=False).resolve(LLAMA, TEXT, Mode.MOCK).mapping == "unchecked"


def test_a_plugin_that_borrows_keeps_its_own_key(open_shop, fakes) -> None:
    """A row of an installed plugin with another plugin's wire: URL and secrets are those of its own manifest."""
    row = {"model": "m", "operation": "text.generate", "wire": "acme:chat"}
    table = {"secrets": ["CHEAP_KEY"], "origin": "https://cheap.example", "origin_env": "CHEAP_URL"}
    cheap = ("cheap", fakes.PluginOf(), fakes.manifest("cheap", row, **table))
    bound = open_shop(cheap).resolve(ModelRef("cheap", "m"), TEXT)
    assert (bound.origin, bound.secrets) == ("https://cheap.example", ("CHEAP_KEY",))
