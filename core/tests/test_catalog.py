"""The catalog: rows are found, searched and aliased, and are built only when they are wanted."""

from __future__ import annotations

import pytest

from callsheet import catalog as catalog_module
from callsheet.catalog import Catalog
from callsheet.discovery import Discovery, FoundPlugin
from callsheet.errors import ConfigError, PluginError
from callsheet.models import ModelInfo, ModelRef, Operation
from callsheet.settings import ProviderSettings

IMAGE = {"model": "owner/seed-4", "operation": "image.generate", "aliases": ["seed"], "capabilities": ["edit"]}
TEXT = {"model": "gpt-5", "operation": "text.generate", "title": "The Big One"}


@pytest.fixture
def catalog_of(fakes):
    """Makes a catalog of (provider, rows…) tuples."""

    def make(*plugins, **options) -> Catalog:
        found = tuple(
            FoundPlugin(name, "", f"callsheet-{name}", "1.0", manifest=fakes.manifest(name, *rows))
            for name, *rows in plugins
        )
        return Catalog(Discovery(found), **options)

    return make


def test_a_row_is_built_once_and_named_after_its_plugin(catalog_of) -> None:
    """The same object comes back; an unknown model is None."""
    catalog = catalog_of(("acme", IMAGE))
    info = catalog.get(ModelRef("acme", "owner/seed-4"))
    assert info is not None
    assert (info.name, info.plugin) == ("acme:owner/seed-4", "callsheet-acme")
    assert catalog.get(ModelRef("acme", "owner/seed-4", "cloud")) is info
    assert catalog.get(ModelRef("acme", "nothing")) is None


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("acme:owner/seed-4", "acme:owner/seed-4"),
        ("acme:owner/seed-4@cloud", "acme:owner/seed-4@cloud"),
        (" seed ", "acme:owner/seed-4"),
        ("seed@cloud", "acme:owner/seed-4@cloud"),
        ("acme:seed", "acme:owner/seed-4"),
        ("acme:seed@cloud", "acme:owner/seed-4@cloud"),
        ("other:seed", "other:seed"),
        ("hero", "acme:owner/seed-4"),
        ("hero@cloud", "acme:owner/seed-4@cloud"),
        ("best", "beta:gpt-5@cloud"),
        ("best@local", "beta:gpt-5"),
    ],
)
def test_references_and_aliases_are_found(catalog_of, text: str, ref: str) -> None:
    """Aliases of rows stand bare or behind their provider; those of the settings may point to either."""
    catalog = catalog_of(("acme", IMAGE), ("beta", TEXT), aliases={"hero": "seed", "best": "beta:gpt-5@cloud"})
    assert str(catalog.find(text)) == ref


def test_aliases_of_the_settings_win(catalog_of) -> None:
    """The project decides what a short name means."""
    catalog = catalog_of(("acme", IMAGE), ("beta", TEXT), aliases={"seed": "beta:gpt-5"})
    assert str(catalog.find("seed")) == "beta:gpt-5"
    assert str(catalog.find("acme:seed")) == "acme:owner/seed-4"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seeed", "did you mean seed"),
        ("heros", "did you mean hero"),
        ("gpt-5", "did you mean beta:gpt-5"),
        ("zzz", "write provider:model"),
        ("a\x1bb", r"a\\x1bb"),
        ("", "neither provider:model nor"),
        ("loop", "the alias 'loop': 'loop' is neither"),
    ],
)
def test_an_unknown_alias_says_what_is_near(catalog_of, text: str, said: str) -> None:
    """Aliases of both kinds are offered, and the full name of a model that was written without its provider."""
    catalog = catalog_of(("acme", IMAGE), ("beta", TEXT), aliases={"hero": "seed", "loop": "loop"})
    with pytest.raises(ConfigError, match=said):
        catalog.find(text)


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("bta:gpt-5", "; did you mean beta:gpt-5?"),
        ("bta:gpt-6", "; did you mean beta:gpt-5?"),
        ("bta:zzz", "; no plugin provides 'bta'; did you mean 'beta'?"),
        ("beta:zzz", "; `callsheet models` lists what there is"),
    ],
)
def test_an_unknown_provider_says_which_is_near(catalog_of, ref: str, said: str) -> None:
    """With the model that is meant there, where one looks like it."""
    assert catalog_of(("acme", IMAGE), ("beta", TEXT)).hint(ModelRef.parse(ref)) == said


def test_a_model_s_name_without_its_provider_is_the_first_guess(catalog_of) -> None:
    """Before aliases that look like it."""
    catalog = catalog_of(("beta", TEXT), aliases={"gpt-5.6": "beta:gpt-5"})
    with pytest.raises(ConfigError, match=r"did you mean beta:gpt-5 or gpt-5\.6\?"):
        catalog.find("gpt-5")


def test_an_alias_of_two_models_names_both(catalog_of) -> None:
    """A short name that two plugins claim is never settled by chance."""
    catalog = catalog_of(("acme", IMAGE), ("beta", {**IMAGE, "model": "x"}))
    with pytest.raises(ConfigError, match="write acme:owner/seed-4 or beta:x"):
        catalog.find("seed")
    assert str(catalog.find("beta:seed")) == "beta:x"


def test_a_row_of_the_project_wins(catalog_of) -> None:
    """Its aliases count, those of the row it replaces do not."""
    own = ModelInfo("acme", "owner/seed-4", Operation.IMAGE_GENERATE, title="mine", aliases=("mine",))
    catalog = catalog_of(("acme", IMAGE), models=[own])
    assert catalog.get(ModelRef("acme", "owner/seed-4")) is own
    assert str(catalog.find("mine")) == "acme:owner/seed-4"
    assert [info.title for info in catalog.search()] == ["mine"]
    with pytest.raises(ConfigError):
        catalog.find("seed")


def test_two_rows_of_one_model_are_refused_with_both_files(catalog_of) -> None:
    """It is not found by order of files; the other models stay."""
    catalog = catalog_of(("acme", IMAGE, TEXT, IMAGE))
    with pytest.raises(ConfigError, match=r"more than one row, in acme/plugin.toml of callsheet-acme 1.0 and"):
        catalog.get(ModelRef("acme", "owner/seed-4"))
    assert [info.model for info in catalog.search()] == ["gpt-5"]
    assert len(catalog.problems()) == 1


def test_a_broken_row_is_an_error_where_it_is_used_and_a_line_elsewhere(catalog_of) -> None:
    """Listing goes on without it."""
    catalog = catalog_of(("acme", {**TEXT, "titel": "x"}, IMAGE, {"operation": "text.embed"}, {"title": "x"}))
    with pytest.raises(PluginError, match="unknown key 'titel'; did you mean 'title'"):
        catalog.get(ModelRef("acme", "gpt-5"))
    assert [info.model for info in catalog.search()] == ["owner/seed-4"]
    assert len(catalog.problems()) == 2


@pytest.mark.parametrize(
    ("conditions", "names"),
    [
        ({}, ["acme:owner/seed-4", "beta:gpt-5"]),
        ({"operation": "text.generate"}, ["beta:gpt-5"]),
        ({"operation": Operation.VIDEO_GENERATE}, []),
        ({"provider": "acme"}, ["acme:owner/seed-4"]),
        ({"capability": "edit"}, ["acme:owner/seed-4"]),
        ({"text": "big GPT"}, ["beta:gpt-5"]),
        ({"text": "seed"}, ["acme:owner/seed-4"]),
        ({"text": "nothing"}, []),
    ],
)
def test_search_meets_every_condition(catalog_of, conditions: dict[str, str], names: list[str]) -> None:
    """Sorted by provider and model."""
    assert [info.name for info in catalog_of(("beta", TEXT), ("acme", IMAGE)).search(**conditions)] == names


def test_an_unknown_operation_is_an_error(catalog_of) -> None:
    """An empty list would look like an answer."""
    with pytest.raises(ConfigError, match=r"did you mean 'image\.generate'"):
        catalog_of(("acme", IMAGE)).search(operation="image.generat")


def test_unknown_models_are_described_by_their_operation(catalog_of) -> None:
    """Only of installed providers; else the nearest names are told."""
    catalog = catalog_of(("acme", IMAGE), ("beta", TEXT))
    bare = catalog.describe(ModelRef("acme", "new"), Operation.TEXT_EMBED)
    assert (bare.name, bare.operation, bare.plugin) == ("acme:new", Operation.TEXT_EMBED, "callsheet-acme")
    assert catalog.describe(ModelRef("beta", "gpt-5")).title == "The Big One"
    with pytest.raises(ConfigError, match="did you mean acme:owner/seed-4"):
        catalog.describe(ModelRef("acme", "owner/sed-4"))
    with pytest.raises(ConfigError, match="no model gamma:x"):
        catalog.describe(ModelRef("gamma", "x"), Operation.TEXT_EMBED)
    assert catalog.near(ModelRef("betta", "gpt-5")) == ["beta:gpt-5"]
    assert catalog.near(ModelRef("betta", "zzz")) == []
    assert list(catalog.providers()) == ["acme", "beta"]


def test_ten_thousand_rows_are_indexed_without_building_one(catalog_of, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the model that is asked for is checked and built."""
    built: list[object] = []
    make = catalog_module.model_row

    def spy(raw, *args, **kwargs):
        built.append(raw["model"])
        return make(raw, *args, **kwargs)

    monkeypatch.setattr(catalog_module, "model_row", spy)
    rows = [{"model": f"m{i}", "operation": "text.generate", "aliases": [f"a{i}"]} for i in range(10_000)]
    catalog = catalog_of(("acme", *rows))
    assert str(catalog.find("a77")) == "acme:m77"
    assert built == []
    assert catalog.get(ModelRef("acme", "m77")) is not None
    assert catalog.search(operation="image.generate") == []
    assert [info.model for info in catalog.search(text="acme:M777")] == ["m777", *(f"m777{i}" for i in range(10))]
    assert len(built) == 12


def test_a_provider_with_a_lent_wire_is_known(catalog_of) -> None:
    """Any name of it gets a bare row, aliases of the project's rows for it work, and errors say how it is."""
    llama = ModelInfo("groq", "llama", Operation.TEXT_GENERATE, wire="beta:chat", aliases=("fast",))
    groq = ProviderSettings("https://groq.example", "beta:chat")
    catalog = catalog_of(("beta", TEXT), models=[llama], providers={"groq": groq, "beta": ProviderSettings("http://x")})
    assert catalog.lent() == {"groq": "beta:chat"}
    bare = catalog.describe(ModelRef("groq", "other"), Operation.TEXT_GENERATE)
    assert (bare.name, bare.wire, bare.plugin) == ("groq:other", "beta:chat", "")
    assert catalog.open_row(ModelRef("groq", "other"), Operation.TEXT_GENERATE) == bare
    assert catalog.open_row(ModelRef("beta", "other"), Operation.TEXT_GENERATE) is None
    assert str(catalog.find("groq:fast")) == "groq:llama"
    with pytest.raises(ConfigError, match="groq takes every name over the wire beta:chat"):
        catalog.describe(ModelRef("groq", "zzz"))


def test_lent_wires_that_cannot_be_used_are_told(fakes) -> None:
    """No lender, a wire that is not lent, a provider that is installed: a line each."""
    given = fakes.manifest("beta", TEXT, top={"wires": ["chat"]})
    beta = FoundPlugin("beta", "", "callsheet-beta", "1.0", manifest=given)
    wires = {"a": "none:chat", "b": "beta:chatt", "c": "beta:chat", "beta": "c:d"}
    providers = {name: ProviderSettings("https://x.example", wire) for name, wire in wires.items()}
    lines = Catalog(Discovery((beta,)), providers=providers).provider_problems()
    assert [line.partition("]")[0].removeprefix("[providers.") for line in lines] == ["a", "b", "beta", "beta"]
    assert "no usable plugin provides 'none'" in lines[0]
    assert "there is no wire 'beta:chatt'; did you mean 'chat'?" in lines[1]
    assert "callsheet-beta 1.0 is installed" in lines[2]
