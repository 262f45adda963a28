"""From arguments to an exit code: whatever goes wrong becomes one message, or one JSON document."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from callsheet.cli.commands import cli
from callsheet.cli.complaints import complain, complain_of_bug, complain_of_usage
from callsheet.cli.terminal import Session, say
from callsheet.errors import CallsheetError

__all__ = ["execute"]

INTERRUPTED = 130


def execute(args: Sequence[str]) -> int:
    """Carry out one command and give its exit code. Lets nothing through but SystemExit."""
    _forgive_encodings()
    # pydantic asks every distribution on the machine for plugins of its own, and one with broken metadata ends it.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if "_CALLSHEET_COMPLETE" in os.environ:
        from callsheet.cli.completion import prepare_completion

        prepare_completion()
    # Known before parsing: a wrong flag, too, is answered in JSON when JSON was asked for.
    session = Session(json="--json" in args)
    try:
        code = cli.main(args=list(args), prog_name="callsheet", standalone_mode=False, obj=session)
    except (KeyboardInterrupt, click.Abort):
        return _interrupted(session)
    except click.ClickException as error:
        return complain_of_usage(session, error)
    except CallsheetError as error:
        return complain(session, error)
    except Exception as error:  # noqa: BLE001 - a bug of ours or of a plugin's command
        if os.environ.get("CALLSHEET_DEBUG"):
            import traceback

            say(session.redact("".join(traceback.format_exception(error))).rstrip())
        return complain_of_bug(session, error)
    return code if isinstance(code, int) else 0


def _interrupted(session: Session) -> int:
    if not session.told:
        from callsheet.errors import JobCancelledError, Sent

        complain(session, JobCancelledError("interrupted", sent=Sent.NOT_SENT))
    return INTERRUPTED


def _forgive_encodings() -> None:
    """A terminal that cannot show a character gets it escaped; that is no reason to lose a result."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
