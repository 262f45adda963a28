"""A plugin's `plugin.toml`: what it provides and its model rows, read as data without running any of its code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from callsheet.errors import CallsheetError, ConfigError, PluginError
from callsheet.toml_tables import Fail, Table, near_or_known, plain, read_toml, url_problem

if TYPE_CHECKING:
    from callsheet.models import ModelInfo, Operation
    from callsheet.money import PriceRow

__all__ = [
    "MANIFEST_NAME",
    "PLUGIN_API",
    "PROVIDES",
    "BatchLimits",
    "ModelRow",
    "PluginManifest",
    "ProviderTable",
    "model_row",
]

PLUGIN_API = 1
"""The newest contract with plugins; the one before it is spoken, too (docs/reference/versions.md)."""
MANIFEST_NAME = "plugin.toml"
PROVIDES = ("models", "commands", "sessions", "stores", "engines", "secrets", "middleware", "events", "selectors")
RATE_KEYS = ("model", "operation", "wire")
MAX_BYTES = 4 << 20

_TOP = ("api", "provider", "simulates", "provides", "commands", "wires", "loopback", "conformance", "models")
_CONFORMANCE = ("samples", "refuse")
_ROW = (
    "model",
    "operation",
    "wire",
    "title",
    "aliases",
    "capabilities",
    "inputs",
    "output",
    "schema",
    "digest",
    "revision",
    "price",
    "tier",
    "deprecated",
    "data",
)
_PRICE = ("per", "usd", "as_of", "source")
_BATCH = ("max_requests", "max_bytes", "price_factor")

PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_WIRE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_WIRE_OF_ROW = re.compile(rf"(?:{PROVIDER_NAME.pattern}:)?{_WIRE.pattern}")
_COMMAND = re.compile(r"[a-z][a-z0-9-]{0,31}")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
_ALIAS = re.compile(r"[^\s:@]{1,128}")
_OBJECT = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class ModelRow(NamedTuple):
    """A model row as it was read: the file it stands in, and its keys and values, not yet checked."""

    file: str
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much the vendor takes in one batch, and what a call in it costs: `price_factor` times its usual price."""

    max_requests: int
    max_bytes: int
    price_factor: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class ProviderTable:
    """The `[provider]` table of a plugin.

    `origin` is the URL that may see the secrets, `origin_env` the environment variable which overrides it, `rate_keys`
    say how finely the vendor counts calls (out of model, operation, wire; none: all calls of the provider together).
    With `open_models` every model name is taken, not only those with a row. `batch` is None when it takes no batches.
    """

    name: str
    title: str = ""
    docs_url: str = ""
    origin: str = ""
    origin_env: str = ""
    secrets: tuple[str, ...] = ()
    idempotency_key: bool = False
    rate_keys: tuple[str, ...] = ()
    open_models: bool = False
    batch: BatchLimits | None = None


_PROVIDER = tuple(field.name for field in fields(ProviderTable))


@dataclass(frozen=True, slots=True)
class PluginManifest:
    """What a plugin says of itself.

    `simulates`: it stands in for every provider when calls are mocked. `wires` are those that other providers' rows
    may use as `provider:wire`. `loopback` names the class that plays the vendor, as `package.module:Class`: nothing but the
    conformance checks imports it; `samples` (attribute values by model or wire) and `refuse` (reasons by check) are for them,
    too. `rows` are raw; `model_row` checks one and makes a ModelInfo of it.
    """

    api: int = PLUGIN_API
    provider: ProviderTable | None = None
    simulates: bool = False
    provides: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    wires: tuple[str, ...] = ()
    loopback: str = ""
    samples: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    refuse: Mapping[str, str] = field(default_factory=dict)
    rows: Sequence[ModelRow] = ()

    @classmethod
    def find(cls, package_root: Path, plugin: str = "") -> PluginManifest:
        """Read `plugin.toml` and `models/*.toml` in a package's folder. Raises PluginError (of `plugin`) that says why not."""
        return cls.read(package_root, plugin)[0]

    @classmethod
    def read(cls, package_root: Path, plugin: str = "") -> tuple[PluginManifest, Mapping[str, object]]:
        """As `find`, and the data of `plugin.toml` without its rows."""
        fail = partial(PluginError, plugin=plugin)
        path = package_root / MANIFEST_NAME
        if not path.is_file():
            raise fail(
                f"wheel without {MANIFEST_NAME}: add it to the package data, beside {plain(package_root)}/__init__.py"
            )
        data = read_toml(path, limit=MAX_BYTES, fail=fail)
        manifest = cls.parse(data, str(path), plugin)
        rows = list(manifest.rows)
        for file in sorted((package_root / "models").glob("*.toml")):
            table = Table(read_toml(file, limit=MAX_BYTES, fail=fail), plain(file), fail)
            table.only(("models",))
            rows.extend(ModelRow(str(file), row.values) for row in table.tables("models"))
        if rows and manifest.provider is None:
            raise fail(f"{plain(path)}: has model rows but no [provider] table that names their provider")
        top = {key: value for key, value in data.items() if key != "models"}
        return replace(manifest, rows=tuple(rows)), top

    @classmethod
    def parse(cls, data: Mapping[str, object], file: str = MANIFEST_NAME, plugin: str = "") -> PluginManifest:
        """Check a manifest's data; its rows stay raw. Raises PluginError that names `file` and the key."""
        table = Table(data, plain(file), partial(PluginError, plugin=plugin))
        api = _api(table)
        table.only(_TOP)
        checked = table.table("conformance")
        checked.only(_CONFORMANCE)
        samples = checked.table("samples")
        return cls(
            api=api,
            provider=_provider(table.table("provider")) if "provider" in table else None,
            simulates=table.flag("simulates"),
            provides=table.choices("provides", PROVIDES),
            commands=table.texts("commands", form=_COMMAND, wanted="lower-case words"),
            wires=table.texts("wires", form=_WIRE, wanted="names without spaces and colons"),
            loopback=table.text("loopback", form=_OBJECT, wanted="package.module:Class"),
            samples={name: samples.mapping(name) for name in samples.values},
            refuse=checked.pairs("refuse"),
            rows=tuple(ModelRow(file, row.values) for row in table.tables("models")),
        )


def _api(table: Table) -> int:
    api = table.values.get("api")
    if api is None:
        raise table.error(f"says no api version: write api = {PLUGIN_API} in its first line")
    if isinstance(api, bool) or not isinstance(api, int):
        raise table.error(f"api must be a whole number: write api = {PLUGIN_API}")
    spoken = range(max(1, PLUGIN_API - 1), PLUGIN_API + 1)
    if api in spoken:
        return api
    remedy = "upgrade callsheet: pip install -U callsheet" if api > PLUGIN_API else "upgrade the plugin"
    known = " and ".join(map(str, spoken))
    raise table.error(f"is written for plugin api {api}, and this callsheet speaks api {known}: {remedy}")


def _provider(table: Table) -> ProviderTable:
    for key in table.values:
        if key in _TOP and key not in _PROVIDER:
            raise table.error(f"{key!r} belongs at the top of the file, above [provider]")
    table.only(_PROVIDER)
    name = table.text("name", form=PROVIDER_NAME, wanted="lower-case letters, digits, dots and dashes")
    if not name:
        raise table.error("needs a name")
    if name == "auto":
        raise table.error("name must not be auto: auto:OPERATION has a model chosen")
    origin = table.text("origin").rstrip("/")
    problem = url_problem(origin, https_only=True) if origin else ""
    if problem:
        raise table.error(f"origin {problem}")
    return ProviderTable(
        name=name,
        title=table.text("title"),
        docs_url=table.text("docs_url"),
        origin=origin,
        origin_env=table.text("origin_env", form=_VARIABLE, wanted="an environment variable's name"),
        secrets=table.texts("secrets", form=_VARIABLE, wanted="names like EXAMPLE_API_KEY"),
        idempotency_key=table.flag("idempotency_key"),
        rate_keys=table.choices("rate_keys", RATE_KEYS),
        open_models=table.flag("open_models"),
        batch=_batch(table.table("batch")) if "batch" in table else None,
    )


def _batch(table: Table) -> BatchLimits:
    table.only(_BATCH)
    requests = table.whole("max_requests", least=1, most=10_000_000)
    size = table.whole("max_bytes", least=1, most=1 << 50)
    if requests is None or size is None:
        raise table.error("needs max_requests and max_bytes: what the vendor takes in one batch")
    factor = table.values.get("price_factor", 1)
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 <= factor <= 1:
        raise table.error("price_factor must be a number from 0 to 1: 0.5 for half the usual price")
    return BatchLimits(requests, size, Decimal(str(factor)))


def model_row(raw: Mapping[str, object], provider: str, plugin: str, *, file: str = MANIFEST_NAME) -> ModelInfo:
    """Check one model row and make a ModelInfo of it. `plugin` is the distribution, or empty for a row of one's own.

    `file` is where it stands, and thereby says where its schema lies: in the plugin's package, or beside that file.
    Raises PluginError (ConfigError for a row of one's own) that names file, model and key.
    """
    from callsheet.models import ModelInfo

    name = raw.get("model")
    where = f"{plain(file)}: {provider}:{plain(name) if isinstance(name, str) else '?'}"
    table = Table(raw, where, _fail_for(plugin))
    table.only(_ROW)
    model = _model_name(table)
    operation = _operation(table)
    return ModelInfo(
        provider=provider,
        model=model,
        operation=operation,
        wire=table.text("wire", form=_WIRE_OF_ROW, wanted="wire or provider:wire"),
        title=table.text("title"),
        aliases=table.texts("aliases", form=_ALIAS, wanted="names without spaces, colons and @"),
        capabilities=frozenset(table.texts("capabilities")),
        inputs=_inputs(table, operation),
        output=table.text("output"),
        schema=_schema(table, of_plugin=bool(plugin)),
        digest=_digest(table),
        revision=table.text("revision"),
        price=tuple(_price(row) for row in table.tables("price")),
        tier=table.text("tier") or "community",
        deprecated=table.text("deprecated"),
        plugin=plugin,
        data=table.mapping("data"),
        folder=_folder(Path(file), of_plugin=bool(plugin)),
    )


def _fail_for(plugin: str) -> Fail:
    def fail(message: str) -> CallsheetError:
        return PluginError(message, plugin=plugin) if plugin else ConfigError(message)

    return fail


def _model_name(table: Table) -> str:
    from callsheet.models import ENVIRONMENTS

    model = table.text("model")
    if not model or any(c.isspace() for c in model):
        raise table.error("model must be the vendor's name of the model, without spaces")
    if model.rpartition("@")[2] in ENVIRONMENTS and "@" in model:
        raise table.error(f"model must not end with an environment (@{', @'.join(ENVIRONMENTS)})")
    return model


def _operation(table: Table) -> Operation:
    from callsheet.models import Operation

    text = table.text("operation")
    try:
        return Operation(text)
    except ValueError:
        known = [str(operation) for operation in Operation]
        what = (
            f"operation has no {text!r}{near_or_known(text, known)}"
            if text
            else f"needs an operation: {', '.join(known)}"
        )
        raise table.error(what) from None


def _inputs(table: Table, operation: Operation) -> Mapping[str, str]:
    if "inputs" not in table:
        return {}
    from callsheet.inputs import attribute_names

    pairs = table.pairs("inputs")
    known = attribute_names(operation)
    for attribute in pairs:
        if attribute not in known:
            raise table.error(f"inputs: {operation} has no attribute {attribute!r}{near_or_known(attribute, known)}")
    return pairs


def _schema(table: Table, *, of_plugin: bool) -> str:
    schema = table.text("schema")
    outside = schema.startswith("/") or ".." in schema.split("/") or "\\" in schema
    if schema and (outside or not schema.endswith(".json")):
        inside = "the package" if of_plugin else "the folder of this file"
        raise table.error(f"schema must be a .json file inside {inside}, as a relative path with forward slashes")
    return schema


def _digest(table: Table) -> str:
    digest = table.text("digest", form=_DIGEST, wanted="sha256: and 64 hexadecimal digits")
    if digest and "schema" not in table:
        raise table.error("digest goes with schema: it pins that file")
    return digest


def _folder(file: Path, *, of_plugin: bool) -> Path:
    """Where a row's schema lies. A plugin's rows stand in plugin.toml or models/*.toml of its package."""
    return file.parent.parent if of_plugin and file.name != MANIFEST_NAME else file.parent


def _price(table: Table) -> PriceRow:
    from callsheet.money import PriceRow

    table.only(_PRICE)
    amount = table.amount("usd")
    per, source = table.text("per"), table.text("source")
    if not per or not source:
        raise table.error("needs per (the unit that is paid for) and source (where the price was read)")
    return PriceRow(per=per, usd=amount, as_of=_day(table), source=source)


def _day(table: Table) -> str:
    value = table.values.get("as_of")
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    try:
        return date.fromisoformat(value if isinstance(value, str) else "").isoformat()
    except ValueError:
        raise table.error('as_of must be the day the price was read, for example as_of = "2026-08-01"') from None
