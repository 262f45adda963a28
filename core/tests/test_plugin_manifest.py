"""plugin.toml: what is read, and what each mistake in it says."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from callsheet.errors import ConfigError, PluginError
from callsheet.models import Operation
from callsheet.plugin_manifest import PluginManifest, model_row

GOOD = """
api = 1
simulates = false
provides = ["models", "commands"]
commands = ["acme-login"]
wires = ["chat"]
loopback = "callsheet_acme.testing:AcmeServer"
conformance = { samples = { big-1 = { voice = "ash" } }, refuse = { no-retry = "it needs two requests" } }

[provider]
name = "acme"
title = "Acme"
docs_url = "https://acme.example/docs"
origin = "https://api.acme.example/"
origin_env = "ACME_BASE_URL"
secrets = ["ACME_API_KEY"]
idempotency_key = true
rate_keys = ["model"]

[[models]]
model = "big-1"
operation = "text.generate"
"""

ROW = {
    "model": "owner/seed-4",
    "operation": "image.generate",
    "wire": "predictions",
    "title": "Seed",
    "schema": "schemas/seed-4.json",
    "inputs": {"prompt": "prompt", "count": "max_images"},
    "output": "image/jpeg[]",
    "aliases": ["seed"],
    "capabilities": ["edit"],
    "price": [{"per": "image", "usd": 0.03, "as_of": "2026-08-01", "source": "acme.example/pricing"}],
    "tier": "verified",
    "revision": "abc",
    "deprecated": "",
    "data": {"anything": [1, {"x": True}]},
}


def test_a_manifest_is_read_with_the_rows_of_both_places(tmp_path: Path) -> None:
    """Rows come from plugin.toml and then from models/*.toml in order of name."""
    (tmp_path / "models").mkdir()
    (tmp_path / "plugin.toml").write_text(GOOD)
    for name in ("b", "a"):
        (tmp_path / "models" / f"{name}.toml").write_text(f'[[models]]\nmodel = "{name}"\noperation = "text.embed"\n')
    manifest = PluginManifest.find(tmp_path)
    provider = manifest.provider
    assert provider is not None
    assert (provider.name, provider.origin, provider.origin_env) == (
        "acme",
        "https://api.acme.example",
        "ACME_BASE_URL",
    )
    assert (provider.secrets, provider.idempotency_key, provider.rate_keys) == (("ACME_API_KEY",), True, ("model",))
    assert (manifest.commands, manifest.wires, manifest.provides) == (
        ("acme-login",),
        ("chat",),
        ("models", "commands"),
    )
    assert manifest.loopback == "callsheet_acme.testing:AcmeServer"
    assert (manifest.samples, manifest.refuse) == ({"big-1": {"voice": "ash"}}, {"no-retry": "it needs two requests"})
    assert [row.values["model"] for row in manifest.rows] == ["big-1", "a", "b"]
    assert manifest.rows[1].file.endswith("a.toml")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("api = 1", "", "write api = 1 in its first line"),
        ("api = 1", "api = 2", "plugin api 2, and this callsheet speaks api 1: upgrade callsheet"),
        ("api = 1", "api = 0", "plugin api 0, and this callsheet speaks api 1: upgrade the plugin"),
        ("api = 1", "api = true", "api must be a whole number"),
        ("api = 1", "api = 1.0", "api must be a whole number"),
        ("simulates", "simulate", "unknown key 'simulate'; did you mean 'simulates'"),
        ('"commands"]', '"comands"]', "provides has no 'comands'; did you mean 'commands'"),
        ('"acme-login"', '"Acme Login"', "commands must be lower-case words"),
        ('name = "acme"', "", r"\[provider\]: needs a name"),
        ('name = "acme"', 'name = "Ac:me"', "name must be lower-case letters"),
        ("https://api", "http://api", "origin must begin with https://"),
        ("origin_env", "origin_evn", "unknown key 'origin_evn'; did you mean 'origin_env'"),
        ('"ACME_API_KEY"', '"key"', "secrets must be names like"),
        ('["model"]', '["modle"]', "rate_keys has no 'modle'; did you mean 'model'"),
        ("idempotency_key", "wires = []\nidempotency_key", "'wires' belongs at the top of the file"),
        ("testing:AcmeServer", "testing", "loopback must be package.module:Class, not 'callsheet_acme.testing'"),
        ("refuse", "refused", r"\[conformance\]: unknown key 'refused'; did you mean 'refuse'"),
        ('{ voice = "ash" }', '"ash"', r"\[samples\]: big-1: must be a table, not text"),
        ('"it needs two requests"', "true", r"\[refuse\]: no-retry must be text, not a boolean"),
        ("[[models]]", "[models]", r"write \[\[models\]\]"),
    ],
)
def test_each_mistake_is_named_with_its_remedy(tmp_path: Path, old: str, new: str, said: str) -> None:
    """File, table and key are told, and what to write instead."""
    (tmp_path / "plugin.toml").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(PluginError, match=said) as error:
        PluginManifest.find(tmp_path, "callsheet-acme")
    assert "plugin.toml" in str(error.value)
    assert error.value.plugin == "callsheet-acme"


def test_a_package_without_manifest_says_what_was_forgotten(tmp_path: Path) -> None:
    """It is nearly always package data that did not get into the wheel."""
    with pytest.raises(PluginError, match=r"wheel without plugin.toml: add it to the package data"):
        PluginManifest.find(tmp_path)


def test_rows_need_a_provider(tmp_path: Path) -> None:
    """A plugin of engines or stores has no provider, and then no models."""
    (tmp_path / "plugin.toml").write_text('api = 1\nprovides = ["stores"]\n')
    assert PluginManifest.find(tmp_path).provider is None
    (tmp_path / "plugin.toml").write_text('api = 1\n[[models]]\nmodel = "x"\n')
    with pytest.raises(PluginError, match=r"no \[provider\] table"):
        PluginManifest.find(tmp_path)


def test_a_models_file_holds_models_only(tmp_path: Path) -> None:
    """A table in the wrong file is told, not ignored."""
    (tmp_path / "models").mkdir()
    (tmp_path / "plugin.toml").write_text(GOOD)
    (tmp_path / "models" / "x.toml").write_text('[[model]]\nmodel = "x"\n')
    with pytest.raises(PluginError, match=r"x\.toml: unknown key 'model'; did you mean 'models'"):
        PluginManifest.find(tmp_path)


def test_a_row_becomes_a_model_with_exact_prices() -> None:
    """All keys arrive; a price is the decimal that was written."""
    info = model_row(ROW, "acme", "callsheet-acme")
    assert info.name == "acme:owner/seed-4"
    assert info.operation is Operation.IMAGE_GENERATE
    assert info.price[0].usd == Decimal("0.03")
    assert (info.tier, info.plugin, info.aliases) == ("verified", "callsheet-acme", ("seed",))
    assert info.capabilities == {"edit"}
    assert info.inputs == {"prompt": "prompt", "count": "max_images"}
    assert info.data == {"anything": [1, {"x": True}]}
    assert model_row({"model": "m", "operation": "text.embed"}, "acme", "p").tier == "community"


def test_dates_of_toml_are_days() -> None:
    """`as_of = 2026-08-01` without quotes is a TOML date."""
    raw = tomllib.loads('[[price]]\nper = "run"\nusd = "0.00000125"\nas_of = 2026-08-01\nsource = "x"')
    info = model_row({"model": "m", "operation": "text.embed", **raw}, "acme", "p")
    assert (info.price[0].as_of, info.price[0].usd) == ("2026-08-01", Decimal("0.00000125"))


def price(**changes: object) -> dict[str, object]:
    """A row's price with changes; None takes a key away."""
    entry = {"per": "image", "usd": 1, "as_of": "2026-08-01", "source": "x", **changes}
    return {"price": [{key: value for key, value in entry.items() if value is not None}]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"capabilites": []}, "unknown key 'capabilites'; did you mean 'capabilities'"),
        ({"operation": "image.generat"}, "did you mean 'image.generate'"),
        ({"operation": ""}, "needs an operation"),
        ({"model": ""}, "vendor's name of the model"),
        ({"model": "a b"}, "without spaces"),
        ({"model": "a@local"}, "must not end with an environment"),
        ({"model": 7}, "model must be text"),
        ({"wire": "a:b:c"}, "wire must be wire or provider:wire"),
        ({"aliases": ["a:b"]}, "aliases must be names without"),
        ({"inputs": {"promt": "p"}}, "no attribute 'promt'; did you mean 'prompt'"),
        ({"inputs": {"prompt": 1}}, "prompt must be text"),
        ({"schema": "../x.json"}, "inside the package"),
        ({"schema": "/etc/x.json"}, "inside the package"),
        ({"schema": "a\\b.json"}, "forward slashes"),
        ({"data": []}, "must be a table"),
        (price(usd=None), "usd must be an amount"),
        (price(usd=True), "usd must be an amount"),
        (price(usd="cheap"), "usd must be an amount"),
        (price(usd=-1), "0 or more"),
        (price(usd=float("inf")), "0 or more"),
        (price(per=None), "needs per"),
        (price(source=None), "source"),
        (price(as_of=None), "as_of must be the day"),
        (price(as_of="yesterday"), "as_of must be the day"),
        (price(unit="x"), "unknown key 'unit'"),
    ],
)
def test_a_wrong_row_names_file_model_and_key(change: dict[str, object], said: str) -> None:
    """A plugin's row is the plugin's mistake."""
    with pytest.raises(PluginError, match=said) as error:
        model_row({**ROW, **change}, "acme", "callsheet-acme", file="models/x.toml")
    assert str(error.value).startswith("models/x.toml: acme:")
    assert error.value.plugin == "callsheet-acme"


def test_a_wrong_row_of_the_project_is_a_config_error() -> None:
    """Nobody else's plugin is blamed for it."""
    with pytest.raises(ConfigError, match=r"callsheet\.toml: acme:m: unknown key"):
        model_row({"model": "m", "operation": "text.embed", "x": 1}, "acme", "", file="callsheet.toml")


def with_batch(batch: str) -> PluginManifest:
    """The manifest with this `batch`."""
    text = GOOD.replace('rate_keys = ["model"]', f'rate_keys = ["model"]\nbatch = {batch}')
    return PluginManifest.parse(tomllib.loads(text), "acme/plugin.toml", "acme")


def test_batch_limits_are_read() -> None:
    """Both limits, and the price as an exact number; none when the key is absent."""
    found = with_batch("{ max_requests = 50_000, max_bytes = 200, price_factor = 0.1 }").provider
    assert found is not None
    assert found.batch is not None
    assert (found.batch.max_requests, found.batch.max_bytes, found.batch.price_factor) == (50_000, 200, Decimal("0.1"))
    usual = with_batch("{ max_requests = 1, max_bytes = 1 }").provider
    assert usual is not None
    assert usual.batch is not None
    assert usual.batch.price_factor == 1


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        ("{ max_requests = 5 }", "needs max_requests and max_bytes"),
        ("{ max_requests = 0, max_bytes = 5 }", "max_requests must be a whole number"),
        ("{ max_requests = 5, max_bytes = 5, price_factor = 2 }", "price_factor must be a number from 0 to 1"),
        ("{ max_requests = 5, max_bytes = 5, price_factor = true }", "price_factor must be a number from 0 to 1"),
        ("{ max_requests = 5, max_bytes = 5, prize = 2 }", "unknown key 'prize'"),
        ("true", "must be a table"),
    ],
)
def test_a_mistake_in_batch_limits_is_named(batch: str, said: str) -> None:
    """With the file and the key."""
    with pytest.raises(PluginError, match=f"acme/plugin.toml.*{said}"):
        with_batch(batch)
