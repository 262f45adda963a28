"""`callsheet plugins`: what is installed, also when all of it is broken."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from callsheet.cli.commands import SuggestingGroup
from callsheet.cli.models import discover_project
from callsheet.cli.options import json_option, project_option
from callsheet.cli.plugin_check import check
from callsheet.cli.plugin_install import install, remove
from callsheet.cli.plugin_new import new
from callsheet.cli.plugin_skill import skill
from callsheet.cli.terminal import Session, put, put_json, put_table, say

__all__ = ["plugins"]


@click.group(cls=SuggestingGroup, commands=[check, new, install, remove, skill])
def plugins() -> None:
    """List, examine, check, install, remove and begin plugins."""


@plugins.command("list")
@project_option
@json_option
@click.pass_obj
def list_plugins(session: Session, project: Path | None) -> None:
    """List the installed plugins with what they bring; none of them is imported."""
    discovery, catalog = discover_project(project)
    models = Counter(info.plugin for info in catalog.search())
    rows = []
    for found in discovery.plugins:
        manifest = found.manifest
        rows.append(
            {
                "name": found.name,
                "distribution": found.distribution,
                "version": found.version,
                "status": "broken" if found.problem else "skipped" if found.skipped else "ok",
                "problem": found.problem or found.skipped,
                "provider": found.provider,
                "models": models[found.distribution] if found.usable else 0,
                "provides": list(manifest.provides) if manifest else [],
                "commands": list(manifest.commands) if manifest else [],
            }
        )
    problems = [*discovery.problems, *catalog.provider_problems(), *catalog.own_problems(), *catalog.problems()]
    if session.json:
        put_json(session, {"plugins": rows, "problems": problems})
        return
    if rows:
        names = ("name", "distribution", "version", "status", "provider", "models", "commands")
        cells = [[", ".join(v) if isinstance(v := row[name], list) else v for name in names] for row in rows]
        put_table(names, cells, right=("models",))
    else:
        say("no plugin is installed")
    for row in rows:
        if row["status"] == "skipped":
            say(f"note: {row['name']} is skipped: {row['problem']}")
    for problem in problems:
        say(f"warning: {problem}")


@plugins.command("doctor")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="How long each plugin may take to load.",
)
@project_option
@json_option
@click.pass_obj
def doctor(session: Session, timeout: float, project: Path | None) -> int:
    """Examine the installed plugins: each is imported in a process apart. Exit code 1 when something is wrong."""
    from callsheet.config import find_project, load_settings
    from callsheet.doctor import diagnose
    from callsheet.install_hints import known_distributions
    from callsheet.plugin_trial import TrialRequest, try_plugins

    discovery, catalog = discover_project(project)
    settings = load_settings(find_project(project or Path.cwd()))
    request = TrialRequest(settings.allow, settings.deny, settings.pins, timeout)
    usable = [found.name for found in discovery.plugins if found.usable]
    findings = diagnose(discovery, catalog, try_plugins(usable, request), known_distributions())
    if session.json:
        fields = ("kind", "distribution", "problem", "remedy")
        document = [{name: getattr(finding, name) for name in fields} for finding in findings]
        put_json(session, {"ok": not findings, "plugins": len(discovery.plugins), "findings": document})
        return 1 if findings else 0
    for finding in findings:
        put(finding.line)
    for found in discovery.plugins:
        if found.skipped:
            say(f"note: {found.name} is skipped: {found.skipped}")
    say(_counted(len(findings), "problem") if findings else f"all is well: {_counted(len(usable), 'plugin')}")
    return 1 if findings else 0


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)
