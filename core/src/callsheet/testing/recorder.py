"""Record what a vendor answers once, and play it in every test after that: no key, no network, no cost.

```python
with recorded("tests/cassettes/haiku.json", plugin="callsheet_acme") as recording:
    secrets = recording.secrets("ACME_API_KEY")
    async with STAGE.client(tmp_path, base_url=ACME, secrets=secrets, sleep=recording.sleep) as client:
        ...
```
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from callsheet.errors import ConfigError
from callsheet.testing.cassette import CassetteError, Interaction, read_cassette
from callsheet.testing.cassette_redaction import CassetteRedactor
from callsheet.testing.cassette_shelf import RECORD_VARIABLE, Shelf, advice

__all__ = ["Recording", "recorded"]

_MODES = ("none", "new", "all")
_SECRET_VARIABLE = re.compile(r".*(?:KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)")
_SECRET_LENGTH = 16


class Recording:
    """What a test needs of a recording while it goes on: keys, and a sleep for the waits between polls."""

    def __init__(self, shelf: Shelf, mode: str) -> None:
        self._shelf = shelf
        self.recording = mode != "none"
        """Whether the vendor may be asked."""

    def secrets(self, *names: str) -> dict[str, str]:
        """Secrets by name: those of the environment while recording, which no cassette will show; else made-up ones.

        Raises CassetteError for one that is not set while recording.
        """
        given = {name: f"none-is-needed-for-{name.lower().replace('_', '-')}" for name in names}
        if self.recording:
            given = {name: os.environ.get(name, "") for name in names}
        for name, value in given.items():
            if not value:
                raise CassetteError(f"to record, set {name}", where=str(self._shelf.path), missing=True)
            self._shelf.redactor.add(value)  # a made-up one, too: where a key stood, it is the same request
        return given

    async def sleep(self, seconds: float) -> None:
        """Wait while recording, for a vendor's job takes its time; never while playing."""
        if self.recording:
            await asyncio.sleep(seconds)


@contextmanager
def recorded(
    path: str | Path,
    mode: str = "",
    *,
    plugin: str = "",
    hide: Iterable[str] = (),
    days: int | None = None,
    clock: Callable[[], float] = time.time,
) -> Iterator[Recording]:
    """Play the cassette at `path`, or record it: what callsheet's clients, httpx and httpx2 send inside of the block.

    `mode`: "none" plays and opens no connection, "new" asks the vendor for what the cassette has not, "all" asks anew for
    everything, and replaces the cassette when the block ends well; "" takes it from CALLSHEET_RECORD, else "none". `plugin` (its package) is kept with its version in the
    cassette; `hide` are values that shall not stand there: an account id, a name. A cassette with something older than
    `days` is not played. Equal requests are answered in the order in which they were recorded.

    Needs the extra `callsheet[testing]`. Raises CassetteError, on leaving as well when the block kept it to itself, and
    ConfigError for an unknown mode.
    """
    mode = mode or os.environ.get(RECORD_VARIABLE, "") or "none"
    if mode not in _MODES:
        raise ConfigError(f"the mode of a recording is {', '.join(_MODES[:-1])} or {_MODES[-1]}, and not {mode!r}")
    redactor = CassetteRedactor(hide)
    today = datetime.fromtimestamp(clock(), UTC).date()
    known = _known(Path(path), mode, redactor, days, today) if mode != "all" else []
    if mode != "none":
        _hide_environment(redactor)
    shelf = Shelf(Path(path), known, redactor, (today.isoformat(), _label(plugin)))
    with _told(shelf), _played(shelf, mode):
        yield Recording(shelf, mode)


@contextmanager
def _told(shelf: Shelf) -> Iterator[None]:
    """A request without an answer fails the block, whatever became of its error on the way through an SDK or a handler."""
    try:
        yield
    except CassetteError:
        raise
    except Exception as error:
        if shelf.problems:
            raise CassetteError(shelf.problems[0], where=str(shelf.path)) from error
        raise
    if shelf.problems:
        raise CassetteError(shelf.problems[0], where=str(shelf.path))


@contextmanager
def _played(shelf: Shelf, mode: str) -> Iterator[None]:
    try:
        from callsheet.testing.tape import MODES, Tape, hushed, narrowed
    except ModuleNotFoundError as error:
        what = f"the recorder needs {error.name}, which is not installed: pip install 'callsheet[testing]'"
        raise ConfigError(what, missing=True) from None
    whole = False
    try:
        with hushed(), Tape.use(path=str(shelf.path), record_mode=MODES[mode], shelf=shelf), narrowed():
            yield
        whole = True
    finally:
        # after an error, too: what was asked for was paid for; but half a recording replaces no whole one
        if whole or mode != "all" or not shelf.path.exists():
            shelf.keep()


def _known(path: Path, mode: str, redactor: CassetteRedactor, days: int | None, today: date) -> list[Interaction]:
    """What may be played. Raises CassetteError for a cassette that is missing, too old, or none."""
    if not path.exists():
        if mode == "none":
            raise CassetteError(f"there is no such cassette. {advice('new')}", where=str(path), missing=True)
        return []
    known = read_cassette(path, redactor)
    oldest = min((date.fromisoformat(each.recorded) for each in known), default=today)
    age = (today - oldest).days
    if mode == "none" and days is not None and age > days:
        message = f"was recorded on {oldest}, {age} days ago, and the test allows {days}. {advice('all')}"
        raise CassetteError(message, where=str(path))
    return known


def _label(plugin: str) -> str:
    if not plugin:
        return ""
    from callsheet.testing.subject import Subject

    found = Subject(plugin).found
    if found is None:
        raise ConfigError(f"the plugin {plugin!r} is not installed", missing=True)
    return found.label


def _hide_environment(redactor: CassetteRedactor) -> None:
    for name, value in os.environ.items():
        if _SECRET_VARIABLE.fullmatch(name) and len(value) >= _SECRET_LENGTH:
            redactor.add(value)
