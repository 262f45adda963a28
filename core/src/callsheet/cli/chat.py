"""`callsheet chat`: talk with a model; what is said is kept and can be gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from callsheet.cli.options import call_cost_option, complete_refs, json_option, project_option
from callsheet.cli.terminal import Session, put_json, put_table

__all__ = ["chat"]

LATEST = "latest"
_FIRST_WORDS = 60


@click.command()
@click.argument("ref", required=False, shell_complete=complete_refs)
@click.option("--system", metavar="TEXT", help="What the model is told of its part; @FILE reads it.")
@click.option(
    "--attach",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="A file for the first message.",
)
@click.option(
    "--continue",
    "chat_id",
    is_flag=False,
    flag_value=LATEST,
    metavar="[ID]",
    help="Go on with a chat; without an ID with the latest one.",
)
@click.option("--mode", type=click.Choice(["live", "mock"]), help="Mock calls nobody.  [default: live]")
@call_cost_option
@click.option("--list", "listed", is_flag=True, help="List the chats, and do nothing else.")
@project_option
@json_option
@click.pass_obj
def chat(session: Session, /, ref: str | None, project: Path | None, **asked: Any) -> int:
    """Talk with the model REF. A line is a message, /help shows the commands, the end of the input ends the chat.

    Answers go to stdout, everything else to stderr. What is said is kept in the project's ledger.
    """
    from callsheet.cli.talk import Wish, talk
    from callsheet.cli.work import open_project, perform

    if asked["listed"]:

        async def work() -> int:
            async with open_project(session, project, user=True) as client:
                return _list(session, await client.ledger.chats.latest())

        return perform(work())
    if session.json:
        raise click.UsageError("--json goes with --list: a chat is read as it comes")
    continued = asked["chat_id"]
    if continued is None and ref is None:
        raise click.UsageError("name a model: `callsheet chat REF`, or go on with a chat: `callsheet chat --continue`")
    if continued is not None and (asked["system"] is not None or asked["mode"] is not None):
        raise click.UsageError("--continue keeps the chat's own --system and --mode: leave them out")
    chat_id = None if continued is None else "" if continued == LATEST else continued
    system, mode = asked["system"] or "", asked["mode"] or "live"
    wish = Wish(ref or "", chat_id, system, mode, asked["attach"], asked["max_cost"])
    return talk(session, project, wish)


def _list(session: Session, chats: list[Any]) -> int:
    rows = [
        {
            "id": chat.id,
            "ref": chat.ref,
            "mode": chat.mode,
            "updated": chat.updated,
            "messages": len(exchanges),
            "begins": _words(exchanges),
        }
        for chat, exchanges in chats
    ]
    if session.json:
        put_json(session, {"chats": rows})
        return 0
    from datetime import datetime

    shown = [
        (
            row["id"],
            row["ref"],
            f"{datetime.fromtimestamp(row['updated']).astimezone():%Y-%m-%d %H:%M}",
            row["messages"],
            row["begins"],
        )
        for row in rows
    ]
    put_table(("chat", "model", "last used", "messages", "begins"), shown, right=("messages",))
    return 0


def _words(exchanges: list[Any]) -> str:
    texts = [part.text for exchange in exchanges[:1] for part in exchange.question.parts if part.kind == "text"]
    return " ".join(" ".join(texts).split())[:_FIRST_WORDS]
