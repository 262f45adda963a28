"""`callsheet models` and `callsheet model show`: the catalog, read without importing any plugin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from callsheet.cli.options import complete_refs, json_option, project_option
from callsheet.cli.prices import dated_prices, price_rows
from callsheet.cli.terminal import Session, put, put_json, put_table, say

if TYPE_CHECKING:
    from callsheet.catalog import Catalog
    from callsheet.discovery import Discovery
    from callsheet.models import ModelInfo

__all__ = ["discover_project", "models", "put_options", "show"]

MAX_PRICES = 3


@click.command()
@click.argument("text", nargs=-1)
@click.option("-o", "--operation", help="Only models that do this, for example image.generate.")
@click.option("--provider", metavar="P", help="Only models of this provider.")
@click.option("--capability", metavar="C", help="Only models with this capability.")
@project_option
@json_option
@click.pass_obj
def models(
    session: Session,
    /,
    text: tuple[str, ...],
    *,
    operation: str | None,
    provider: str | None,
    capability: str | None,
    project: Path | None,
) -> None:
    """List the models that can be called; TEXT is part of the name, title or an alias."""
    discovery, catalog = discover_project(project)
    found = catalog.search(operation=operation, provider=provider, capability=capability, text=" ".join(text))
    problems = [*discovery.problems, *catalog.provider_problems(), *catalog.own_problems(), *catalog.problems()]
    if session.json:
        put_json(session, {"models": [_row(info) for info in found], "problems": problems})
        return
    if found:
        rows = [(info.name, info.operation, _price(info), ", ".join(info.aliases), info.tier) for info in found]
        put_table(("model", "operation", "price", "aliases", "tier"), rows)
    else:
        say("no model here fits; `callsheet plugins list` shows which plugins are installed")
    for name, wire in catalog.lent().items():
        if provider in (None, name):
            say(f"note: {name} takes every model name, over the wire {wire}")
    for problem in problems:
        say(f"warning: {problem}")


@click.command()
@click.argument("ref", shell_complete=complete_refs)
@project_option
@json_option
@click.pass_obj
def show(session: Session, ref: str, project: Path | None) -> None:
    """Show what the model REF takes, makes and costs."""
    from callsheet.inputs import attribute_names

    _, catalog = discover_project(project)
    info = catalog.describe(catalog.find(ref))
    schema = _schema(info)
    if session.json:
        document = _row(info) | {
            "wire": info.wire,
            "attributes": list(attribute_names(info.operation)),
            "inputs": dict(info.inputs),
            "output": info.output,
            "revision": info.revision,
            "schema": schema,
        }
        put_json(session, document)
        return
    facts = {
        "model": info.name,
        "title": info.title,
        "operation": info.operation,
        "aliases": ", ".join(info.aliases),
        "capabilities": ", ".join(sorted(info.capabilities)),
        "makes": info.output,
        "takes": ", ".join(info.inputs),
        # only the code of its wire knows which; no plugin is imported to show a row
        "may take": ""
        if info.inputs
        else f"{', '.join(attribute_names(info.operation))} (what it cannot is warned of)",
        "price": dated_prices(info.price),
        "revision": info.revision,
        "tier": info.tier,
        "deprecated": info.deprecated,
        "plugin": info.plugin,
    }
    for name, value in facts.items():
        if value:
            put(f"{name + ':':14}{value}")
    put_options(schema)


def put_options(schema: object) -> None:
    """The fields of a model's own schema, as a table."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or not properties:
        return
    put("options:")
    rows = []
    for name, each in properties.items():
        about = each if isinstance(each, dict) else {}
        kind = about.get("enum") or about.get("type", "")
        kind = ", ".join(map(str, kind)) if isinstance(kind, list) else kind
        rows.append((f"  {name}", kind, about.get("default", ""), str(about.get("description", ""))[:100]))
    put_table(("  option", "takes", "default", "about"), rows)


def discover_project(project: Path | None) -> tuple[Discovery, Catalog]:
    """The plugins and models of a project, by its settings. Raises ConfigError for a wrong `callsheet.toml`."""
    from callsheet.catalog import Catalog
    from callsheet.config import find_project, load_settings
    from callsheet.discovery import discover

    settings = load_settings(find_project(project or Path.cwd()))
    discovery = discover(allow=settings.allow, deny=settings.deny, pins=settings.pins)
    return discovery, Catalog.of(discovery, settings)


def _price(info: ModelInfo) -> str:
    told = [str(row) for row in info.price]
    more = [f"{len(told) - MAX_PRICES} more"] if len(told) > MAX_PRICES else []
    return ", ".join(told[:MAX_PRICES] + more) or "unknown"


def _row(info: ModelInfo) -> dict[str, object]:
    return {
        "ref": info.name,
        "operation": info.operation.value,
        "title": info.title,
        "aliases": list(info.aliases),
        "capabilities": sorted(info.capabilities),
        "price": price_rows(info.price),
        "tier": info.tier,
        "deprecated": info.deprecated,
        "plugin": info.plugin,
    }


def _schema(info: ModelInfo) -> object:
    """The model's JSON Schema, or None."""
    from callsheet.errors import CallsheetError
    from callsheet.model_schemas import input_schema

    try:
        return input_schema(info).whole or None
    except CallsheetError as error:
        say(f"warning: {error}")
        return None
