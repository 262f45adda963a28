"""Checks of the model rows: valid, titled, priced and dated, with schemas that take what they say."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from callsheet.errors import CallsheetError
from callsheet.model_schemas import InputSchema, closed_validator, input_schema
from callsheet.models import ModelInfo
from callsheet.plugin_manifest import PluginManifest, model_row
from callsheet.testing.expected_media import fits, wanted_media
from callsheet.testing.report import Check, Finding, NotApplicableError
from callsheet.testing.subject import CheckRow, Subject

__all__ = ["TABLE"]

_DATE = re.compile(r"\d{4}-\d{2}(-\d{2})?")
_REPLACEMENT = re.compile(r"\b(use|instead|replace[sd]?)\b", re.IGNORECASE)
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]*(\[\])?")


def _rows(subject: Subject) -> list[ModelInfo]:
    if not subject.rows:
        raise NotApplicableError("it has no model rows that are valid")
    return subject.rows


def check_rows(subject: Subject) -> Iterator[Finding]:
    """Each row is accepted, and no model stands there twice."""
    plugin = subject.plugin
    models: Counter[str] = Counter()
    for row in (plugin.manifest or PluginManifest()).rows:
        try:
            models[model_row(row.values, plugin.provider, plugin.distribution, file=row.file).model] += 1
        except CallsheetError as error:
            yield Finding("", str(error))
    for model, number in models.items():
        if number > 1:
            yield Finding(f"{plugin.provider}:{model}", f"has {number} rows")


def check_aliases(subject: Subject) -> Iterator[Finding]:
    """No short name stands for two models, or for one that has another name."""
    names: dict[str, list[str]] = defaultdict(list)
    for info in _rows(subject):
        for name in (info.model, *info.aliases):
            names[name].append(info.model)
    for name, models in names.items():
        if len(models) > 1:
            yield Finding(f"{subject.plugin.provider}:{name}", f"names {len(models)} models: {', '.join(models)}")


def check_titles(subject: Subject) -> Iterator[Finding]:
    """People see the title in lists of models."""
    for info in _rows(subject):
        if not info.title.strip():
            yield Finding(info.name, "has no title")


def check_prices(subject: Subject) -> Iterator[Finding]:
    """One price for each unit, read on a day that has come."""
    priced = [info for info in _rows(subject) if info.price]
    if not priced:
        raise NotApplicableError("no row has a price: what its calls cost is unknown, never 0")
    today = datetime.now(UTC).date().isoformat()
    for info in priced:
        for per, number in Counter(row.per for row in info.price).items():
            if number > 1:
                yield Finding(info.name, f"has {number} prices per {per}")
        for row in info.price:
            if row.as_of > today:
                yield Finding(info.name, f"has a price per {row.per} of {row.as_of}, a day that has not come")


def check_deprecations(subject: Subject) -> Iterator[Finding]:
    """Who reads that a model is deprecated also reads until when it works, or what to use."""
    marked = [info for info in _rows(subject) if info.deprecated]
    if not marked:
        raise NotApplicableError("no row is deprecated")
    for info in marked:
        if not (_DATE.search(info.deprecated) or _REPLACEMENT.search(info.deprecated)):
            yield Finding(info.name, f"is deprecated without a date and without a replacement: {info.deprecated!r}")


def check_outputs(subject: Subject) -> Iterator[Finding]:
    """`output` is a media type that the operation makes."""
    told = [info for info in _rows(subject) if info.output]
    if not told:
        raise NotApplicableError("no row says its output")
    for info in told:
        if not _MEDIA_TYPE.fullmatch(info.output):
            yield Finding(info.name, f"has the output {info.output!r}: write a media type, with [] for several")
        elif not fits(info.output.removesuffix("[]"), info.operation):
            yield Finding(
                info.name, f"has the output {info.output} of {info.operation}, {wanted_media(info.operation)}"
            )


def check_schemas(subject: Subject) -> Iterator[Finding]:
    """Each schema file is in the package and is JSON Schema."""
    for _, schema in _schemas(subject):
        if isinstance(schema, CallsheetError):
            yield Finding("", str(schema))


def check_schema_defaults(subject: Subject) -> Iterator[Finding]:
    """Who leaves an input out sends its default: that has to be a value the schema takes."""
    for info, schema in _schemas(subject):
        if isinstance(schema, CallsheetError):
            continue
        for name, each in schema.properties.items():
            problem = _wrong_default(each, schema.whole) if isinstance(each, Mapping) and "default" in each else ""
            if problem:
                yield Finding(f"{info.name} {name}", f"has a default that its schema does not take: {problem}")


def check_schema_fields(subject: Subject) -> Iterator[Finding]:
    """What a row maps general attributes to are inputs that its schema has."""
    for info, schema in _schemas(subject):
        if isinstance(schema, CallsheetError) or schema.whole.get("additionalProperties") is not False:
            continue
        for attribute, name in info.inputs.items():
            if name not in schema.properties:
                yield Finding(info.name, f"maps {attribute} to {name!r}, which its schema does not have")


def _schemas(subject: Subject) -> Iterator[tuple[ModelInfo, InputSchema | CallsheetError]]:
    described = [info for info in _rows(subject) if info.schema]
    if not described:
        raise NotApplicableError("no row has a schema")
    for info in described:
        try:
            yield info, input_schema(info)
        except CallsheetError as error:
            yield info, error


def _wrong_default(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    default = schema["default"]
    if default is None:
        return ""  # vendors write it for "none"; nothing is sent then
    places = {key: whole[key] for key in ("$defs", "definitions", "components", "$schema") if key in whole}
    try:
        found = next(iter(closed_validator({**places, **schema}).iter_errors(default)), None)
    except ValueError as error:
        return str(error)
    return found.message if found is not None else ""


TABLE: tuple[CheckRow, ...] = (
    (check_rows, Check("rows", "every model row is valid, no model has two", "correct the row the message names")),
    (check_aliases, Check("aliases", "a name stands for one model", "give each model its own aliases")),
    (check_titles, Check("titles", "every model row has a title", 'add title = "…": what people call the model')),
    (
        check_prices,
        Check(
            "prices",
            "there is one price for each unit, of a day that has come",
            'write { per = "image", usd = 0.03, as_of = "2026-08-01", source = "acme.example.com/pricing" }',
        ),
    ),
    (
        check_deprecations,
        Check(
            "deprecations",
            "a deprecated model says until when it works, or what to use instead",
            'write deprecated = "ends on 2027-01-31: use …"',
        ),
    ),
    (
        check_outputs,
        Check(
            "row-outputs", "a row's `output` is a media type that its operation makes", "correct output, or operation"
        ),
    ),
    (
        check_schemas,
        Check(
            "schemas",
            "each schema is in the package, and is JSON Schema",
            "add the file to the package data; compare its digest; validate it against its own $schema",
        ),
    ),
    (
        check_schema_defaults,
        Check(
            "schema-defaults", "each default is valid by its schema", "correct the default, or what the schema takes"
        ),
    ),
    (
        check_schema_fields,
        Check("schema-fields", "`inputs` maps attributes to inputs of the schema", "correct the name in `inputs`"),
    ),
)
