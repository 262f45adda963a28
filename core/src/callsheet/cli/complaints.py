"""Errors as the user meets them: one JSON document, or one message that says what was wrong and what to do."""

from __future__ import annotations

import re

import click

from callsheet.advice import advice
from callsheet.cli.terminal import Session, put_json, say
from callsheet.errors import CallsheetError

__all__ = ["advice", "complain", "complain_of_bug", "complain_of_usage", "tell_prompt"]

MAX_PROMPT = 2000
_PRODUCER = re.compile(r": (?:producers\.)?([A-Za-z]\w*)")


def complain(session: Session, error: CallsheetError) -> int:
    """Tell of an error and give its exit code."""
    from callsheet.failures import failure_of

    failure = failure_of(error, session.redact)
    if session.json:
        _document(
            session,
            kind=failure.kind,
            sent=failure.sent,
            message=failure.message,
            ref=failure.ref,
            producer=_producer_of(error),
            docs_url=failure.docs_url,
        )
        return error.exit_code
    about = f" ({failure.ref})" if failure.ref and failure.ref not in failure.message else ""
    say(f"error: {failure.message}{about}")
    tell_prompt(failure.prompt)
    if failure.partial and not session.partial_shown:
        say(f"  the answer until then: {failure.partial}")
    if advice(failure.kind):
        say(f"  what to do: {advice(failure.kind)}")
    if failure.docs_url:
        say(f"  see {failure.docs_url}")
    return error.exit_code


def tell_prompt(prompt: str, indent: str = "  ") -> None:
    """Show the prompt that a provider refused."""
    if prompt:
        shown = prompt if len(prompt) <= MAX_PROMPT else prompt[:MAX_PROMPT] + "…"
        say(f"{indent}the prompt was: {shown}")


def complain_of_usage(session: Session, error: click.ClickException) -> int:
    """Tell of a wrong command line, as click does it; its exit code is 2."""
    if session.json:
        _document(session, kind="config", sent="not_sent", message=session.redact(error.format_message()))
    else:
        from io import StringIO

        shown = StringIO()
        error.show(shown)
        say(session.redact(shown.getvalue()).rstrip())
    return 2


def complain_of_bug(session: Session, error: Exception) -> int:
    """Tell of an error that nobody foresaw: ours, or that of a plugin's command."""
    whose = f"the plugin {session.guest}" if session.guest else "callsheet itself"
    text = f"a bug in {whose}: {type(error).__name__}: {error}".rstrip(": ")
    text = session.redact(f"{text} (CALLSHEET_DEBUG=1 shows where)")
    if session.json:
        _document(session, kind="internal", sent="unknown", message=text)
    else:
        say(f"error: {text}")
    return 1


def _document(
    session: Session,
    *,
    kind: str,
    sent: str,
    message: str,
    ref: str = "",
    producer: str = "",
    docs_url: str = "",
) -> None:
    if session.told:
        say(f"error: {message}")  # there is a document on stdout already, and it must stay the only one
        return
    error = {"kind": kind, "sent": sent, "message": message, "ref": ref, "producer": producer, "docs_url": docs_url}
    put_json(session, {"error": error})


def _producer_of(error: CallsheetError) -> str:
    """The producer that `sheet.toml: producers.clip.image` or `sheet.toml: clip[0]` names."""
    where = getattr(error, "where", "")
    found = _PRODUCER.search(where)
    return found.group(1) if found and found.group(1) not in ("inputs", "producers", "line") else ""
