"""`callsheet secrets`: which secrets the installed plugins want, and where they are found; never what they are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from callsheet.cli.commands import SuggestingGroup
from callsheet.cli.options import json_option, project_option
from callsheet.cli.terminal import Session, put, put_json, put_table, say

if TYPE_CHECKING:
    from callsheet.client import Client
    from callsheet.discovery import Discovery
    from callsheet.secret_sources import DeclaredSecret, Found, SecretSources
    from callsheet.secrets import Secret
    from callsheet.settings import Settings

__all__ = ["secrets"]

MAX_BYTES = 1 << 16
Row = dict[str, object]
_ANSWERS = {
    "accepted": "accepted",
    "refused": "refused",
    "unknown": "could not ask",
    "no_check": "offers no free check",
}


@click.group(cls=SuggestingGroup)
def secrets() -> None:
    """Keep providers' keys, and see where each is found. No command shows a secret or a part of one."""


@secrets.command("set")
@click.argument("name")
@project_option
def set_secret(name: str, project: Path | None) -> None:
    """Keep the secret NAME in the keyring of the operating system. It is asked for, or read from stdin."""
    from callsheet.config import find_project, load_settings, user_config
    from callsheet.config_tables import SECRET_NAME
    from callsheet.secret_sources import KeyringSecrets
    from callsheet.toml_tables import plain

    if not SECRET_NAME.fullmatch(name):  # not shown: it may be the secret itself
        raise click.UsageError("NAME is the name of a secret, like EXAMPLE_API_KEY; the secret itself is asked for")
    settings = load_settings(find_project(project or Path.cwd()))
    KeyringSecrets().put(name, _asked_for(name))
    say(f"{name} is kept in the keyring")
    if not settings.secrets.keyring:
        say(f"it is not looked for there yet: write `keyring = true` below [secrets] in {plain(user_config())}")


def _asked_for(name: str) -> Secret:
    from callsheet.secrets import Secret

    if sys.stdin.isatty():
        value = click.prompt(name, hide_input=True, err=True, default="", show_default=False)
    else:
        value = sys.stdin.read(MAX_BYTES + 1)
        if len(value) > MAX_BYTES:
            raise click.UsageError(f"a secret has {MAX_BYTES} characters at most")
    if not value.strip():
        raise click.UsageError("the secret is empty: nothing was changed")
    return Secret(value.strip())


@secrets.command("list")
@project_option
@json_option
@click.pass_obj
def list_secrets(session: Session, project: Path | None) -> None:
    """List the secrets that the installed plugins want, and where each is found.

    No command of yours is run, and no plugin imported; `check` does both where nothing else has the secret.
    """
    rows, _ = _looked_up(session, project, "", asking=False)
    if session.json:
        put_json(session, {"secrets": rows})
    elif rows:
        _show(rows)
    else:
        say("no installed plugin wants a secret")


@secrets.command()
@click.argument("provider", default="")
@click.option("--live", is_flag=True, help="Ask the providers whether they accept their keys; that costs nothing.")
@project_option
@json_option
@click.pass_obj
def check(session: Session, provider: str, *, live: bool, project: Path | None) -> int:
    """Look for the secrets of PROVIDER, or of all, in every place. Exit code 3 when a key is missing.

    Nobody is asked whether a key is right, only that it is there. With --live each provider is asked that can be asked
    for nothing: exit code 3 also when it refuses its key, 1 when it could not be asked.
    """
    rows, answers = _looked_up(session, project, provider, asking=True, live=live)
    wrong = [row for row in rows if row["problem"] or (row["key"] and not row["found_in"])]
    told = {answer["key"] for answer in answers}
    code = 3 if wrong or "refused" in told else 1 if "unknown" in told else 0
    if session.json:
        put_json(session, {"ok": not code, "secrets": rows, **({"live": answers} if live else {})})
        return code
    if rows:
        _show(rows)
    if answers:
        put("")
        cells = [[each["provider"], _ANSWERS[str(each["key"])], each["problem"]] for each in answers]
        put_table(("provider", "key", "problem"), cells)
    for row in wrong:
        say(f"{row['name']} ({row['provider']}): {row['problem'] or _remedy(row)}")
    if not wrong:
        say("every key is there" if rows else "no key is wanted")
    return code


def _remedy(row: Row) -> str:
    return f"set it with `export {row['name']}=…` (looked in {row['looked_in']})"


def _looked_up(
    session: Session, project: Path | None, provider: str, *, asking: bool, live: bool = False
) -> tuple[list[Row], list[Row]]:
    """A row for each secret that a provider wants; with `live` also one for what each provider says of its key.

    Raises ConfigError for a provider that nobody knows.
    """
    from callsheet.cli.logs import shown_log
    from callsheet.cli.work import open_project, perform
    from callsheet.config import find_project, load_settings
    from callsheet.discovery import discover
    from callsheet.errors import ConfigError
    from callsheet.secret_sources import SecretSources, declared_secrets
    from callsheet.toml_tables import near_or_known, quoted

    settings = load_settings(find_project(project or Path.cwd())).with_env_file(session.env_file)
    discovery = discover(allow=settings.allow, deny=settings.deny, pins=settings.pins)
    known = {*settings.providers, *(found.provider for found in discovery.plugins if found.usable and found.provider)}
    if provider and provider not in known:
        raise ConfigError(
            f"there is no provider {quoted(provider)}{near_or_known(provider, sorted(known))}", missing=True
        )
    wanted = [one for one in declared_secrets(discovery, settings) if provider in ("", one.provider)]

    async def rows(sources: SecretSources) -> list[Row]:
        return [_row(session, one, await sources.find(one.name, asking=asking), sources) for one in wanted]

    async def work() -> tuple[list[Row], list[Row]]:
        if not live:
            with shown_log(session):
                return await rows(_sources(session, discovery, settings)), []
        async with open_project(session, project, user=True) as client:
            sources = client.runtime.services.secrets  # the same for both, so that a command is run once
            assert isinstance(sources, SecretSources)
            return await rows(sources), await _answers(client, [one.provider for one in wanted if one.key])

    return perform(work())


async def _answers(client: Client, providers: list[str]) -> list[Row]:
    """What each provider says of its key; of one that cannot be asked for nothing, that."""
    from callsheet.health import check_up

    rows: dict[str, Row] = {name: {"provider": name, "key": "no_check", "problem": ""} for name in providers}
    for each in await check_up(client.runtime, providers):
        key = "refused" if each.refused else "unknown" if each.problem else "accepted"
        rows[each.provider] |= {"key": key, "problem": each.problem}
    return list(rows.values())


def _sources(session: Session, discovery: Discovery, settings: Settings) -> SecretSources:
    from callsheet.plugin_host import PluginHost
    from callsheet.secret_sources import find_secrets
    from callsheet.secrets import Redactor

    redactor = Redactor()
    session.redact = redactor.text
    return find_secrets(settings, PluginHost(discovery), redactor)


def _row(session: Session, one: DeclaredSecret, found: Found, sources: SecretSources) -> Row:
    missing = found.secret is None
    command = missing and "its command" not in found.looked and not found.failures and sources.command(one.name)
    return {
        "name": one.name,
        "provider": one.provider,
        "key": one.key,
        "found_in": "its command (not run)" if command else found.place,
        "looked_in": ", ".join(found.looked),
        "problem": session.redact("; ".join(str(failure) for failure in found.failures)) if missing else "",
    }


def _show(rows: list[Row]) -> None:
    cells = [[row["name"], row["provider"], row["found_in"] or "-", "" if row["key"] else "optional"] for row in rows]
    put_table(("secret", "provider", "found in", ""), cells)
