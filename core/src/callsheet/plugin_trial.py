"""Trying plugins out in a process of their own: each is imported and asked for its handlers, models and commands.

Whatever a plugin does there (hang, exit, crash, print, change the interpreter), the process that asked goes on. The
child reads one line of JSON from stdin and writes a line for each plugin before and after it is tried.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Literal

from callsheet.errors import PluginError

if TYPE_CHECKING:
    from callsheet.discovery import FoundPlugin
    from callsheet.plugin_host import PluginHost

__all__ = ["Outcome", "TrialRequest", "serve", "try_plugins"]

START_SECONDS = 120.0
"""For the interpreter and the core's own modules on a machine that is busy."""

_PROGRAM = "import json, sys; r = json.loads(sys.stdin.readline()); sys.path[:] = r.pop('path'); from callsheet.plugin_trial import serve; serve(r)"

Trouble = Literal["import", "hook", "hang", "crash", "stdout"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is wrong with a plugin: `trouble`, what happened in words, and a remedy if there is a special one."""

    name: str
    trouble: Trouble
    text: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """Which plugins the child may look for (as `discover` takes it), and how many seconds each has."""

    allow: frozenset[str] | None = None
    deny: frozenset[str] = frozenset()
    pins: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 15.0


def try_plugins(names: Iterable[str], request: TrialRequest) -> Iterator[Outcome]:
    """Try each of these plugins; gives what is wrong, nothing for those that are well."""
    waiting = list(names)
    while waiting:
        child = _Child(waiting, request)
        try:
            yield from child.outcomes(waiting)
        finally:
            child.end()


class _Child:
    """One process, and the names that it is still to try (`waiting` of its caller)."""

    def __init__(self, names: list[str], request: TrialRequest) -> None:
        self._seconds = request.seconds
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter
            [sys.executable, "-P", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        asked = {
            "path": [path for path in sys.path if isinstance(path, str)],
            "names": names,
            "allow": None if request.allow is None else sorted(request.allow),
            "deny": sorted(request.deny),
            "pins": dict(request.pins),
        }
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: PT018
        with suppress(OSError):
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            self._process.stdin.close()
        self._reader = threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def _listen(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._lines.put(line.decode("ascii", "replace"))
        self._lines.put(None)

    def outcomes(self, waiting: list[str]) -> Iterator[Outcome]:
        """What the child tells, until it is done, dies or says nothing for too long. Takes names off `waiting`."""
        trying = ""
        while waiting:
            try:
                line = self._lines.get(timeout=self._seconds if trying else START_SECONDS)
            except queue.Empty:
                line = None
                told: Outcome | None = Outcome(trying, "hang", f"it did not end within {self._seconds:g} s")
            else:
                told = None
            if line is None:
                if not trying:
                    raise PluginError("plugins cannot be tried: the Python process for it does not start")
                waiting.remove(trying)
                yield told or Outcome(trying, "crash", self._ending())
                return
            message = json.loads(line)
            if "begin" in message:
                trying = message["begin"]
                continue
            waiting.remove(trying)
            trying = ""
            for trouble in message["troubles"]:
                yield Outcome(message["end"], *trouble)

    def _ending(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(timeout=self._seconds)
            if code < 0:
                with suppress(ValueError):
                    return f"it ended the Python process by {signal.Signals(-code).name}"
            return f"it ended the Python process with exit code {code}"
        return "it closed the Python process's standard output"

    def end(self) -> None:
        """Kill the child and what it started."""
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()
        self._reader.join(timeout=5)
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()


def serve(asked: Mapping[str, object]) -> None:
    """The child's side. Its stdout is kept for the answers: plugins write into a file that is thrown away."""
    from tempfile import TemporaryFile

    from callsheet.discovery import discover
    from callsheet.plugin_host import PluginHost

    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    host = PluginHost(discover(allow=asked["allow"], deny=asked["deny"], pins=asked["pins"]))  # type: ignore[arg-type]
    with TemporaryFile() as aside:
        os.dup2(aside.fileno(), 1)
        for name in asked["names"]:  # type: ignore[attr-defined]
            print(json.dumps({"begin": name}), file=answers, flush=True)
            written = aside.seek(0, os.SEEK_END)
            troubles = _troubles(host, name)
            sys.stdout.flush()
            if name in host.printed or aside.seek(0, os.SEEK_END) > written:
                troubles.append(("stdout", "it prints to stdout while it is loaded", ""))
            print(json.dumps({"end": name, "troubles": troubles}), file=answers, flush=True)
        answers.flush()
    os._exit(0)  # threads and exit handlers of plugins are not waited for


def _troubles(host: PluginHost, name: str) -> list[tuple[Trouble, str, str]]:
    found = host.discovery.plugin(name)
    if found is None or found.manifest is None:
        return []
    doing: Trouble = "import"
    try:
        host.load(name)
        doing = "hook"
        host.handlers_of(name)
        if found.provider:
            host.models(found.provider)
        if found.manifest.commands:
            _check_commands(host, found, found.manifest.commands)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - hooks are guarded; this is for what is not
        from callsheet.plugin_faults import remedy_of

        remedy = remedy_of(found, error.__cause__)
        return [(doing, str(error).removesuffix(f"; {remedy}"), remedy)]
    return []


def _check_commands(host: PluginHost, found: FoundPlugin, declared: Iterable[str]) -> None:
    import click

    group = click.Group()
    host.register_commands(found.name, group)
    missing = [name for name in declared if name not in group.commands]
    if missing:
        what = f"declares the command {missing[0]!r} in its plugin.toml and does not register it"
        raise PluginError(f"the plugin {found.name!r} ({found.label}) {what}", plugin=found.distribution)
