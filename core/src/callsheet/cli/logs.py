"""The library's log on stderr, for who asks for it; and no warning of a library that shows a secret."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from callsheet.cli.terminal import Session, say

__all__ = ["shown_log"]

_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


@contextmanager
def shown_log(session: Session) -> Iterator[None]:
    """While it is open: `--log-level` shows the library's log; what other libraries warn of is redacted as well."""
    handler, library = _Stderr(session), logging.getLogger("callsheet")
    before = (logging.lastResort, library.level)
    logging.lastResort = handler  # in the place of the one that prints as it is
    handler.setLevel(logging.WARNING)
    own = _Stderr(session)
    if session.log_level:
        library.setLevel(session.log_level.upper())
        library.addHandler(own)
    try:
        yield
    finally:
        library.removeHandler(own)
        logging.lastResort, level = before
        library.setLevel(level)


class _Stderr(logging.Handler):
    """One line a record: when, how bad, what, and the values that go with it; a traceback below."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._clock = logging.Formatter("%(asctime)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        values = {key: value for key, value in vars(record).items() if key not in _USUAL}
        trace = values.pop("exception", "")
        head = f"{self._clock.formatTime(record, '%H:%M:%S')} {record.levelname.lower():7} {record.getMessage()}"
        line = " ".join([head, *(f"{key}={value}" for key, value in values.items() if key != "level")])
        if record.exc_info:
            trace = self._clock.formatException(record.exc_info)
        return f"{line}\n{trace}" if trace else line

    def emit(self, record: logging.LogRecord) -> None:
        """Show it, with secrets masked."""
        with suppress(Exception):  # `handleError` would print the record as it is
            say(self._session.redact(self.format(record)))
