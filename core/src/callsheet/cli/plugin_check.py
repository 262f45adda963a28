"""`callsheet plugins check`: the conformance checks for an installed plugin, with a report and a tier."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from typing import TextIO

import click

from callsheet.cli.options import json_option
from callsheet.cli.terminal import Session, put, put_json, say
from callsheet.errors import ConfigError
from callsheet.toml_tables import near_or_known

__all__ = ["check"]


@click.command()
@click.argument("name")
@click.option(
    "--report",
    "file",
    type=click.File("w", encoding="utf-8", lazy=False),
    metavar="FILE",
    help="Write the report into this file, too, as JSON.",
)
@json_option
@click.pass_obj
def check(session: Session, name: str, file: TextIO | None) -> int:
    """Check an installed plugin, offline and without a key. Exit code 1 when a check fails.

    NAME is its entry point, package or distribution.
    """
    from callsheet.testing import conformance
    from callsheet.testing.subject import Subject

    subject = Subject(name)
    if subject.found is None:
        known = [found.name for found in subject.discovery.plugins]
        raise ConfigError(f"no plugin {name!r} is installed{near_or_known(name, known)}")
    with redirect_stdout(sys.stderr):  # whatever the plugin prints, stdout is the report's
        report = conformance(name)
    document = report.as_json()
    if file is not None:
        file.write(json.dumps(document, indent=2) + "\n")
    if session.json:
        put_json(session, document)
    else:
        put(report.summary)
        if file is not None:
            say(f"the report is in {file.name}")
    return 0 if report.ok else 1
