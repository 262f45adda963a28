"""`callsheet trust`: say that a project's file may send keys and results where it does."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from callsheet.cli.options import json_option, project_option
from callsheet.cli.terminal import Session, put, put_json, put_table, say

__all__ = ["trust"]


@click.command()
@click.option("--yes", is_flag=True, help="Trust them without a question.")
@click.option("--forget", is_flag=True, help="Trust none of them any more.")
@project_option
@json_option
@click.pass_obj
def trust(session: Session, yes: bool, forget: bool, project: Path | None) -> int:
    """Show where the project's file sends keys and results, and trust these places.

    A project is often somebody else's. A base URL in its callsheet.toml gets no key, and a webhook no word of a job,
    before you have said so, once for each place; one on this machine, in your own config.toml or in an environment
    variable needs no word. Exit code 1 when you do not trust them.
    """
    from callsheet.config import CONFIG_NAME, find_project, load_settings
    from callsheet.trust import TrustedPlaces, places_of

    folder = find_project(project or Path.cwd())
    settings = load_settings(folder)
    places = places_of(settings.providers, settings.origins, settings.origin)
    known = TrustedPlaces()
    if forget:
        known.write(folder, ())
    new = [place for place in places if place not in known.of(folder)]
    if places and not session.json:
        put_table(("provider", "what", "goes to"), [[place.provider, place.what, place.url] for place in places])
    trusted = not new
    if new and not forget and _meant(session, yes=yes):
        known.write(folder, places)
        trusted = True
    if session.json:
        told = [{**place._asdict(), "trusted": place in known.of(folder)} for place in places]
        put_json(session, {"project": str(folder), "places": told})
    elif not places:
        put(f"{folder / CONFIG_NAME} sends nothing to a place of its own choosing")
    else:
        say("these places are trusted" if trusted else "they are not trusted: nothing is sent there")
    return 0 if trusted or forget else 1


def _meant(session: Session, *, yes: bool) -> bool:
    if yes:
        return True
    if session.json or not sys.stdin.isatty():
        return False
    return click.confirm("Send it there?", err=True)
